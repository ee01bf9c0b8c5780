"""``quorum import``: documents, and gold where they carry it, into a project."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.common import (
    HERE,
    JsonOption,
    ProjectOption,
    counted,
    load_project,
    note,
    open_store,
    printable,
)
from tui.report.counting import counting
from tui.report.imported import Imported, tell

if TYPE_CHECKING:
    from agent.config import ProjectConfig
    from tools.annotation import Document, LabelSet, Span
    from tools.formats import ReadReport
    from tools.formats.format import Format, ReadOptions
    from tools.formats.items import Annotated as AnnotatedDocument
    from tools.formats.items import Layer
    from tools.formats.sources import Source
    from tools.store import Store

BATCH, BATCH_CHARS = 1000, 4_000_000
ANNOTATOR = "import"


@dataclass(slots=True)
class Unknown:
    """Labels that the label set does not have.

    Attributes:
        counts: Label to how many mentions have it.
        first: Label to the document where it stands first.
    """

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, label: str, document_id: str) -> None:
        """Count one mention."""
        self.counts[label] += 1
        self.first.setdefault(label, document_id)


@dataclass(frozen=True, slots=True)
class _Job:
    """What is to be read, and how."""

    given: str | Source
    format: Format | None
    options: ReadOptions
    annotator: str
    strict: bool

    def items(self, report: ReadReport) -> Iterator[AnnotatedDocument]:
        from tools.formats.annotated import read_annotated

        report.losses.strict = self.strict
        return read_annotated(self.given, self.format, self.options, report)


def import_documents(
    source: Annotated[str, typer.Argument(metavar="FILE|DIR|-", help="In any format of docs/formats.md; .gz too.")],
    project: ProjectOption = HERE,
    gold: Annotated[bool, typer.Option("--gold", help="Take the decisions in the files as gold.")] = False,
    format_name: Annotated[
        str, typer.Option("--format", "-f", help="Of the files, where neither ending nor content says.")
    ] = "",
    annotator: Annotated[
        str, typer.Option("--annotator", metavar="NAME", help="Who the gold is put down to, whatever the file says.")
    ] = "",
    add_labels: Annotated[
        bool, typer.Option("--add-labels", help="Add labels of the gold that the label set does not have.")
    ] = False,
    repair: Annotated[bool, typer.Option("--repair", help="CoNLL: repair invalid tags, and count them.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out bad records, and count them.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Import nothing if anything in the files would be lost (with --gold).")
    ] = False,
    lines: Annotated[bool, typer.Option("--lines", help="A document a line in text files.")] = False,
    text_column: Annotated[str, typer.Option("--text-column", help="The field that holds the text.")] = "text",
    id_column: Annotated[str, typer.Option("--id-column", help="The field that holds the id.")] = "id",
    word_column: Annotated[
        int, typer.Option("--word-column", help="CoNLL: the word's column, from 0; -1 is the last.")
    ] = 0,
    tag_column: Annotated[int, typer.Option("--tag-column", help="CoNLL: the tag's column.")] = -1,
    scheme: Annotated[str, typer.Option("--scheme", help="CoNLL: bio, bioes or iob1; told by the tags if empty.")] = "",
    offsets: Annotated[
        str, typer.Option("--offsets", help="Label Studio: codepoints or utf16, where regions quote no text.")
    ] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Read documents into a project; with --gold their annotations become gold.

    Run again, it skips what is there already. Labels are looked up in the
    project's label set by name or alias. A record without entities is not taken
    for reviewed; one with an empty list is. With --gold all of the input is
    checked before anything is written.
    """
    from tools.formats import ReadReport
    from tools.formats.annotated import spooled
    from tools.formats.registry import format_named
    from tools.formats.sources import STDIN
    from tui.report.foldered import foldered

    config = load_project(project)
    labels = config.label_set()
    read_options = _options(
        lines=lines, text_column=text_column, id_column=id_column, annotations=gold, skip_bad=skip_bad,
        repair=repair, word_column=word_column, tag_column=tag_column, scheme=scheme, offsets=offsets,
    )  # fmt: skip
    done, report, added_labels = Imported(), ReadReport(), list[str]()
    with open_store(config) as store, ExitStack() as stack:
        given = stack.enter_context(spooled(sys.stdin.buffer)) if source == STDIN else source
        format_ = format_named(format_name) if format_name else None
        job = _Job(given, format_, read_options, annotator, strict)
        total = None
        if gold:
            total, unknown = _checked(job, labels)
            if unknown.counts and add_labels:
                added_labels = _add_labels(config, unknown)
                labels = config.label_set()
            elif unknown.counts and not skip_bad:
                raise _unknown(unknown, labels)
        store.save_label_set(labels)
        with counting("imported", total) as step:
            for batch in _batches(job.items(report), step):
                _take(store, batch, labels if gold else None, job, done, report)
        done.bad += report.bad_count
        documents = store.document_count()
    files = foldered(Path(source), report) if source != STDIN and Path(source).is_dir() else None
    tell(done, report, documents, added_labels, project, files, gold=gold, as_json=as_json)


