"""From the store to ``tools.selection`` and back: what is in the pool, what is known of it, what was chosen."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.campaign.services import Request, Settings
from agent.runs.progress import Observer, Silent
from tools.demonstrations import Embedder
from tools.errors import OutputError
from tools.store import Item, Store

POOL_FOLDER = "pool"
SHARES = (1.0, 3.0, 1.0)
LEAST_TIMINGS = 5
_BLOCK = 512


class StoreChooser:
    """A ``Chooser`` over the project's documents.

    Args:
        store: The project's store.
        settings: Strategy, shares, seed.
        embedder: Made when it is first needed.
        folder: Where the pool's vectors are kept; they can be deleted at any time.
        observer: Told what takes its time, and what the selection has to say.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        embedder: Callable[[], Embedder],
        folder: Path,
        observer: Observer | None = None,
    ) -> None:
        self._store, self._settings, self._folder = store, settings, folder
        self._vectors = PoolVectors(folder, embedder, observer)
        self._observer = observer or Silent()

    def needs_predictions(self, done: int) -> bool:
        """Whether the next choice looks at what the models say: uncertainty, and the last fifth of ALLabel."""
        settings = self._settings
        if settings.strategy == "uncertainty":
            return True
        if settings.strategy != "allabel":
            return False
        from tools.selection.allabel import stage_shares

        return stage_shares(settings.batch, done, self._total(), SHARES)[2] > 0

    def _total(self) -> int:
        """ALLabel's budget: audit documents are not of its choosing."""
        return max(1, round(self._settings.rule.budget * (1 - self._settings.audit)))

    def choose(self, request: Request) -> Sequence[Item]:
        """Choose; the same request over the same store gives the same items.

        Raises:
            QuorumError: The pool cannot be embedded or selected from.
        """
        from tools.selection import Pool, SelectionOptions, SelectionState, select

        store, settings = self._store, self._settings
        free = set(store.unlabelled(request.campaign))
        if request.eligible is not None:
            free &= set(request.eligible)
        if not free:
            return []
        held_out = store.audit_documents()
        gold = {document.id for document, _ in store.iter_gold()} - held_out
        texts = {document.id: document.text for document in store.documents()}
        ids, listed = list(texts), list(texts.values())
        pool = Pool.of(
            ids,
            texts=listed,
            embeddings=self._vectors.of(listed) if settings.strategy != "random" else None,
            labelled=[name for name in ids if name in gold],
            excluded=[name for name in ids if name not in free and name not in gold],
            signals=self._signals(ids, request.run),
            seconds=self._seconds(request.campaign, texts),
        )
        options = SelectionOptions(
            audit=settings.audit,
            shares=SHARES,
            similarity=settings.similarity,  # type: ignore[arg-type]
            campaign_total=self._total(),
            campaign_done=request.done,
            measure="mixed",
        )
        rng = np.random.default_rng([settings.seed, request.campaign, request.round])
        # What it computed last time saves time and changes nothing; it may be deleted.
        state = SelectionState.load(self._folder / "selection")
        found = select(settings.strategy, pool, min(request.count, len(free)), rng, options=options, state=state)
        state.save()
        for line in found.notes:
            self._observer.note(line)
        twice = random.Random(f"{settings.seed}/overlap/{request.campaign}/{request.round}")
        return [
            Item(
                document_id=pick.id,
                round=request.round,
                position=pick.position,
                audit=pick.audit,
                wanted=2 if twice.random() < settings.overlap else 1,
                reason=plain(pick.reason.to_dict()),
            )
            for pick in found.picks
        ]

    def _signals(self, ids: Sequence[str], run: int) -> dict[str, NDArray[np.float64]]:
        """How uncertain the models were of each document of the latest run."""
        from tools.selection.signals import signals_for

        if not run:
            return {}
        return signals_for(ids, ((document.id, results) for document, results in self._store.iter_results(run)))

    def _seconds(self, campaign: int, texts: Mapping[str, str]) -> NDArray[np.float64] | None:
        """What each document is expected to take, learned from the annotators' own timing; None before there is any."""
        from tools.selection import Timing, TimingModel

        timings = [
            Timing(len(texts[visit.document_id]), 0, visit.seconds)
            for visit in self._store.visits(campaign)
            if visit.seconds and not visit.skipped and visit.document_id in texts
        ]
        if len(timings) < LEAST_TIMINGS:
            return None
        return TimingModel.fit(timings).seconds([len(text) for text in texts.values()])


def plain(value: Any) -> Any:
    """A value as JSON has it; numbers of numpy become Python's, what is not finite becomes null."""
    return json.loads(json.dumps(_finite(value)))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


class PoolVectors:
    """The documents' vectors on disk, in the order of the store; new documents are added at the end.

    Args:
        folder: Where they are kept.
        embedder: Made when there is something to embed.
        observer: Told how far it is.
    """

    def __init__(self, folder: Path, embedder: Callable[[], Embedder], observer: Observer | None = None) -> None:
        self._folder, self._embedder, self._observer = folder, embedder, observer or Silent()

    def of(self, texts: Sequence[str]) -> NDArray[np.float16]:
        """Unit vectors, shape (texts, dimensions), memory-mapped.

        Raises:
            ModelError: The embedding model cannot be had.
            OutputError: The folder cannot be written.
        """
        embedder = self._embedder()
        data, facts = self._folder / "vectors.f16", self._folder / "vectors.json"
        made_by = {"embedder": embedder.name, "revision": embedder.revision, "dimensions": embedder.dimensions}
        width = embedder.dimensions * 2
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            known = self._known(facts, made_by)
            there = min(known, len(texts), data.stat().st_size // width if data.exists() else 0)
            with data.open("r+b" if data.exists() else "w+b") as stream:
                stream.truncate(there * width)
                stream.seek(there * width)
                for block in _blocks(texts[there:]):
                    stream.write(np.ascontiguousarray(embedder.encode(block), dtype=np.float16).tobytes())
                    there += len(block)
                    if there < len(texts):
                        self._observer.note(f"reading the pool: {there:,} of {len(texts):,} documents")
            facts.write_text(json.dumps({**made_by, "rows": len(texts)}), encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{self._folder}: cannot be written ({error.strerror})", "make room") from error
        return np.memmap(data, dtype=np.float16, mode="r", shape=(len(texts), embedder.dimensions))

    def _known(self, facts: Path, made_by: dict[str, Any]) -> int:
        """How many rows are of this model; documents are only ever added, so rows stay true."""
        try:
            found = json.loads(facts.read_text(encoding="utf-8"))
            return int(found["rows"]) if all(found[key] == value for key, value in made_by.items()) else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0  # nothing there yet, or cut off: embedded again


def _blocks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(texts), _BLOCK):
        yield texts[at : at + _BLOCK]
