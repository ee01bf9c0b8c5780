"""A reviewer's own hand: spans that nobody has, other ends, other types, with the keys of labelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from textual.app import ComposeResult
from textual.screen import Screen

from tui.keymap import COMMANDS, Keymap, shown
from tui.labelling.draft import Draft
from tui.screens import label_bars as bars
from tui.screens.help import help_page
from tui.screens.label_dialogs import Pick
from tui.screens.label_marks import Marks
from tui.widgets.document import DocumentView, Kind
from tui.widgets.lines import Lines

if TYPE_CHECKING:
    from tui.app import QuorumApp
    from tui.labelling.project import Project


class ReviewEdit(Marks, Screen[Any]):
    """Shows a draft of the decision and gives it back; nothing is recorded here.

    Args:
        project: The types and the keys.
        draft: What was decided so far, and what waits.
        at: Offset of the span one came from.
    """

    CSS = """
    ReviewEdit Lines { height: 1; width: 100%; }
    ReviewEdit #types { height: auto; max-height: 3; }
    ReviewEdit DocumentView { width: 1fr; height: 1fr; }
    """

    def __init__(self, project: Project, draft: Draft, at: int = 0) -> None:
        super().__init__()
        self.project, self.session = project, draft
        self.keymap: Keymap = project.keymap
        self.last_type = ""
        self.needle = ""
        self.hits = []
        draft.editor = draft.editor.moved(at)

    @property
    def quorum_app(self) -> QuorumApp:
        """The application, by its own type."""
        return cast("QuorumApp", self.app)

    def compose(self) -> ComposeResult:
        """Title, document, types, what is under the cursor, a message, what comes next."""
        yield Lines(id="title")
        yield DocumentView(id="document")
        for name in ("types", "focus", "says", "foot"):
            yield Lines(id=name)

    def on_mount(self) -> None:
        """Ready."""
        self.query_one(DocumentView).focus()
        self.on_resize()

    def on_resize(self) -> None:
        """Fit to the terminal."""
        self.call_after_refresh(self.renew)
        self.renew()

    def on_screen_resume(self) -> None:
        """Back from a window."""
        self.call_after_refresh(self.renew)

    def renew(self) -> None:
        """Paint what changed."""
        if not self.is_mounted:
            return
        palette, view = self.quorum_app.palette, self.view
        kinds = {
            label.name: Kind(n, self.keymap.key_of_type(label.name)) for n, label in enumerate(self.project.labels)
        }
        view.show(self.editor, palette, kinds, (), self.hints_left)
        state = bars.State(self.draft, self.project, self.keymap, palette, self.size.width, "", view.progress)
        strip = palette.strip()
        name = self.draft.document.id if self.draft.document else ""
        here = f" {name}: what the decision will be"
        self.query_one("#title", Lines).write([[(" review ", palette.key()), (here, strip)]], strip)
        rows = bars.type_rows(state, self.chord)
        listed = self.query_one("#types", Lines)
        listed.styles.height = max(1, min(3, len(rows)))
        listed.write(rows, palette.plain())
        self.query_one("#focus", Lines).write([bars.under_cursor(state)], strip)
        style = palette.warning() if self.failed else palette.plain()
        said = self.says or f"{self.key('done')} goes back with it; nothing is recorded before you give the reason"
        self.query_one("#says", Lines).write([[(f" {said}", style)]], style if self.failed else palette.plain())
        self.query_one("#foot", Lines).write([bars.footer(state, own=self.can)], strip)

    @property
    def draft(self) -> Draft:
        """What is changed."""
        return cast("Draft", self.session)

    def nothing_left(self) -> str:
        """There is always the one document."""
        return ""

    def on_document_view_clicked(self, event: DocumentView.Clicked) -> None:
        """To the character that was clicked on."""
        self.editor = self.editor.moved(event.offset)
        self.renew()

    # -- commands -----------------------------------------------------------------------------------------------

    def do_done(self) -> None:
        """Back to the versions, with what was changed."""
        self.dismiss(self.draft)

    def do_cancel(self) -> None:
        """Give up the selection; without one, back."""
        if self.editor.anchor is None and self.chord is None:
            self.dismiss(self.draft)
        else:
            super().do_cancel()

    def do_low(self) -> None:
        """Show or hide what was dropped."""
        self.editor = self.editor.with_(show_low=not self.editor.show_low)
        low = sum(one.low for one in self.editor.suggestions)
        self.say(f"{low} that were dropped are {'shown' if self.editor.show_low else 'hidden'}")

    def do_theme(self) -> None:
        """The next colours."""
        self.say(f"colours: {self.quorum_app.next_palette().name}")

    def do_help(self) -> None:
        """The keys that count here."""
        self.app.push_screen(help_page(self.keymap, self.quorum_app.palette, self.can))

    def do_palette(self) -> None:
        """Commands by name."""
        listed = [command for command in COMMANDS if self.can(command.id) and command.id != "palette"]
        names = [f"{command.id.replace('_', ' ')}: {command.help}" for command in listed]
        details = ["  ".join(map(shown, self.keymap.keys_of(command.id))) for command in listed]

        def take(number: int | None) -> None:
            if number is not None:
                self.run_command(listed[number].id)

        self.app.push_screen(Pick("Command", names, details), take)

    def do_quit(self) -> None:
        """Leave the program."""
        self.app.exit(0)