def _options(*, scheme: str, offsets: str, **more: Any) -> ReadOptions:
    from tools.errors import ConfigError
    from tools.formats.format import ReadOptions
    from tools.formats.tags import SCHEMES

    if scheme and scheme.lower() not in SCHEMES:
        raise ConfigError(f"there is no tag scheme {scheme!r}", f"one of {', '.join(SCHEMES)}")
    if offsets not in ("auto", "codepoints", "utf16"):
        raise ConfigError(f"--offsets {offsets!r} is unknown", "auto, codepoints or utf16")
    return ReadOptions(scheme=scheme.lower(), offsets=offsets, **more)  # type: ignore[arg-type]


def _checked(job: _Job, labels: LabelSet) -> tuple[int, Unknown]:
    """Read all of the input and write nothing: how many documents, and which labels are unknown."""
    from tools.formats import ReadReport

    report, unknown, total = ReadReport(), Unknown(), 0
    with counting("checked") as step:
        for item in job.items(report):
            total += 1
            step()
            for layer in _gold_layers(item, job, report):
                for span in layer.spans:
                    if _resolved(labels, span.label) is None:
                        unknown.add(span.label, item.document.id)
    report.losses.settle()
    return total, unknown


def _gold_layers(item: AnnotatedDocument, job: _Job, report: ReadReport) -> list[Layer]:
    """The decisions of a document that are gold, with the annotators they are put down to.

    Raises:
        InputError: One name is to stand for several people.
    """
    from tools.errors import InputError

    found = [layer for layer in item.layers if layer.kind == "gold"]
    if len(found) < len(item.layers):
        report.losses.add("not gold", item.document.id, count=len(item.layers) - len(found))
    if job.annotator and len(found) > 1:
        names = ", ".join(layer.annotator or "unnamed" for layer in found)
        raise InputError(
            f"document {item.document.id!r} has decisions of several annotators ({names})", "leave --annotator out"
        )
    return [replace(layer, annotator=job.annotator or layer.annotator or ANNOTATOR) for layer in found]


def _resolved(labels: LabelSet, label: str) -> str | None:
    """The label meant; formats without blanks in labels write ``cell_line`` for ``cell line``."""
    from tools.annotation.labels import words_of

    return labels.resolve(label) or labels.resolve(words_of(label))


def _unknown(unknown: Unknown, labels: LabelSet) -> Exception:
    from tools.errors import InputError

    parts = [
        f"{label!r} ({counted(count, 'mention')}, first in document {unknown.first[label]!r})"
        for label, count in unknown.counts.most_common(5)
    ]
    more = len(unknown.counts) - len(parts)
    what = "label" if len(unknown.counts) == 1 else "labels"
    return InputError(
        f"unknown {what} {', '.join(parts)}{f' and {more} more' if more > 0 else ''}",
        f"add them with --add-labels, or as aliases in the label file; it has {', '.join(labels.names)}"[:300],
    )


