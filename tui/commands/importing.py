"""``quorum import``: documents, and gold where they carry it, into a project."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.common import HERE, JsonOption, ProjectOption, counted, load_project, note, open_store, print_json

if TYPE_CHECKING:
    from tools.annotation import Document, LabelSet, Span
    from tools.store import Store

BATCH = 1000
ANNOTATOR = "import"


@dataclass(slots=True)
class Imported:
    """What an import came to, in documents.

    Attributes:
        added: New in the project.
        skipped: There already, with the same text.
        gold: Given gold, or given other gold than they had.
        gold_skipped: There already, with the same gold.
        without_gold: Without entities in their record, so not taken for reviewed.
        bad: Records that could not be used (only with --skip-bad).
    """

    added: int = 0
    skipped: int = 0
    gold: int = 0
    gold_skipped: int = 0
    without_gold: int = 0
    bad: int = 0


def import_documents(
    source: Annotated[str, typer.Argument(metavar="FILE|DIR|-", help="Text, JSONL, CSV, TSV or Parquet; .gz too.")],
    project: ProjectOption = HERE,
    gold: Annotated[bool, typer.Option("--gold", help="Take the entities of the records as gold.")] = False,
    lines: Annotated[bool, typer.Option("--lines", help="A document a line in text files.")] = False,
    text_column: Annotated[str, typer.Option("--text-column", help="The field that holds the text.")] = "text",
    id_column: Annotated[str, typer.Option("--id-column", help="The field that holds the id.")] = "id",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out bad records, and count them.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read documents into a project; with --gold their entities become gold.

    Run again, it skips what is there already. Labels are looked up in the
    project's label set by name or alias. A record without entities is not taken
    for reviewed; one with an empty list is.
    """
    from tools.formats import ReadReport, read_documents

    config = load_project(project)
    labels = config.label_set()
    report = ReadReport()
    done = Imported()
    with open_store(config) as store:
        store.save_label_set(labels)
        documents = read_documents(
            source, lines=lines, text_column=text_column, id_column=id_column, skip_bad=skip_bad, report=report
        )
        while batch := list(islice(documents, BATCH)):
            _take(store, batch, labels if gold else None, done, skip_bad=skip_bad)
        done.bad += report.bad_count
        total = store.document_count()
    for warning in report.warnings:
        note(f"warning: {warning}")
    if as_json:
        print_json({**asdict(done), "documents": total, "encodings": dict(report.encodings)})
        return
    note(f"{counted(done.added, 'document')} added, {done.skipped:,} were there already; the project has {total:,}")
    if gold:
        already, without = done.gold_skipped, done.without_gold
        note(f"gold for {counted(done.gold, 'document')}, {already:,} had the same; {without:,} carried none")
    if done.bad:
        note(f"{counted(done.bad, 'bad record')} left out")
    note(f"next: quorum status --project {project}")


def _take(store: Store, batch: list[Document], labels: LabelSet | None, done: Imported, *, skip_bad: bool) -> None:
    """Add a batch and its gold in one transaction; what is counted was written."""
    if labels is None:
        added = store.add_documents(batch)
        done.added += added.added
        done.skipped += added.skipped
        return
    # Checked before anything is written, so that a bad record leaves no half of its batch behind.
    checked = list(_checked(batch, labels, done, skip_bad=skip_bad))
    with store.transaction():
        added = store.add_documents(_bare(document) for document, _ in checked)
        new = same = without = 0
        for document, spans in checked:
            if spans is None:
                without += 1
                continue
            there = store.gold(document.id, ANNOTATOR)
            if there is not None and there.spans == spans:
                same += 1
                continue
            store.set_gold(document.id, spans, ANNOTATOR, "import")
            new += 1
    done.added += added.added
    done.skipped += added.skipped
    done.gold += new
    done.gold_skipped += same
    done.without_gold += without


def _checked(
    batch: Iterable[Document], labels: LabelSet, done: Imported, *, skip_bad: bool
) -> Iterator[tuple[Document, tuple[Span, ...] | None]]:
    from tools.errors import InputError
    from tools.formats import gold_spans

    for document in batch:
        if "entities" not in document.meta:
            yield document, None
            continue
        try:
            yield document, gold_spans(document, labels)
        except InputError as error:
            if not skip_bad:
                raise
            done.bad += 1
            note(f"left out: {error.message}")


def _bare(document: Document) -> Document:
    """The document without the entities, which live in the store as gold."""
    from tools.annotation import Document

    return Document(document.id, document.text, {k: v for k, v in document.meta.items() if k != "entities"})
