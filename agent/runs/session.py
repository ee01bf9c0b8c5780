"""One call of a run from its options to its output: open, resume, extract, write.

The same call made again goes on where the last one ended, however it ended.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

from agent.config import ProjectConfig
from agent.runs.errors import RunInterrupted, RunMismatch
from agent.runs.extractor import Extractor
from agent.runs.feed import aside
from agent.runs.identity import Reading, identity, label_tables
from agent.runs.ledger import InputDigest, Ledger, find_run, void
from agent.runs.output import Tally, refuse_foreign, write_output
from agent.runs.parts import FRESH_HINT, Part, cut_parts, in_shard, unfinished
from agent.runs.progress import Observer, Progress, Silent
from agent.runs.scheduler import Scheduler
from agent.runs.sidecar import open_store
from agent.runs.sizing import count_documents
from agent.runs.stopping import StopSwitch
from agent.runs.summary import RunSummary
from tools.annotation.chunking import chunks
from tools.annotation.document import Document, Passage
from tools.annotation.labels import LabelSet
from tools.annotation.prediction import OutcomeKind
from tools.errors import InputError, QuorumError, QuorumLost
from tools.formats.report import ReadReport
from tools.store import RunState, Store


class CountingExtractor(Extractor, Protocol):
    """An extractor that also knows how long a text is to its models."""

    def count_tokens(self, text: str) -> int:
        """Tokens of a text."""
        ...


class Crew(Protocol):
    """Whoever extracts, before it is opened: nothing heavy is loaded until a run needs it."""

    def revisions(self) -> Mapping[str, str]:
        """Model name to revision."""
        ...

    def demonstrations(self) -> str:
        """A hash of what may be shown as demonstrations; empty for nothing."""
        ...

    def open(self, store: Store, observer: Observer) -> AbstractAsyncContextManager[CountingExtractor]:
        """Start what is needed, and end it afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """What a run is to do.

    Attributes:
        source: The input: a file, a folder, or ``-``.
        output: The file to write; None writes JSON Lines to ``stream``.
        store: The store's file.
        config: The configuration.
        labels: The label set.
        reading: How the input is read.
        own_store: Whether the store holds nothing but this run, so that beginning
            again may throw it away.
        fresh: Begin again.
        stream: For an output without a file.
        notes: More to remember with the run; JSON values.
    """

    source: str
    output: Path | None
    store: Path
    config: ProjectConfig
    labels: LabelSet
    reading: Reading = field(default_factory=Reading)
    own_store: bool = True
    fresh: bool = False
    stream: TextIO | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What tells this run from others in the same store."""
        if self.output is None:
            return "-"
        return self.output.name if self.own_store else str(self.output.resolve())


async def extract(job: Job, crew: Crew, observer: Observer | None = None) -> RunSummary:
    """Run a job to its end, or as far as it goes.

    Args:
        job: What to do.
        crew: Whoever extracts.
        observer: Shown the progress.

    Returns:
        What it came to.

    Raises:
        RunInterrupted: A signal asked to stop; the same call goes on.
        QuorumLost: Too few members answer; the same call goes on.
        RunMismatch: What is on disk belongs to another configuration or input.
        QuorumError: What a person can mend; what was recorded is kept.
    """
    if job.source != "-" and not Path(job.source).exists():
        raise InputError(f"{job.source}: no such file or folder", "check --input")
    if job.output is not None:
        refuse_foreign(job.output, ours=job.store.exists(), fresh=job.fresh)
    # Before the store is made: an unknown model must leave nothing behind.
    what = identity(job.config, job.labels, job.reading, models=crew.revisions(), demonstrations=crew.demonstrations())
    store = open_store(job.store, afresh=job.fresh and job.own_store)
    if job.own_store and void(find_run(store, job.key), store, what):
        # Nothing came of it, so it binds nobody: the documents it had read go with it.
        store.close()
        store = open_store(job.store, afresh=True)
    try:
        async with StopSwitch() as stop:
            return await _Session(job, crew, store, observer or Silent(), stop).run(what)
    finally:
        store.close()


class _Session:
    """The state of one call."""

    def __init__(self, job: Job, crew: Crew, store: Store, observer: Observer, stop: StopSwitch) -> None:
        self.job, self.crew, self.store, self.observer, self.stop = job, crew, store, observer, stop
        self.digest = InputDigest()
        self.progress = Progress()
        self.report: ReadReport | None = None

    async def run(self, what: Mapping[str, Any]) -> RunSummary:
        job = self.job
        if job.output is not None:
            refuse_foreign(job.output, ours=find_run(self.store, job.key) is not None, fresh=job.fresh)
        notes = {**job.notes, "config": job.config.model_dump(mode="json"), "labels": label_tables(job.labels)}
        self.ledger = Ledger.open(self.store, what, output=job.key, notes=notes, fresh=job.fresh)
        done_before = self.ledger.complete
        try:
            with self._cancelling():
                if self.ledger.input:
                    await self._same_input()
                else:
                    self.ledger.resume()
                    await self._extract()
            tally = await self._write(done_before)
        except BaseException as error:
            self._ended_by(error)
            raise
        if not done_before:
            self.ledger.end(RunState.COMPLETE)
        return self._summary(tally, done_before)

    # -- extracting ---------------------------------------------------------------------------------------------

    async def _extract(self) -> None:
        job = self.job
        reading = job.reading
        self.progress.total = await asyncio.to_thread(
            count_documents, job.source, lines=reading.lines, limit=reading.limit, shard=reading.shard
        )
        self.progress.outcomes = self.ledger.outcomes()
        documents = self._documents()
        # A broken input is told before models are loaded, which takes longer.
        first = await aside(lambda: next(documents, None))
        if first is None:
            self.ledger.close_input(self.digest.value())
            return
        async with self.crew.open(self.store, self.observer) as extractor:
            if self.ledger.parts:
                self.observer.note(f"going on: {len(self.ledger.parts)} part(s) are done already")
            scheduler = Scheduler(
                extractor, self.ledger.record, self.progress, job.config.run.in_flight, self.observer, self.stop
            )
            whole = await scheduler.run(self._parts(itertools.chain([first], documents), extractor))
        if not whole:
            raise self._interrupted()
        self.ledger.close_input(self.digest.value())

    def _parts(self, documents: Iterable[Document], extractor: CountingExtractor) -> Iterator[Part]:
        """What is left to do; drawn in the feed's thread."""
        cut = self.job.config.passages

        def passages(document: Document) -> Iterator[Passage]:
            return chunks(
                document,
                extractor.count_tokens,
                max_tokens=cut.max_tokens,
                overlap_tokens=cut.overlap_tokens,
                context_tokens=cut.context_tokens,
            )

        parts = cut_parts(documents, passages, self._keep, self.job.config.run.batch)
        yield from unfinished(
            parts, self.ledger.parts, lambda part: self.progress.skip(part.documents, len(part.passages))
        )
        self.progress.total = self.digest.documents

    def _keep(self, documents: Sequence[Document]) -> None:
        try:
            self.store.add_documents(documents)
        except InputError as error:
            if self.job.own_store:  # there it can only be an earlier call that added it
                raise RunMismatch(f"the input changed since this run began: {error.message}", FRESH_HINT) from error
            raise

    def _documents(self) -> Iterator[Document]:
        """The documents of this run, as its reading says."""
        from tools.formats.reading import read_documents

        reading = self.job.reading
        self.report = ReadReport()
        read = read_documents(
            self.job.source,
            lines=reading.lines,
            text_column=reading.text_column,
            id_column=reading.id_column,
            skip_bad=reading.skip_bad,
            report=self.report,
        )
        for document in itertools.islice(read, reading.limit):
            if in_shard(document.id, reading.shard):
                self.digest.add(document)
                yield document

    async def _same_input(self) -> None:
        """Make sure that a run whose parts are all recorded is asked about the input it had."""

        def read() -> None:
            for _ in self._documents():
                if self.stop.requested:
                    return

        await aside(read)
        if self.stop.requested:
            raise self._interrupted()
        if self.digest.value() != self.ledger.input:
            raise RunMismatch("the input changed since this run was done", FRESH_HINT)

    # -- ending -------------------------------------------------------------------------------------------------

    async def _write(self, done_before: bool) -> Tally:
        if self.job.output is not None and done_before and self.job.output.exists():
            return await asyncio.to_thread(self._count)
        return await asyncio.to_thread(write_output, self.ledger, self.job.output, self.job.stream, self._check_stop)

    def _count(self) -> Tally:
        from agent.runs.output import merged

        tally = Tally()
        for document, result in merged(self.ledger):
            self._check_stop()
            tally.add(document, result)
        return tally

    def _check_stop(self) -> None:
        if self.stop.requested:
            raise self._interrupted()

    def _cancelling(self) -> _Cancelling:
        return _Cancelling(self)

    def _interrupted(self) -> RunInterrupted:
        done = f"{self.progress.documents:,}" + (f" of {self.progress.total:,}" if self.progress.total else "")
        return RunInterrupted(
            self.stop.signum or 2,
            f"stopped: {done} documents are done and kept in {self.store.path}",
            "run the same command again to go on",
        )

    def _ended_by(self, error: BaseException) -> None:
        if isinstance(error, QuorumLost):
            state = RunState.PAUSED
            if "same command" not in error.hint:
                error.hint = f"{error.hint}; then run the same command again to go on".removeprefix("; then ")
        elif isinstance(error, (RunInterrupted, asyncio.CancelledError, KeyboardInterrupt)):
            state = RunState.STOPPED
        elif isinstance(error, RunMismatch):
            if self.ledger.input:
                return  # the run is done, and nothing was done to it
            state = RunState.STOPPED
        else:
            state = RunState.FAILED
        try:
            self.ledger.end(state)
        except QuorumError as second:
            self.observer.note(f"the run's state could not be written: {second.message}")

    def _summary(self, tally: Tally, done_before: bool) -> RunSummary:
        job, ledger = self.job, self.ledger
        passages = ledger.outcomes()
        return RunSummary(
            run=ledger.run.id,
            state=RunState.COMPLETE.value,
            output="-" if job.output is None else str(job.output),
            store=str(self.store.path),
            documents=tally.documents,
            entities=tally.entities,
            outcomes={kind.value: tally.outcomes[kind.value] for kind in OutcomeKind if kind.value in tally.outcomes},
            passages=dict(passages),
            dead_letters=passages["failed"],
            grounded=tally.grounded / tally.entities if tally.entities else 1.0,
            ungrounded=tally.ungrounded,
            already_complete=done_before,
            skipped=self.digest.documents if done_before else self.progress.skipped,
            extracted=0 if done_before else self.progress.documents - self.progress.skipped,
            seconds=self.progress.seconds,
            usage=ledger.usage(),
            members_down=self.progress.members_down,
            bad_records=self.report.bad_count if self.report else 0,
            encodings=dict(self.report.encodings) if self.report else {},
            warnings=tuple(self.report.warnings) if self.report else (),
        )


class _Cancelling:
    """While nothing is in flight yet, a signal ends whatever is waited for: a model that loads, an input."""

    def __init__(self, session: _Session) -> None:
        self._session = session

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._session.stop.gently = self._session.stop.at_once = task.cancel

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._session.stop.gently = self._session.stop.at_once = lambda: None
        if isinstance(error, asyncio.CancelledError) and self._session.stop.signum:
            raise self._session._interrupted() from None