def _add_labels(config: ProjectConfig, unknown: Unknown) -> list[str]:
    """Write the labels into the project's label file, behind what stands there.

    Raises:
        LabelSetError: A name cannot be a label.
        OutputError: The file cannot be written.
    """
    from agent.configtemplate import toml_value
    from tools.annotation import LabelSet
    from tools.errors import InputError
    from tools.formats.filing import atomic_file, told

    names = list(unknown.counts)
    LabelSet.of(*names)
    path = config.labels_path
    try:
        before = path.read_text(encoding="utf-8").rstrip("\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", "check the label file") from error
    tables = "".join(f"\n\n[[labels]]\nname = {toml_value(name)}" for name in names)
    with atomic_file(path) as out, told(path):
        out.write(f"{before}{tables}\n".encode())
    return names


def _batches(items: Iterator[AnnotatedDocument], step: Any) -> Iterator[list[AnnotatedDocument]]:
    batch: list[AnnotatedDocument] = []
    chars = 0
    for item in items:
        step()
        batch.append(item)
        chars += len(item.document.text)
        if len(batch) >= BATCH or chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def _take(
    store: Store, batch: list[AnnotatedDocument], labels: LabelSet | None, job: _Job, done: Imported, report: ReadReport
) -> None:
    """Add a batch and its gold in one transaction; what is counted was written."""
    if labels is None:
        documents = [_with_entities(item) for item in batch]
        done.unused += sum("entities" in document.meta for document in documents)
        added = store.add_documents(documents)
        done.added += added.added
        done.skipped += added.skipped
        return
    checked = [found for item in batch if (found := _gold(item, labels, job, done, report)) is not None]
    with store.transaction():
        added = store.add_documents(document for document, _ in checked)
        new = same = without = 0
        for document, layers in checked:
            changed = [_set(store, document, spans, layer) for spans, layer in layers]
            without += not changed
            new += any(changed)
            same += bool(changed) and not any(changed)
    done.added += added.added
    done.skipped += added.skipped
    done.gold += new
    done.gold_skipped += same
    done.without_gold += without


def _set(store: Store, document: Document, spans: tuple[Span, ...], layer: Layer) -> bool:
    """Record one annotator's decision; whether it is another than was there."""
    from tools.store import DocumentState

    states = {state.value for state in DocumentState}
    state = DocumentState(layer.state) if layer.state in states else DocumentState.DONE
    there = store.gold(document.id, layer.annotator)
    if there is not None and there.spans == spans and there.state is state:
        return False
    store.set_gold(document.id, spans, layer.annotator, "import", state=state)
    return True


def _gold(
    item: AnnotatedDocument, labels: LabelSet, job: _Job, done: Imported, report: ReadReport
) -> tuple[Document, list[tuple[tuple[Span, ...], Layer]]] | None:
    """A document's gold with the label set's own names; None where a label is unknown."""
    found = []
    for layer in _gold_layers(item, job, report):
        spans = set()
        for span in layer.spans:
            name = _resolved(labels, span.label)
            if name is None:
                done.bad += 1
                note(printable(f"left out: document {item.document.id!r}: unknown label {span.label!r}"))
                return None
            spans.add(span.with_label(name))
        found.append((tuple(sorted(spans)), layer))
    return item.document, found


def _with_entities(item: AnnotatedDocument) -> Document:
    """The document with its mentions in the meta, where formats without a meta of their own had them."""
    from tools.annotation import Document

    if not item.layers:
        return item.document
    text = item.document.text
    entities = [
        {"start": span.start, "end": span.end, "label": span.label, "text": span.text_in(text)}
        for span in item.layers[0].spans
    ]
    return Document(item.document.id, text, {**item.document.meta, "entities": entities})
