"""What a page is made of: sentences, tables, plots, the documents."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        caption: What it is of.
        heads: Of the columns.
        rows: Texts; the first cell heads its row.
        strong: Numbers of the rows to stress.
        prose: Whether its cells are words, not numbers.
    """

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: tuple[int, ...] = ()
    prose: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot: a caption, static SVG, and what to see in it."""

    caption: str
    svg: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """All about one data set: a title, sentences, tables and plots."""

    title: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    more: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True)
class EvalReport:
    """What a page says.

    Attributes:
        title: The heading.
        facts: Name and value, in the order to be shown.
        sections: One a data set.
        provenance: Name and value: versions, models, prompts, machine.
        notes: What a reader should know: logs that are not whole.
        documents: What the browser shows, packed; see ``Documents.packed``.
        cells: How many cells the browser has.
        shown: The number of the cell it begins with: the best on the first data set.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    provenance: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    documents: str
    cells: int
    shown: int = 0
