"""The dead letters once more: passages that failed are extracted again and replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from agent.config import ProjectConfig
from agent.runs.errors import RunInterrupted, RunMismatch
from agent.runs.extractor import Extracted
from agent.runs.identity import Reading, identity, refuse_other
from agent.runs.ledger import Ledger, find_run
from agent.runs.output import write_output
from agent.runs.parts import Part
from agent.runs.progress import Observer, Progress, Silent
from agent.runs.scheduler import Scheduler
from agent.runs.session import CountingExtractor, Crew
from agent.runs.stopping import StopSwitch
from tools.annotation.chunking import chunk
from tools.annotation.document import Passage
from tools.annotation.labelfile import parse_label_set
from tools.annotation.labels import LabelSet
from tools.annotation.prediction import OutcomeKind
from tools.errors import StoreError
from tools.store import Run, Store

_OTHER = "results of both would be mixed; bring back what it was begun with, or extract again with another --output"


@dataclass(frozen=True, slots=True)
class Retried:
    """What another attempt came to.

    Attributes:
        run: The run's number.
        tried: Passages that had failed.
        mended: Of those, how many have a result now.
        left: How many are dead letters still.
        output: The output written anew; empty where the run is not done yet.
    """

    run: int
    tried: int
    mended: int
    left: int
    output: str


@dataclass(frozen=True, slots=True)
class Begun:
    """A run as it was begun: all that is needed to go on in the same way.

    Attributes:
        run: The run.
        config: Its configuration.
        labels: Its label set.
        reading: How its input was read.
    """

    run: Run
    config: ProjectConfig
    labels: LabelSet
    reading: Reading


def begun(store: Store, key: str | None, root: Path) -> Begun:
    """The last run of a store (that writes an output), with the configuration it was begun with.

    Args:
        store: The store.
        key: The run's output as it was recorded, or None for the last run.
        root: The project's folder, which paths in the configuration start from.

    Raises:
        StoreError: There is no such run.
    """
    run = find_run(store, key)
    if run is None:
        raise StoreError(f"{store.path}: no extraction was run here", "begin with: quorum extract")
    config = ProjectConfig.default(root=root, environment={}, **run.config["config"])
    labels = parse_label_set(run.config["labels"], str(store.path))
    reading = dict(run.config["identity"]["input"])
    reading["shard"] = tuple(reading["shard"]) if reading["shard"] else None
    return Begun(run, config, labels, Reading(**reading))


async def retry(
    store: Store,
    start: Begun,
    crew: Crew,
    output: Path | None,
    observer: Observer | None = None,
) -> Retried:
    """Extract again what failed, and write the output anew.

    Args:
        store: The store, open for writing.
        start: The run.
        crew: Whoever extracts; must be what the run was begun with.
        output: Where the run's output is; None where it had no file.
        observer: Shown the progress.

    Raises:
        RunMismatch: Models, prompts or demonstrations are not those of the run.
        RunInterrupted: A signal asked to stop.
        QuorumLost: Too few members answer.
    """
    what = identity(
        start.config, start.labels, start.reading, models=crew.revisions(), demonstrations=crew.demonstrations()
    )
    refuse_other(start.run.config["identity"], what, f"run {start.run.id}", _OTHER)
    ledger = Ledger.of(store, start.run)
    tried = ledger.failures()
    async with StopSwitch() as stop:
        if tried:
            await _again(ledger, start, crew, observer or Silent(), stop)
        left = ledger.failures()
        written = ""
        if ledger.input and output is not None:
            await asyncio.to_thread(write_output, ledger, output)
            written = str(output)
    return Retried(start.run.id, tried, tried - left, left, written)


async def _again(ledger: Ledger, start: Begun, crew: Crew, observer: Observer, stop: StopSwitch) -> None:
    task = asyncio.current_task()
    if task is not None:
        stop.gently = stop.at_once = task.cancel
    progress = Progress()
    try:
        async with crew.open(ledger.store, observer) as extractor:
            parts = _failed_parts(ledger, _chunker(start.config, extractor))
            scheduler = Scheduler(
                extractor, lambda part, batch: _replace(ledger, part, batch), progress, start.config.run.in_flight,
                observer, stop,
            )  # fmt: skip
            whole = await scheduler.run(parts)
    except asyncio.CancelledError:
        if not stop.signum:
            raise
        whole = False
    if not whole:
        raise RunInterrupted(
            stop.signum or 2, f"stopped: {progress.passages:,} passages were tried again", "run it again for the rest"
        )


def _chunker(config: ProjectConfig, extractor: CountingExtractor) -> Callable[[str, Store], list[Passage]]:
    cut = config.passages

    def passages(document_id: str, store: Store) -> list[Passage]:
        return chunk(
            store.document(document_id),
            extractor.count_tokens,
            max_tokens=cut.max_tokens,
            overlap_tokens=cut.overlap_tokens,
            context_tokens=cut.context_tokens,
        )

    return passages


def _failed_parts(ledger: Ledger, passages: Callable[[str, Store], list[Passage]]) -> Iterator[Part]:
    """For each part with dead letters, a part of those alone, under the same number and fingerprint."""
    store, run = ledger.store, ledger.run.id
    for number in sorted({letter.part for letter in store.dead_letters(run)}):
        wanted: dict[str, list[int]] = {}
        for result in store.part_results(run, number):
            if result.outcome.kind is OutcomeKind.FAILED:
                wanted.setdefault(result.document_id, []).append(result.index)
        found: list[Passage] = []
        for document_id, indexes in wanted.items():
            cut = {passage.index: passage for passage in passages(document_id, store)}
            if missing := [index for index in indexes if index not in cut]:
                raise RunMismatch(f"document {document_id!r} has no passage {missing[0]} any more", _OTHER)
            found.extend(cut[index] for index in indexes)
        yield Part(number, tuple(found), len(wanted), ledger.parts[number])


def _replace(ledger: Ledger, part: Part, batch: Extracted) -> None:
    """Put the new results in the place of the old ones, in one transaction."""
    new = {(result.document_id, result.index): result for result in batch.results}
    old = ledger.store.part_results(ledger.run.id, part.number)
    results = tuple(new.get((result.document_id, result.index), result) for result in old)
    ledger.record(part, replace(batch, results=results), replace=True)
