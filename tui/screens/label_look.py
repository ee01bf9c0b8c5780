"""Going from document to document, searching, asking why, help.

What a command is for is said once, in the table of ``tui/keymap.py``.
"""

# ruff: noqa: D102

from __future__ import annotations

from tui.keymap import COMMANDS, shown
from tui.labelling.session import Session
from tui.screens.label_base import CommandBase
from tui.screens.label_dialogs import Pick


class Looks(CommandBase):
    """Commands that show something else."""

    session: Session

    # -- documents ----------------------------------------------------------------------------------------------

    def do_skip(self) -> None:
        if self.session.document is None:
            self.say(self.nothing_left())
            return
        name, finished = self.session.document.id, self.editor.decision.finished
        self.session.skip()
        if self.session.next():
            self._kept(f"{name} is left for later") if not finished else self.say("")
        else:
            self.say(f"\u2713 {name} is left for later; no other document waits")
        self.hits = []

    def do_back(self) -> None:
        if not self.session.back():
            self.say("this is the first")
        self.hits = []

    def do_forward(self) -> None:
        if not self.session.forward() and not self.session.next():
            self.say(self.nothing_left())
        self.hits = []

    def do_queue(self) -> None:
        from tui.screens.queue import QueueScreen

        self.app.push_screen(QueueScreen(self.project, self.session), self._open)

    def _open(self, document_id: str | None) -> None:
        if document_id is not None:
            self.guarded(lambda: self.session.open(document_id))

    # -- look ---------------------------------------------------------------------------------------------------

    def do_why(self) -> None:
        from tui.screens.why import why_page

        target = self._target()
        found = self.editor.origin(target.span) if target else None
        if target and found is None:
            self.say("you marked this yourself; nobody suggested it")
        elif found is not None:
            palette = self.app.palette  # type: ignore[attr-defined]
            closing = self.keymap.keys_of("why")
            self.app.push_screen(why_page(self.session.store, found, self.editor.text, palette, closing))

    def do_search(self) -> None:
        from tui.screens.search import SearchScreen

        def found(result: tuple[str, str] | None) -> None:
            if result is not None:
                self.guarded(lambda: self._found(*result))

        self.app.push_screen(SearchScreen(self.project, self.session), found)

    def _found(self, document_id: str, needle: str) -> None:
        if self.session.document is None or self.session.document.id != document_id:
            self.session.open(document_id)
        self.needle = needle
        self.hits = places(self.editor.text, needle)
        self.do_search_next()

    def do_search_next(self) -> None:
        if not self.hits:
            self.say(f"nothing was searched for; {self.key('search')} does")
            return
        behind = [hit for hit in self.hits if hit[0] > self.editor.cursor]
        at = (behind or self.hits)[0]
        self.editor = self.editor.moved(at[0])
        self.say(f"{self.hits.index(at) + 1} of {len(self.hits)}: {self.needle}")

    def do_guidelines(self) -> None:
        from tui.screens.guidelines import GuidelinesScreen

        def changed(labels: list[str] | None) -> None:
            if labels is not None:
                self.guarded(lambda: self.labels_changed(labels))

        self.app.push_screen(GuidelinesScreen(self.project, self.session, self.editor.target), changed)

    def do_low(self) -> None:
        self.editor = self.editor.with_(show_low=not self.editor.show_low)
        low = sum(s.low for s in self.editor.suggestions)
        self.say(f"{low} that the quorum turned down are {'shown' if self.editor.show_low else 'hidden'}")

    def do_panel(self) -> None:
        self.toggle_class("bare")

    def do_theme(self) -> None:
        palette = self.app.next_palette()  # type: ignore[attr-defined]
        self.say(f"colours: {palette.name}")

    def do_help(self) -> None:
        from tui.screens.help import help_page

        self.app.push_screen(help_page(self.keymap, self.app.palette))  # type: ignore[attr-defined]

    def do_palette(self) -> None:
        from tui.screens.elsewhere import PLACES

        listed = [command for command in COMMANDS if command.id != "palette"]
        names = [f"{command.id.replace('_', ' ')}: {command.help}" for command in listed]
        names += [f"go to {place.name}: {place.help}" for place in PLACES]
        details = ["  ".join(map(shown, self.keymap.keys_of(command.id))) for command in listed]
        details += [""] * len(PLACES)

        def take(number: int | None) -> None:
            if number is None:
                return
            if number < len(listed):
                self.run_command(listed[number].id)
            else:
                make = PLACES[number - len(listed)].make

                def go() -> None:
                    self.app.push_screen(make(self.project.root))

                self.guarded(go)

        self.app.push_screen(Pick("Command", names, details), take)

    def do_quit(self) -> None:
        if len(self.app.screen_stack) > 2:  # opened from another screen, over the application's own empty one
            self.dismiss(None)
        else:
            self.app.exit(0)


def places(text: str, needle: str) -> list[tuple[int, int]]:
    """Where a text stands in another, upper and lower case alike; at most a thousand places."""
    import regex

    if not needle:
        return []
    found = regex.finditer(regex.escape(needle), text, regex.IGNORECASE)
    return [match.span() for match, _ in zip(found, range(1000), strict=False)]
