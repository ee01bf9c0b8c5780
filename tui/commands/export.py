"""``quorum export``: a project's gold, or what a run proposes, in any format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
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
    print_json,
    printable,
)
from tui.report.counting import counting

if TYPE_CHECKING:
    from agent.config import ProjectConfig
    from tools.formats.items import Annotated as AnnotatedDocument
    from tools.store import Run, Store

_RUN = re.compile(r"(?:run[\s:#-]*)?([0-9]+)")


def export(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE|DIR", help="Where to; .gz packs text.")],
    project: ProjectOption = HERE,
    format_name: Annotated[
        str, typer.Option("--format", "-f", help="Of the output, where its ending does not say: see docs/formats.md.")
    ] = "",
    what: Annotated[
        str, typer.Option("--what", metavar="gold|suggestions|run:ID", help="What people decided, or models proposed.")
    ] = "gold",
    annotator: Annotated[
        str, typer.Option("--annotator", metavar="NAME|all", help="Whose gold; the decision that counts if left out.")
    ] = "",
    undecided: Annotated[bool, typer.Option("--undecided", help="Also documents without a decision.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Write nothing if anything would be lost.")] = False,
    scheme: Annotated[str, typer.Option("--scheme", help="CoNLL: bio, bioes or iob1.")] = "bio",
    split_tokens: Annotated[
        bool, typer.Option("--split-tokens", help="CoNLL, DocBin: cut tokens where mentions begin or end in them.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a folder of an earlier export.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a project's annotations to a file or a folder.

    Formats: jsonl, parquet, conll, docbin (spaCy), brat, labelstudio, prodigy;
    docs/formats.md says what each can hold. What the format cannot hold is
    counted and told, with the first few cases; --strict refuses it.
    """
    from tools.errors import ConfigError, OutputError
    from tools.formats.annotated import write_annotated
    from tools.formats.format import WriteOptions
    from tools.formats.loss import MENTIONS, LossReport
    from tools.formats.registry import format_named, format_of_output
    from tools.formats.tags import SCHEMES

    config = load_project(project)
    format_ = format_named(format_name, writing=True) if format_name else format_of_output(output)
    chosen = next((known for known in SCHEMES if known == scheme.lower()), None)
    if chosen is None:
        raise ConfigError(f"there is no tag scheme {scheme!r}", f"one of {', '.join(SCHEMES)}")
    losses = LossReport(strict=strict)
    with open_store(config, read_only=True) as store:
        run = _run(store, what)
        if annotator and run is not None:
            raise ConfigError("--annotator is about gold, --what about a run", "leave one of them out")
        options = WriteOptions(chosen, split_tokens, overwrite, _provenance(config, store, what, run))
        tally = {"entities": 0, "undecided": 0, "passages": 0}
        with counting("written", store.document_count() if undecided else None) as step:
            several = format_.holds.annotators
            items = _watched(_items(store, run, annotator, undecided=undecided), tally, step, several=several)
            first = next(items, None)
            if first is None:
                raise OutputError(_nothing(run, annotator), "see what there is: quorum status; or add --undecided")
            written = write_annotated(output, _with(first, items), format_, options, losses)
    tally["entities"] -= sum(losses.counts[kind] for kind in MENTIONS)
    if as_json:
        losses_ = losses.as_json()
        print_json({"output": str(output), "format": format_.name, "documents": written, **tally, "losses": losses_})
        return
    note(f"{counted(written, 'document')} with {counted(tally['entities'], 'mention')} to {output} ({format_.title})")
    if tally["undecided"]:
        note(f"{counted(tally['undecided'], 'document')} of them undecided")
    if tally["passages"]:
        parts = counted(tally["passages"], "passage")
        note(f"{parts} of documents that are not done as a whole, each a document of its own (DOCUMENT#START-END)")
    for line in losses.lines():
        note(printable(line))


def _run(store: Store, what: str) -> Run | None:
    """The run that ``--what`` means; None for gold.

    Raises:
        ConfigError: It means nothing.
        StoreError: There is no such run.
    """
    from agent.runs.ledger import KIND, find_run
    from tools.errors import ConfigError, StoreError
    from tools.store import RunState

    wanted = what.strip().lower()
    if wanted == "gold":
        return None
    if matched := _RUN.fullmatch(wanted):
        run = store.run(int(matched[1]))
        if run.kind != KIND:
            raise StoreError(f"run {run.id} is of the kind {run.kind!r} and has no suggestions", "see: quorum status")
    elif wanted in ("suggestions", "suggestion"):
        found = find_run(store)
        if found is None:
            raise StoreError("no run has made suggestions yet", "make one: quorum extract --project DIR ...")
        run = found
    else:
        raise ConfigError(f"--what {what!r} is nothing that can be exported", "gold, suggestions or run:ID")
    if run.state is not RunState.COMPLETE:
        note(f"warning: run {run.id} is {run.state.value}; what it has so far is written")
    return run


def _items(store: Store, run: Run | None, annotator: str, *, undecided: bool) -> Iterator[AnnotatedDocument]:
    from tools.formats.fromstore import gold_items, suggestion_items

    if run is None:
        return gold_items(store, annotator, undecided=undecided)
    from agent.runs.ledger import Ledger
    from agent.runs.output import merged

    return suggestion_items(store, run.id, merged(Ledger.of(store, run)), undecided=undecided)


def _watched(
    items: Iterator[AnnotatedDocument], tally: dict[str, int], step: Any, *, several: bool
) -> Iterator[AnnotatedDocument]:
    for item in items:
        tally["entities"] += sum(len(layer.mentions) for layer in item.layers[: None if several else 1])
        tally["undecided"] += not item.layers
        tally["passages"] += "part_of" in item.document.meta
        step()
        yield item


def _with(first: AnnotatedDocument, rest: Iterator[AnnotatedDocument]) -> Iterator[AnnotatedDocument]:
    yield first
    yield from rest


def _nothing(run: Run | None, annotator: str) -> str:
    if run is not None:
        return f"run {run.id} has no results yet"
    who = f" by {annotator!r}" if annotator not in ("", "all") else ""
    return f"no document has been decided{who} yet"


def _provenance(config: ProjectConfig, store: Store, what: str, run: Run | None) -> dict[str, Any]:
    """What a Parquet file says of itself."""
    from importlib.metadata import PackageNotFoundError, version

    from tools.store.documents import label_set_form

    try:
        release = version("quorum-ner")
    except PackageNotFoundError:
        release = ""
    labels = store.label_set() or config.label_set()
    return {
        "release": release,
        "project": config.project.name,
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        "what": what,
        "labels": label_set_form(labels),
        "run": None if run is None else {"id": run.id, "config_hash": run.config_hash, "started": run.started},
    }
