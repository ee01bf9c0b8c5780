"""The viewer of a run: cells, then documents, then all that was asked and answered about one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Input

from evals.browse import CHANGES, STEPS, Case, Change, Filter
from evals.compare import points, signed
from evals.records import PassDocument
from evals.view import Entry, Viewed
from tools.errors import QuorumError
from tools.metrics import ErrorKind
from tui.screens.eval_detail import Detail, Line, detail, prompt_lines
from tui.screens.label_dialogs import Page
from tui.widgets.lines import Lines, Piece
from tui.widgets.virtual import VirtualList

if TYPE_CHECKING:
    from tui.app import QuorumApp
    from tui.theme import Palette

KINDS = ("", "any", "none", *(str(kind) for kind in ErrorKind if kind is not ErrorKind.CORRECT))
_CHANGES = {Change.BETTER: "▲", Change.WORSE: "▼", Change.OTHER: "≠", Change.SAME: " ", Change.NONE: " "}
_KEYS = (
    ("Enter", "open the cell, the document, the prompt"),
    ("Esc or q", "back; on the first screen, leave"),
    ("j k arrows", "move; PgUp PgDn Home End as everywhere"),
    ("e", "documents: next class of errors; E the one before"),
    ("s", "documents: next step that errors are charged to"),
    ("c", "documents: all, changed since the baseline, better, worse"),
    ("/", "documents: search in texts and ids"),
    ("x", "documents: no filter"),
    ("n p", "document: the next, the one before, of those that pass the filter"),
    ("b", "document: what the baseline decided, too"),
    ("t", "next colours"),
)


# Textual reads a screen's CSS from its own class, not from its parents', and applies it to that class alone.
_CSS = """
Lines { height: 1; }
#title { height: 2; }
VirtualList { height: 1fr; }
Input { border: none; height: 1; padding: 0 1; background: $surface; }
"""


class EvalScreen(Screen[None]):
    """A title, a list, the keys."""

    KEYS: Sequence[tuple[str, str]] = ()

    @property
    def palette(self) -> Palette:
        """The colours in use."""
        return cast("QuorumApp", self.app).palette

    @property
    def listed(self) -> VirtualList:
        """The list."""
        return self.query_one(VirtualList)

    def head(self, title: str, says: str) -> None:
        """Write the two lines above and the keys below."""
        palette = self.palette
        first: list[Piece] = [(f" {title}", palette.key())]
        self.query_one("#title", Lines).write([first, [(f" {says}", palette.strip())]], palette.strip())
        keys: list[Piece] = []
        for key, what in self.KEYS:
            keys += [(f" {key}", palette.key()), (f" {what} ", palette.strip())]
        self.query_one("#keys", Lines).write([keys], palette.strip())

    def pressed(self, key: str) -> bool:
        """A key of this screen's own; False where it is none."""
        return False

    def on_key(self, event: events.Key) -> None:
        """Back, help, and each screen's own keys."""
        if isinstance(self.focused, Input):
            if event.key in ("escape", "down"):
                event.stop()
                self.listed.focus()
            return
        key = event.character if event.is_printable and event.character else event.key
        if key in ("escape", "q"):
            event.stop()
            self.leave()
        elif key in ("?", "f1"):
            event.stop()
            plain, bold = self.palette.plain(), self.palette.plain() + Style(bold=True)
            self.app.push_screen(Page("Keys", [[(f"  {k:<12}", bold), (what, plain)] for k, what in _KEYS], ("?",)))
        elif self.pressed(key):
            event.stop()

    def leave(self) -> None:
        """Go back."""
        self.dismiss(None)


