"""The labelling screen: one document, its spans, and what can be done with one key."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, cast

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.screen import Screen

from tools.errors import QuorumError
from tui.keymap import Keymap
from tui.labelling.session import Session
from tui.screens import label_bars as bars
from tui.screens.label_commands import Commands
from tui.screens.label_dialogs import Ask
from tui.widgets.document import DocumentView, Kind
from tui.widgets.lines import Lines

if TYPE_CHECKING:
    from tools.annotation import Document
    from tui.app import QuorumApp
    from tui.labelling.child import Child
    from tui.labelling.project import Project

SMALLEST = (40, 10)
_WIDE = 100


class LabelScreen(Commands, Screen[None]):
    """Shows a session and hands each key to the command it stands for.

    Args:
        project: The project: labels, keys, where its files are.
        session: The annotator's work.
    """

    CSS = """
    LabelScreen Lines { height: 1; width: 100%; }
    LabelScreen #types { height: auto; max-height: 3; }
    LabelScreen DocumentView { width: 1fr; height: 1fr; }
    LabelScreen #panel { width: 34; height: 1fr; display: none; }
    LabelScreen #small { display: none; height: 1fr; }
    LabelScreen.wide #panel { display: block; }
    LabelScreen.wide #types { display: none; }
    LabelScreen.bare #panel, LabelScreen.bare #types { display: none; }
    LabelScreen.small Horizontal, LabelScreen.small Lines { display: none; }
    LabelScreen.small #small { display: block; }
    """

    def __init__(self, project: Project, session: Session) -> None:
        super().__init__()
        self.project, self.session = project, session
        self.keymap: Keymap = project.keymap
        self.kinds = self._kinds_of()
        self.last_type = ""
        self.needle = ""
        self.hits: list[tuple[int, int]] = []
        self.models = ""
        self._asked: list[str] = []
        self._live: Child | None = None
        self._shown: Document | None = None

    @property
    def quorum_app(self) -> QuorumApp:
        """The application, by its own type."""
        return cast("QuorumApp", self.app)

    def _kinds_of(self) -> dict[str, Kind]:
        return {
            label.name: Kind(number, self.keymap.key_of_type(label.name))
            for number, label in enumerate(self.project.labels)
        }

    def compose(self) -> ComposeResult:
        """Title, document and panel, types, what is under the cursor, a message, what comes next."""
        yield Lines(id="title")
        with Horizontal():
            yield DocumentView(id="document")
            yield Lines(id="panel")
        yield Lines(id="types")
        yield Lines(id="focus")
        yield Lines(id="says")
        yield Lines(id="foot")
        yield Lines(id="small")

    def on_mount(self) -> None:
        """Open the first document."""
        self.query_one(DocumentView).focus()
        if self.session.document is None:
            self._first()
        self.resized()
        if self.project.ask_models:
            # Behind the first paint: the screen is there before anything heavy begins.
            self.set_timer(0.2, self._start_models)

    def _first(self) -> None:
        try:
            if not self.session.next():
                self.say(self.nothing_left())
        except QuorumError as error:
            self.fail(error)
        for note in self.keymap.notes:
            self.say(note)

    def nothing_left(self) -> str:
        """What to say when no document waits."""
        total = self.session.queue.total()
        if not total:
            return "the project has no documents yet: quorum import FILE"
        if ending := self.session.queue.ending():
            return ending
        return (
            f"all {total:,} documents of this queue are done; {self.key('queue')} lists them, {self.key('quit')} leaves"
        )

    # -- suggestions that come while one works -------------------------------------------------------------------

    def _start_models(self) -> None:
        self.models = "models are loading; suggestions come as they are ready"
        try:
            self._live = self.project.helper("tui.labelling.live", self._told)
        except QuorumError as error:
            self.models = f"no suggestions: {error.message}"
        self._ask()
        self.renew()

    class HelperSaid(Message):
        """A message of the helper process, on its way from its thread to the screen."""

        def __init__(self, message: dict[str, Any]) -> None:
            super().__init__()
            self.message = message

    def _told(self, message: dict[str, Any]) -> None:
        """What the helper says, from its thread."""
        self.post_message(self.HelperSaid(message))

    def on_label_screen_helper_said(self, event: HelperSaid) -> None:
        """New suggestions, or how the models are."""
        message = event.message
        if "ready" in message:
            self.session.suggestions_came(str(message["ready"]))
        elif "gone" in message:
            self.models, self._live = f"labelling without suggestions: {message['gone']}", None
        elif "ended" in message:
            if self._live is not None:
                self.models, self._live = "the models have stopped; labelling goes on without suggestions", None
        else:
            self.models = str(message.get("models", ""))
        self.renew()

    def _ask(self) -> None:
        """Ask for what is shown and what comes next, when that has changed."""
        if self._live is None:
            return
        wanted = self.session.wants_suggestions()
        if wanted != self._asked:
            self._asked = wanted
            self._live.send({"ask": wanted})

    def on_unmount(self) -> None:
        """Let the helpers end."""
        self.project.close()

    # -- types that were changed ---------------------------------------------------------------------------------

    def labels_changed(self, labels: list[str]) -> None:
        """Types were edited: show them, and offer to ask again about what carries them."""
        self.keymap = self.project.keymap
        self.kinds = self._kinds_of()
        touched = self.session.store.labelled_with(tuple(labels), self.session.annotator) if labels else []
        if not touched:
            self.say("\u2713 kept as a new version; models read it with their next prompt")
            return

        def answer(text: str | None) -> None:
            if text is not None and text.strip().lower() in ("y", "yes"):
                self.guarded(
                    lambda: self.say(f"\u2713 {self.session.requeue(touched)} documents will be asked about again")
                )

        question = f"{len(touched):,} finished documents carry {', '.join(labels)}: ask about them again? (y or n)"
        self.app.push_screen(Ask(question, "n"), answer)

    # -- showing ------------------------------------------------------------------------------------------------

    def renew(self) -> None:
        """Paint what changed."""
        if not self.is_mounted:
            return
        palette, session = self.quorum_app.palette, self.session
        if self.has_class("small"):
            text = (
                f"This terminal is {self.size.width}x{self.size.height}; labelling needs {SMALLEST[0]}x{SMALLEST[1]}. "
            )
            text += "Make it larger; everything is kept, and the keys work."
            lines = [[(line, palette.plain())] for line in textwrap.wrap(text, max(8, self.size.width))]
            self.query_one("#small", Lines).write(lines, palette.plain())
            return
        if session.document is not self._shown:
            self._shown = session.document
            self.call_later(self._ask)
        view = self.query_one(DocumentView)
        view.show(session.editor, palette, self.kinds, self.hits, self.hints_left)
        state = bars.State(session, self.project, self.keymap, palette, self.size.width, self.models, view.progress)
        strip = palette.strip()
        self.query_one("#title", Lines).write([bars.title(state)], strip)
        self.query_one("#focus", Lines).write([bars.under_cursor(state)], strip)
        style = palette.warning() if self.failed else palette.plain()
        says = self.says or bars.note_line(state)
        self.query_one("#says", Lines).write([[(f" {says}", style)]], style if self.failed else palette.plain())
        self.query_one("#foot", Lines).write([bars.footer(state)], strip)
        if self.has_class("wide") and not self.has_class("bare"):
            self.query_one("#panel", Lines).write(bars.panel(state, 34, self.size.height), palette.plain())
        elif not self.has_class("bare"):
            lines = bars.type_rows(state, self.chord)
            types = self.query_one("#types", Lines)
            wanted = max(1, min(3, len(lines)))
            if types.styles.height is None or types.styles.height.value != wanted:
                types.styles.height = wanted
            types.write(lines, palette.plain())

    def on_resize(self) -> None:
        """Fit to the terminal."""
        self.resized()

    def resized(self) -> None:
        """Choose what there is room for."""
        width, height = self.size
        self.set_class(width < SMALLEST[0] or height < SMALLEST[1], "small")
        self.set_class(width >= _WIDE, "wide")
        self.call_after_refresh(self.renew)
        self.renew()

    def on_screen_resume(self) -> None:
        """Back from another screen."""
        self.call_after_refresh(self.renew)

    def on_document_view_clicked(self, event: DocumentView.Clicked) -> None:
        """To the character that was clicked on."""
        self.session.editor = self.session.editor.moved(event.offset)
        self.renew()

    @property
    def finished(self) -> bool:
        """Whether the document shown is done or flagged."""
        return self.session.editor.done or self.session.editor.decision.finished
