"""Guidelines and types: read and changed beside the work, each change a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Input, TextArea

from tools.annotation.labels import Label
from tools.errors import QuorumError
from tui.labelling.editor import Target
from tui.labelling.labeledit import with_fields, write_label
from tui.labelling.session import Session
from tui.widgets.lines import Lines, Piece
from tui.widgets.virtual import VirtualList

if TYPE_CHECKING:
    from tui.app import QuorumApp
    from tui.labelling.project import Project
    from tui.theme import Palette


class GuidelinesScreen(Screen[list[str] | None]):
    """Edits the types' descriptions, which the models' prompts show, and the guidelines, which people read.

    Gives the names of the types that were changed; None where nothing was.

    Args:
        project: What is changed.
        session: Whose store keeps the versions.
        target: The span one came from; its type is shown first.
    """

    CSS = """
    GuidelinesScreen Lines { height: 1; }
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
        self._says = ""

    @property
    def _palette(self) -> Palette:
        return cast("QuorumApp", self.app).palette

    def compose(self) -> ComposeResult:
        """The types, the fields of one, the guidelines."""
        yield Lines(id="title")
        with Horizontal():
            yield VirtualList(self._rows, len(self._project.labels), self._palette, id="types")
            with Vertical():
                for name in ("description", "examples", "counter-examples"):
                    yield Lines(id=f"{name}-title")
                    yield Input(id=name)
                yield Lines(id="guidelines-title")
                yield TextArea(self._project.guidelines[1], id="guidelines", tab_behavior="focus", soft_wrap=True)
        yield Lines(id="keys")

    def on_mount(self) -> None:
        """Show the type one came from."""
        listed = self.query_one(VirtualList)
        listed.cursor = self._place
        listed.focus()
        self._fill()
        self._head()

    @property
    def _label(self) -> Label:
        return self._project.labels.labels[self._place]

    def _fill(self) -> None:
        label = self._label
        self.query_one("#description", Input).value = label.description
        self.query_one("#examples", Input).value = "; ".join(label.examples)
        self.query_one("#counter-examples", Input).value = "; ".join(label.counter_examples)

    def _head(self) -> None:
        palette = self._palette
        version = self._session.store.label_set_version()
        title: list[Piece] = [
            (" guidelines and types ", palette.key()),
            (
                f" types version {version}, guidelines version {self._project.guidelines[0]}   {self._says}",
                palette.strip(),
            ),
        ]
        self.query_one("#title", Lines).write([title], palette.strip())
        for name, text in (
            ("description", f"{self._label.name}: what it is, in one line; the prompt shows this text"),
            ("examples", "examples, separated by ;"),
            ("counter-examples", "looks like it and is not, separated by ;"),
            ("guidelines", "guidelines for people"),
        ):
            self.query_one(f"#{name}-title", Lines).write([[(f" {text}", palette.faded())]], palette.plain())
        keys: list[Piece] = []
        for key, what in (("Tab", "next field"), ("\u2191\u2193", "another type"), ("Ctrl-S", "keep"), ("Esc", "back")):
            keys += [(f" {key}", palette.key()), (f" {what} ", palette.strip())]
        self.query_one("#keys", Lines).write([keys], palette.strip())

    def _rows(self, first: int, last: int) -> list[list[Piece]]:
        palette = self._palette
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
        self._head()

    def _edited(self) -> Label:
        values = [self.query_one(f"#{name}", Input).value for name in ("description", "examples", "counter-examples")]
        return with_fields(self._label, *values)

    def on_key(self, event: events.Key) -> None:
        """Keep, or go back."""
        if event.key == "ctrl+s":
            event.stop()
            self._keep()
        elif event.key == "escape":
            event.stop()
            if self._dirty() and not self._says.startswith("not kept"):
                self._says = "not kept: Ctrl-S keeps it, Esc again drops it"
                self._head()
            else:
                self.dismiss(self._changed or None)

    def _dirty(self) -> bool:
        text = self.query_one("#guidelines", TextArea).text
        return self._edited() != self._label or text != self._project.guidelines[1]

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
            text = self.query_one("#guidelines", TextArea).text
            if text != self._project.guidelines[1]:
                self._project.guidelines = (store.save_guidelines(text, who), text)
            self._says = "\u2713 kept"
        except QuorumError as error:
            self._says = f"{error.message}. {error.hint}"
        self._head()
