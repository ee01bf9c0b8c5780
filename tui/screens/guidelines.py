"""Guidelines and types: read and changed beside the work, each change a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, TextArea

from tools.annotation.labels import Label
from tools.errors import QuorumError
from tui.labelling.editor import Target
from tui.labelling.labeledit import with_fields, write_label
from tui.labelling.session import Session
from tui.screens.looking import LookScreen
from tui.widgets.lines import Lines, Piece
from tui.widgets.virtual import VirtualList

if TYPE_CHECKING:
    from pathlib import Path

    from tui.labelling.project import Project


class GuidelinesScreen(LookScreen):
    """Edits the types' descriptions, which the models' prompts show, and the guidelines, which people read.

    Gives the names of the types that were changed; None where nothing was.

    Args:
        project: What is changed.
        session: Whose store keeps the versions.
        target: The span one came from; its type is shown first.
    """

    NAME = "guidelines and types"
    TABLE = "guidelines"
    TYPING = ("keep", "back", "next_field", "previous_field")
    FOOTER = (("keep", "keep"), ("next_field", "next field"), ("down", "next type"))
    CSS = """
    GuidelinesScreen Vertical Lines { height: 1; }
    GuidelinesScreen #types { width: 26; }
    GuidelinesScreen Input { border: none; height: 1; padding: 0 1; background: $surface; }
    GuidelinesScreen TextArea { height: 1fr; border: none; padding: 0 1; }
    """

    def __init__(self, project: Project, session: Session, target: Target | None = None) -> None:
        super().__init__()
        self._project, self._session = project, session
        names = list(project.labels.names)
        self._place = names.index(target.span.label) if target and target.span.label in names else 0
        self._changed: list[str] = []
        self._asked: tuple[Label, str] | None = None  # what was asked about, as it was then

    @property
    def root(self) -> Path | None:
        """The project's folder."""
        return self._project.root

    @property
    def listed(self) -> VirtualList | None:
        """The types."""
        return self.query_one(VirtualList)

    def compose(self) -> ComposeResult:
        """The types, the fields of one, the guidelines."""
        yield Lines(id="title")
        with Horizontal():
            yield VirtualList(self._rows, len(self._project.labels), self.palette, id="types")
            with Vertical():
                for name in ("description", "examples", "counter-examples"):
                    yield Lines(id=f"{name}-title")
                    yield Input(id=name)
                yield Lines(id="guidelines-title")
                yield TextArea(self._project.guidelines[1], id="guidelines", tab_behavior="focus", soft_wrap=True)
        yield Lines(id="keys")
        yield Lines(id="small")

    def begin(self) -> None:
        """Show the type one came from."""
        listed = self.query_one(VirtualList)
        listed.cursor = self._place
        listed.can_focus = False  # the list has the keys as long as nothing is typed
        self._fill()

    @property
    def _label(self) -> Label:
        return self._project.labels.labels[self._place]

    def _fill(self) -> None:
        label = self._label
        self.query_one("#description", Input).value = label.description
        self.query_one("#examples", Input).value = "; ".join(label.examples)
        self.query_one("#counter-examples", Input).value = "; ".join(label.counter_examples)

    def paint(self) -> None:
        """What is edited."""
        palette = self.palette
        version = self._session.store.label_set_version()
        where = f"types version {version}, guidelines version {self._project.guidelines[0]}"
        self.head(where, f"{self.key('keep')} keeps what was changed; a type's description is what the models read")
        for name, text in (
            ("description", f"{self._label.name}: what it is, in one line; the prompt shows this text"),
            ("examples", "examples, separated by ;"),
            ("counter-examples", "looks like it and is not, separated by ;"),
            ("guidelines", "guidelines for people"),
        ):
            self.query_one(f"#{name}-title", Lines).write([[(f" {text}", palette.faded())]], palette.plain())

    def _rows(self, first: int, last: int) -> list[list[Piece]]:
        palette = self.palette
        return [
            [(label.name, palette.of_type(number, own=True))]
            for number, label in enumerate(self._project.labels.labels[first:last], first)
        ]

    def on_virtual_list_moved(self, event: VirtualList.Moved) -> None:
        """Another type; what was changed in this one is kept first."""
        if self._edited() != self._label:
            self._keep()
        self._place = event.row
        self._fill()
        self.renew()

    def _edited(self) -> Label:
        values = [self.query_one(f"#{name}", Input).value for name in ("description", "examples", "counter-examples")]
        return with_fields(self._label, *values)

    def done_typing(self) -> None:
        """To the list."""
        self.set_focus(None)

    def run_command(self, name: str) -> None:
        """A command was chosen; what is to be dropped has to be asked for twice in a row."""
        if name not in ("back", "leave"):
            self._asked = None
        super().run_command(name)

    def holds_back(self) -> bool:
        """Whether something was changed and not kept; the second time in a row it is dropped."""
        if not self._dirty() or self._asked == (self._edited(), self._text):
            return False
        self._asked = self._edited(), self._text
        self.say(f"not kept: {self.key('keep')} keeps it, the same key again drops it")
        self.renew()
        return True

    @property
    def _text(self) -> str:
        return self.query_one("#guidelines", TextArea).text

    def do_keep(self) -> None:
        """Keep."""
        self._keep()

    def do_next_field(self) -> None:
        """On, and from the last field to the list."""
        self._field(1)

    def do_previous_field(self) -> None:
        """Back."""
        self._field(-1)

    def _field(self, by: int) -> None:
        fields = [None, *self.query(Input), self.query_one(TextArea)]
        self.set_focus(fields[(fields.index(self.focused) + by) % len(fields)])

    def do_back(self) -> None:
        """Back to the work."""
        if not self.holds_back():
            self.dismiss(self._changed or None)

    def do_leave(self) -> None:
        """Leave."""
        if not self.holds_back():
            self.app.exit(0)

    def _dirty(self) -> bool:
        return self._edited() != self._label or self._text != self._project.guidelines[1]

    def _keep(self) -> None:
        store, who = self._session.store, self._session.annotator
        edited = self._edited()
        try:
            if edited != self._label:
                labels = write_label(self._project.labels_path, self._project.labels, edited)
                store.save_label_set(labels)
                self._project.labels = labels
                if edited.name not in self._changed:
                    self._changed.append(edited.name)
            text = self._text
            if text != self._project.guidelines[1]:
                self._project.guidelines = (store.save_guidelines(text, who), text)
            self.say("\u2713 kept")
        except QuorumError as error:
            self.fail(error)
        self.renew()
