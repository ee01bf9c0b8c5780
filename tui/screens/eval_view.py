"""The viewer of a run begins with its cells and their figures; Enter opens one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from rich.style import Style
from textual.app import ComposeResult

from evals.points import points, signed
from evals.view import Entry, Viewed
from tui.screens.eval_detail import Line
from tui.screens.eval_documents import DocumentsScreen
from tui.screens.eval_screen import EVAL_CSS, EvalScreen
from tui.screens.label_dialogs import Page
from tui.widgets.lines import Lines
from tui.widgets.virtual import VirtualList

if TYPE_CHECKING:
    from tui.app import QuorumApp
    from tui.theme import Palette


class CellsScreen(EvalScreen):
    """The cells of a run with their figures; Enter opens one.

    Args:
        viewed: The run.
    """

    CSS = EVAL_CSS
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
