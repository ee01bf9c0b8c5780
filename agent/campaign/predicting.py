"""Extraction for a campaign: documents of the store into a run of the store, part by part, resumable.

Engines are opened once, when something is first to be extracted, and stay for the session; the
demonstrations are opened anew each time, because every round changes them.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agent.campaign.labelling import RUN_KIND
from agent.config import ProjectConfig
from agent.engines.protocol import Engine
from agent.runs.extractor import Extracted
from agent.runs.identity import identity_hash
from agent.runs.ledger import plain_usage
from agent.runs.parts import Part, cut_parts
from agent.runs.progress import Observer, Progress, Silent
from agent.runs.scheduler import Scheduler
from tools.annotation import Document, LabelSet, Passage
from tools.annotation.chunking import chunk
from tools.demonstrations import DemonstrationIndex, Embedder
from tools.store import RunState, Store
from tools.store.ranges import Range, touches

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from agent.extraction.quorum import Quorum

OpenEngines = Callable[[ProjectConfig], AbstractAsyncContextManager[Mapping[str, Engine]]]


class StorePredictor:
    """A ``Predictor`` of the project's members; a context manager that gives the engines back.

    Args:
        config: The project's settings.
        labels: The label set.
        store: The project's store, open for writing.
        identity: What the predictions hang on; another identity makes another run.
        embedder: For the demonstrations; called when there is an index.
        engines: Opens the engines of a configuration's members, model name to engine.
        observer: Shown the progress.
    """

    def __init__(
        self,
        config: ProjectConfig,
        labels: LabelSet,
        store: Store,
        identity: Mapping[str, Any],
        embedder: Callable[[], Embedder],
        engines: OpenEngines,
        observer: Observer | None = None,
    ) -> None:
        self._config, self._labels, self._store, self._identity = config, labels, store, dict(identity)
        self._embedder, self._open, self._observer = embedder, engines, observer or Silent()
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self._engines: Mapping[str, Engine] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the engines back; calling twice is harmless."""
        self._engines = self._portal = None
        self._stack.close()

    def use(self, config: ProjectConfig, identity: Mapping[str, Any]) -> None:
        """Go on with other settings: engines are opened anew when something is to be extracted."""
        self.close()
        self._config, self._identity = config, dict(identity)

    def predict(
        self,
        campaign: int,
        round_number: int,
        purpose: str,
        document_ids: Sequence[str],
        parts: Mapping[str, Sequence[Range]] | None = None,
    ) -> int:
        """Extract documents that are not extracted yet for a purpose of a round.

        Args:
            campaign: The campaign's number.
            round_number: The round's number.
            purpose: ``suggest`` or ``extract``.
            document_ids: In the order in which they are worked on.
            parts: Of these documents only the passages that lie in these parts are extracted.

        Returns:
            The run's number.

        Raises:
            QuorumError: The models cannot be had, or too few answer; what was recorded is kept.
        """
        run = self._run(campaign, round_number, purpose)
        wanted = list(dict.fromkeys(document_ids))
        asked = parts or {}
        there = {name: {one.index for one in self._store.passage_results(run, name)} for name in wanted}
        # Of a document that is wanted whole any result says that it is done; of one wanted in part, passages count.
        missing = [name for name in wanted if name in asked or not there[name]]
        if missing:
            engines = self._opened()
            assert self._portal is not None
            try:
                # An empty context: the extraction graph must not take itself for a part of the campaign's.
                work = _Work(missing, asked, there)
                contextvars.Context().run(self._portal.call, self._extract, run, work, engines)
            except BaseException:
                self._store.finish_run(run, RunState.STOPPED)
                raise
        self._store.finish_run(run, RunState.COMPLETE)
        return run

    def _run(self, campaign: int, round_number: int, purpose: str) -> int:
        """The run of this purpose, begun where it is not there."""
        what = {"campaign": campaign, "round": round_number, "purpose": purpose, "identity": self._identity}
        key = identity_hash(what)
        for run in reversed(self._store.runs()):
            if run.kind == RUN_KIND and run.config_hash == key:
                self._store.finish_run(run.id, RunState.RUNNING)
                return run.id
        return self._store.start_run(what, key, RUN_KIND)

    def _opened(self) -> Mapping[str, Engine]:
        if self._engines is None:
            from anyio.from_thread import start_blocking_portal

            try:
                self._portal = self._stack.enter_context(start_blocking_portal())
                opened = self._portal.wrap_async_context_manager(self._open(self._config))
                self._engines = self._stack.enter_context(opened)
            except BaseException:
                self.close()
                raise
        return self._engines

    async def _extract(self, run: int, work: _Work, engines: Mapping[str, Engine]) -> None:
        from agent.extraction.quorum import Quorum

        config = self._config
        count = engines[config.members[0].model].count_tokens
        with ExitStack() as stack:
            source = None
            if config.chroma_path.is_dir() and any(config.demonstrations_of(member) for member in config.members):
                from agent.opening import source_over

                opened = DemonstrationIndex(config.chroma_path, self._embedder(), read_only=True)
                source = source_over(stack.enter_context(opened), config, count)
            quorum = Quorum(config, self._labels, engines, source, _calibrator(config))
            first = max(self._store.finished_parts(run), default=-1) + 1
            progress = Progress(total=len(work.names))

            def record(part: Part, batch: Extracted) -> None:
                usage = plain_usage(batch.usage)
                self._store.record_part(run, first + part.number, part.fingerprint, batch.results, usage)

            scheduler = Scheduler(quorum, record, progress, config.run.in_flight, self._observer)
            await scheduler.run(self._parts(work, quorum))

    def _parts(self, work: _Work, quorum: Quorum) -> Iterator[Part]:
        """Whole documents (or all of what is wanted of them) only: a document with any result has all of them."""
        sizes = self._config.passages

        def passages(document: Document) -> Sequence[Passage]:
            found = chunk(
                document,
                quorum.count_tokens,
                max_tokens=sizes.max_tokens,
                overlap_tokens=sizes.overlap_tokens,
                context_tokens=sizes.context_tokens,
            )
            return work.wanted_of(document.id, found)

        # Small enough that one can see it move, large enough that the engines are kept busy.
        size = min(self._config.run.batch, max(4, -(-len(work.names) // 8)))
        number = 0
        batch: list[Document] = []
        held = 0
        for name in work.names:
            document = self._store.document(name)
            count = len(passages(document))
            if not count and name in work.parts:
                continue  # all that is wanted of it is there
            batch.append(document)
            held += max(1, count)
            if held >= size:
                yield from _numbered(batch, passages, held, number)
                number, batch, held = number + 1, [], 0
        if batch:
            yield from _numbered(batch, passages, held, number)


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be extracted.

    Attributes:
        names: Documents.
        parts: Of these only the passages that lie in these parts.
        there: Passages that the run has already, by document.
    """

    names: Sequence[str]
    parts: Mapping[str, Sequence[Range]]
    there: Mapping[str, set[int]]

    def wanted_of(self, name: str, passages: Sequence[Passage]) -> Sequence[Passage]:
        """The passages of a document that are wanted and not there."""
        if name not in self.parts:
            return passages
        return [
            one
            for one in passages
            if one.index not in self.there[name] and touches(self.parts[name], (one.start, one.end))
        ]


def _numbered(
    documents: Sequence[Document], passages: Callable[[Document], Sequence[Passage]], size: int, number: int
) -> Iterator[Part]:
    """One part of all the documents' passages."""
    for part in cut_parts(documents, passages, lambda kept: None, size):
        yield Part(number, part.passages, part.documents, part.fingerprint)


def _calibrator(config: ProjectConfig) -> Any:
    from agent.extraction.confidence import Calibrator
    from agent.opening import CALIBRATION_FILE

    own = Path(config.chroma_path.parent, CALIBRATION_FILE)
    return Calibrator.load(own) if config.steps.calibrate and own.is_file() else None
