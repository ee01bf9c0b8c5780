"""What the viewer of a run asks for: its cells, their documents, and what was asked and answered; read when needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evals.browse import Case, cases, texts_of
from evals.compare import Row, compare_runs, state_notes
from evals.errors import EvalDataError
from evals.log import CellLog, RunLog
from evals.pairs import END_TO_END, Tick, groups
from evals.records import PassDocument, PromptText
from evals.report.settings import varied_axes, words


@dataclass(frozen=True, slots=True)
class Entry:
    """A cell in the list.

    Attributes:
        cell: The cell.
        base: The cell that changes are told against; None where there is none.
        row: The comparison with it.
        label: What to call the cell in short: what differs from the baseline.
    """

    cell: CellLog
    base: CellLog | None = None
    row: Row | None = None
    label: str = ""

    @property
    def end_to_end(self) -> bool:
        """Whether it has documents with gold and predictions."""
        return self.cell.header.kind == END_TO_END and self.cell.end.state == "done"


class Viewed:
    """A run that somebody looks at.

    Args:
        run: The run.
        baseline: Another run that its cells are held against; None holds them
            against one of their own.
        against: Which; the first by default.
        tick: Told how far the work is.

    Attributes:
        run: The run.
        entries: Its cells, in the order of the plan.
        notes: What is not whole about it.

    Raises:
        EvalDataError: The baseline is of other data, or the cell does not exist.
        EvalLogError: A log is damaged.
    """

    def __init__(
        self,
        run: RunLog,
        baseline: RunLog | None = None,
        against: str = "",
        tick: Tick = lambda what, done, total: None,
    ) -> None:
        self.run = run
        self._baseline = baseline
        self._cases: dict[str, list[Case]] = {}
        self._documents: dict[str, dict[str, PassDocument]] = {}
        self.notes = tuple(state_notes(run))
        rows = self._compared(against, tick)
        known = {cell.id: cell for cell in (baseline or run).cells}
        axes = varied_axes([c.header.settings for c in run.cells if c.header.kind == END_TO_END])
        self.entries = tuple(self._entry(cell, rows.get(cell.id), known, axes) for cell in run.cells)

    def _entry(self, cell: CellLog, row: Row | None, known: Mapping[str, CellLog], axes: tuple[str, ...]) -> Entry:
        base = known.get(row.a_cells[0]) if row else None
        head = cell.header
        if head.kind != END_TO_END:
            return Entry(cell, base, row, head.name)
        # Cells of another run have equal settings; then all that varies is named.
        within = base.header.settings if base is not None and self._baseline is None else None
        label = f"{head.data.name}: {words(head.settings, within, axes)}"
        seed = f", seed {head.seed}" if head.name.endswith(f" seed={head.seed}") else ""
        return Entry(cell, base, row, label + seed)

    def _compared(self, against: str, tick: Tick) -> Mapping[str, Row]:
        own = [group for group in groups(self.run).values() if group.kind == END_TO_END]
        if not own or (self._baseline is None and not against and len(own) < 2):
            return {}
        first = against if against or self._baseline is not None else own[0].first.id
        try:
            report = compare_runs(self._baseline or self.run, self.run, against=first, tick=tick)
        except EvalDataError as error:
            # Without a wish of the person's there is nothing to refuse: cells of one data set each.
            if against or self._baseline is not None:
                raise
            self.notes = (*self.notes, error.message)
            return {}
        return {id: row for row in report.rows for id in row.b_cells}

    def cases(self, entry: Entry) -> list[Case]:
        """The documents of a cell, with errors and changes."""
        id = entry.cell.id
        if id not in self._cases:
            self._cases = {id: cases(entry.cell, entry.base)}  # one cell at a time is looked at
        return self._cases[id]

    def documents(self, entry: Entry) -> dict[str, PassDocument]:
        """Texts, questions and answers of a cell's documents by id; none where only a baseline is left."""
        key = entry.cell.header.pass_id
        if key not in self._documents:
            others = () if self._baseline is None else (self._baseline,)
            self._documents = {key: texts_of((self.run, *others), entry.cell)}
        return self._documents[key]

    def prompt(self, entry: Entry, hash: str) -> PromptText | None:
        """The text of a prompt; None where it was not kept."""
        made = self.run.pass_of(entry.cell)
        return made.prompts().get(hash) if made is not None else None
