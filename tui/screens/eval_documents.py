"""The documents of a cell, and one document with all that was asked and answered about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.style import Style
from textual.app import ComposeResult
from textual.widgets import Input

from evals.browse import CHANGES, STEPS, Case, Change, Filter
from evals.records import PassDocument
from evals.view import Entry, Viewed
from tools.errors import QuorumError
from tools.metrics import ErrorKind
from tui.screens.eval_detail import Detail, Line, detail, prompt_lines
from tui.screens.eval_screen import EVAL_CSS, EvalScreen
from tui.screens.label_dialogs import Page
from tui.widgets.lines import Lines
from tui.widgets.virtual import VirtualList

KINDS = ("", "any", "none", *(str(kind) for kind in ErrorKind if kind is not ErrorKind.CORRECT))
_CHANGES = {Change.BETTER: "▲", Change.WORSE: "▼", Change.OTHER: "≠", Change.SAME: " ", Change.NONE: " "}


class DocumentsScreen(EvalScreen):
    """The documents of a cell; filters leave some of them.

    Args:
        viewed: The run.
        entry: The cell.
    """

    CSS = EVAL_CSS
    KEYS = (
        ("Enter", "open"), ("e", "error"), ("s", "step"), ("c", "changed"), ("/", "search"), ("x", "all"),
        ("?", "keys"), ("q", "back"),
    )  # fmt: skip

    def __init__(self, viewed: Viewed, entry: Entry) -> None:
        super().__init__()
        self._viewed, self._entry = viewed, entry
        self.wanted = Filter(kind="any")
        self._cases: list[Case] = []
        self._texts: dict[str, PassDocument] = {}
        self._found: list[Case] = []
        self._says = "reading ..."

    def compose(self) -> ComposeResult:
        """Title, search, list, keys."""
        yield Lines(id="title")
        yield Input(placeholder="search in texts and ids")
        yield VirtualList(self._rows, 0, self.palette)
        yield Lines(id="keys")

    def on_mount(self) -> None:
        """Read the cell beside the screen."""
        self.listed.focus()
        self._paint()
        self.run_worker(self._read, thread=True)

    def _read(self) -> None:
        try:
            found, texts = self._viewed.cases(self._entry), self._viewed.documents(self._entry)
        except (QuorumError, OSError) as error:  # the log may be gone, or damaged where nobody had read yet
            self.app.call_from_thread(self._show, [], {}, str(error))
            return
        self.app.call_from_thread(self._show, found, texts, "")

    def _show(self, found: list[Case], texts: dict[str, PassDocument], says: str) -> None:
        self._cases, self._texts, self._says = found, texts, says
        if self.is_mounted:
            self._apply()

    def _apply(self) -> None:
        self._found = [case for case in self._cases if self.wanted.passes(case, self._text(case))]
        self.listed.cursor = 0
        self.listed.renew(len(self._found))
        self._paint()

    def _text(self, case: Case) -> str:
        return self._texts[case.id].text if case.id in self._texts else ""

    def _paint(self) -> None:
        wanted = self.wanted
        said = [{"": "all documents", "any": "with errors", "none": "without errors"}.get(wanted.kind, wanted.kind)]
        if wanted.step:
            said.append(f"charged to {wanted.step}")
        if wanted.change:
            said.append(f"{wanted.change} since the baseline")
        if wanted.words:
            said.append(f"with {wanted.words!r}")
        count = f"{len(self._found):,} of {len(self._cases):,}   "
        self.head(self._entry.cell.header.name, self._says or count + ", ".join(said))

    def _rows(self, first: int, last: int) -> list[Line]:
        palette = self.palette
        wide = self.size.width >= 110
        kind, name = (24, 26) if wide else (16, 16)
        lines: list[Line] = []
        for case in self._found[first:last]:
            kinds = ", ".join(dict.fromkeys(str(fault.kind) for fault in case.faults)) or "right"
            lines.append(
                [
                    (f"{_CHANGES[case.change]} ", palette.plain() + Style(bold=True)),
                    (f"{len(case.faults):>3} ", palette.plain()),
                    (f"{kinds[: kind - 1]:<{kind}}", palette.faded()),
                    (f"{case.id[: name - 1]:<{name}}", palette.plain()),
                    (" ".join(self._text(case)[:200].split()), palette.faded()),
                ]
            )
        return lines

    def pressed(self, key: str) -> bool:
        """The filters' keys."""
        wanted = self.wanted
        if key in ("e", "E"):
            self.wanted = replace(wanted, kind=_next(KINDS, wanted.kind, 1 if key == "e" else -1))
        elif key == "s":
            self.wanted = replace(wanted, step=_next(("", *STEPS), wanted.step))
        elif key == "c" and self._entry.base is not None:
            self.wanted = replace(wanted, kind="", change=_next(("", *CHANGES), wanted.change))
        elif key == "x":
            self.wanted = Filter()
            self.query_one(Input).value = ""
        elif key == "/":
            self.query_one(Input).focus()
            return True
        else:
            return False
        self._apply()
        return True

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Search."""
        self.wanted = replace(self.wanted, words=event.value.strip())
        self._apply()
        self.listed.focus()

    def on_virtual_list_chosen(self, event: VirtualList.Chosen) -> None:
        """Open the document."""
        if type(event) is VirtualList.Chosen and self._found:
            self.app.push_screen(DocumentScreen(self._viewed, self._entry, self._found, self._texts, event.row))


def _next(values: Sequence[str], now: str, by: int = 1) -> str:
    return values[(values.index(now) + by) % len(values)]


class DocumentScreen(EvalScreen):
    """All about one document.

    Args:
        viewed: The run.
        entry: The cell.
        found: The documents that pass the filter.
        texts: Texts, questions and answers by id.
        at: Which of them is shown.
    """

    CSS = EVAL_CSS
    KEYS = (("n p", "next, before"), ("Enter", "prompt"), ("b", "baseline"), ("?", "keys"), ("q", "back"))

    def __init__(
        self, viewed: Viewed, entry: Entry, found: list[Case], texts: dict[str, PassDocument], at: int
    ) -> None:
        super().__init__()
        self._viewed, self._entry, self._cases, self._texts, self._at = viewed, entry, found, texts, at
        self._before = False
        self._details: list[Detail] = []

    def compose(self) -> ComposeResult:
        """Title, lines, keys."""
        yield Lines(id="title")
        yield VirtualList(lambda a, b: [one.pieces for one in self._details[a:b]], 0, self.palette)
        yield Lines(id="keys")

    def on_mount(self) -> None:
        """Paint."""
        self.listed.focus()
        self._paint()

    def on_resize(self) -> None:
        """Cut anew."""
        self._paint()

    @property
    def case(self) -> Case:
        """The document that is shown."""
        return self._cases[self._at]

    def _paint(self) -> None:
        case = self.case
        types = [name.removeprefix("type_f1/") for name in self._entry.cell.end.figures if name.startswith("type_f1/")]
        known = dict.fromkeys([*types, *(s[2] for s in case.gold), *(p.label for p in case.predicted)])
        width = max(30, self.size.width - 3)
        self._details = detail(
            case, self._texts.get(case.id), list(known), self.palette, width, before=self._before
        )  # fmt: skip
        self.listed.renew(len(self._details))
        changed = f", {case.change} against the baseline" if case.change not in (Change.NONE, Change.SAME) else ""
        self.head(
            f"{case.id}   {self._at + 1:,} of {len(self._cases):,}",
            f"{case.outcome}{changed}   {self._entry.cell.header.name}",
        )

    def pressed(self, key: str) -> bool:
        """Other documents, and the baseline's decisions."""
        if key in ("n", "p"):
            self._at = max(0, min(self._at + (1 if key == "n" else -1), len(self._cases) - 1))
            self.listed.cursor = 0
        elif key == "b" and self.case.before is not None:
            self._before = not self._before
        else:
            return False
        self._paint()
        return True

    def on_virtual_list_chosen(self, event: VirtualList.Chosen) -> None:
        """Show the prompt of a question."""
        step = self._details[event.row].step if type(event) is VirtualList.Chosen else None
        if step is None:
            return
        prompt = self._viewed.prompt(self._entry, step.prompt)
        width = min(94, int(self.size.width * 0.96) - 5)
        self.app.push_screen(Page("Prompt and answer", prompt_lines(step, prompt, self.palette, width)))
