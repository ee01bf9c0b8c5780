"""From the store to ``tools.selection`` and back: what is in the pool, what is known of it, what was chosen."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.campaign.pool import Place, open_places, parts_of, results_in
from agent.campaign.services import Request, Settings
from agent.runs.progress import Observer, Silent
from tools.annotation.prediction import PassageResult
from tools.demonstrations import Embedder
from tools.errors import OutputError
from tools.store import DocumentState, Item, Store
from tools.store.ranges import covers, touches

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
        free = {place.id for place in open_places(store, request.campaign, settings.longest, request.eligible)}
        if not free:
            return []
        places, listed, gold = self._pool()
        ids = [place.id for place in places]
        pool = Pool.of(
            ids,
            texts=listed,
            embeddings=self._vectors.of(listed) if settings.strategy != "random" else None,
            labelled=[name for name in ids if name in gold],
            excluded=[name for name in ids if name not in free and name not in gold],
            signals=self._signals(places, request.run),
            seconds=self._seconds(request.campaign, listed),
            groups=[place.document_id for place in places] if any(place.part for place in places) else None,
        )
        options = SelectionOptions(
            audit=settings.audit,
            shares=SHARES,
            similarity=settings.similarity,  # type: ignore[arg-type]
            campaign_total=self._total(),
            campaign_done=request.done,
            measure="mixed",
            cost_aware=settings.cost_aware,
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
                document_id=places[pick.row].document_id,
                round=request.round,
                position=pick.position,
                audit=pick.audit,
                wanted=2 if twice.random() < settings.overlap else 1,
                reason=plain(pick.reason.to_dict()),
                part=places[pick.row].part,
            )
            for pick in found.picks
        ]

    def _pool(self) -> tuple[list[Place], list[str], set[str]]:
        """All documents and passages of long ones, their texts, and the ids of those whose gold models are shown."""
        store, longest = self._store, self._settings.longest
        golds = {
            document.id: gold.ranges if gold.state is DocumentState.IN_PROGRESS else ((0, len(document.text)),)
            for document, gold in store.iter_gold(states=(DocumentState.DONE, DocumentState.IN_PROGRESS))
        }
        audited = store.audit_parts()
        places: list[Place] = []
        texts: list[str] = []
        labelled: set[str] = set()
        for document in store.documents():
            long = bool(longest) and len(document.text) > longest
            for start, end in parts_of(document, longest) if long else ((0, len(document.text)),):
                places.append(Place(document.id, (start, end) if long else None))
                texts.append(document.text[start:end])
                done = document.id in golds and covers(golds[document.id], (start, end))
                if done and not touches(audited.get(document.id, ()), (start, end)):
                    labelled.add(places[-1].id)
        return places, texts, labelled

    def _signals(self, places: Sequence[Place], run: int) -> dict[str, NDArray[np.float64]]:
        """How uncertain the models were of each document, or passage of one, of the latest run."""
        from tools.selection.signals import signals_for

        if not run:
            return {}
        of: dict[str, list[Place]] = {}
        for place in places:
            of.setdefault(place.document_id, []).append(place)
        seen: list[tuple[str, list[PassageResult]]] = []
        for document, results in self._store.iter_results(run):
            for place in of.get(document.id, ()):
                found = results_in(results, place.part)
                # A result does not say where its passage lay, and a run may have extracted only some of a document: a
                # part without any candidate was not reached, or nothing is to be decided in it. Neither is uncertain.
                if place.part is None or any(one.entities or one.rejected for one in found):
                    seen.append((place.id, found))
        return signals_for([place.id for place in places], seen)

    def _seconds(self, campaign: int, texts: Sequence[str]) -> NDArray[np.float64] | None:
        """What each item is expected to take, learned from the annotators' own timing.

        Before there is enough of it: None, or where choices go by it, what a careful reader takes.
        """
        from tools.selection import Timing, TimingModel

        timings = [
            Timing(visit.chars, 0, visit.seconds)
            for visit in self._store.visits(campaign)
            if visit.seconds and not visit.skipped
        ]
        if len(timings) < LEAST_TIMINGS and not self._settings.cost_aware:
            return None
        return TimingModel.fit(timings).seconds([len(text) for text in texts])


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