class CellsScreen(EvalScreen):
    """The cells of a run with their figures; Enter opens one.

    Args:
        viewed: The run.
    """

    CSS = _CSS
    KEYS = (("Enter", "open"), ("?", "keys"), ("q", "leave"))

    def __init__(self, viewed: Viewed) -> None:
        super().__init__()
        self._viewed = viewed

    def compose(self) -> ComposeResult:
        """Title, column heads, list, keys."""
        yield Lines(id="title")
        yield Lines(id="heads")
        yield VirtualList(self._rows, len(self._viewed.entries), self.palette)
        yield Lines(id="keys")

    def on_mount(self) -> None:
        """Paint."""
        self.listed.focus()
        self._paint()

    def on_resize(self) -> None:
        """Other columns fit."""
        self._paint()
        self.listed.renew()

    def _paint(self) -> None:
        head = self._viewed.run.header
        says = "; ".join(self._viewed.notes) or f"{head.suite}, begun {head.started[:16].replace('T', ' ')}"
        self.head(f"{head.run}  {len(self._viewed.entries)} cells", says)
        names = self._line("cell", ("F1", "95 %", "P", "R", "b-a", "verdict", "tok/doc"), self.palette.faded())
        self.query_one("#heads", Lines).write([[("  ", self.palette.faded()), *names]], self.palette.faded())

    def _line(self, name: str, cells: Sequence[str], style: Style) -> Line:
        widths = (6, 13, 6, 6, 7, 12, 8) if self.size.width >= 110 else (6, 0, 0, 0, 7, 12, 8)
        room = max(10, self.size.width - 4 - sum(widths))
        figures = "".join(f"{cell:>{wide}}" for cell, wide in zip(cells, widths, strict=True) if wide)
        shown = name if len(name) <= room else name[: room - 1] + "…"
        return [(f"{shown:<{room}}", style), (figures, style)]

    def _rows(self, first: int, last: int) -> list[Line]:
        return [self._row(entry) for entry in self._viewed.entries[first:last]]

    def _row(self, entry: Entry) -> Line:
        head, end, plain = entry.cell.header, entry.cell.end, self.palette.plain()
        if end.state != "done":
            return [(head.name, self.palette.faded()), (f"   {end.reason}", self.palette.faded())]
        f = end.figures
        if not entry.end_to_end:
            told = ", ".join(f"{k} {v:.2f}" for k, v in f.items() if "/" not in k and k != "support")
            return [(f"{head.name}   ", plain), (told, self.palette.faded())]
        row = entry.row
        verdict = "" if row is None else "same cell" if row.same else str(row.verdict)
        cells = (
            points(f["f1"]),
            f"{points(f['f1_low'])}-{points(f['f1_high'])}" if "f1_low" in f else "",
            points(f["precision"]),
            points(f["recall"]),
            "" if row is None else signed(row.difference),
            verdict,
            f"{end.cost.get('tokens_per_document', 0):,.0f}",
        )
        return self._line(entry.label, cells, plain)

    def on_virtual_list_chosen(self, event: VirtualList.Chosen) -> None:
        """Open the cell."""
        if type(event) is not VirtualList.Chosen:
            return
        entry = self._viewed.entries[event.row]
        if entry.end_to_end:
            self.app.push_screen(DocumentsScreen(self._viewed, entry))
        elif entry.cell.end.state == "done":
            self.app.push_screen(Page(entry.cell.header.name, _questions(entry, self.palette)))

    def pressed(self, key: str) -> bool:
        """Change the colours."""
        if key != "t":
            return False
        cast("QuorumApp", self.app).next_palette()
        fresh = CellsScreen(self._viewed)
        self.app.switch_screen(fresh)
        return True

    def leave(self) -> None:
        """End the program."""
        self.app.exit(0)


def _questions(entry: Entry, palette: Palette) -> list[Line]:
    plain, bold, faded = palette.plain(), palette.plain() + Style(bold=True), palette.faded()
    lines: list[Line] = []
    for document in entry.cell.oracle_documents():
        lines.append([(document.id, bold)])
        for item in document.items:
            right = item.answer == item.truth
            who = f"  {', '.join(item.members)}" if item.members else ""
            said = f"truth {item.truth or 'none'}, answer {item.answer or 'none'} {item.probability:.2f}"
            start, end, label = item.span
            lines.append(
                [
                    (f"  {'✓' if right else '✗'} ", bold),
                    (f"{start}-{end} {label} ({item.kind})  ", plain),
                    (said + who, faded if right else plain),
                ]
            )
    return lines


class DocumentsScreen(EvalScreen):
    """The documents of a cell; filters leave some of them.

    Args:
        viewed: The run.
        entry: The cell.
    """

    CSS = _CSS
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

    CSS = _CSS
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
