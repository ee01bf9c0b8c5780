"""What selection works on and what it gives back: a pool, options, picks with their reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tools.errors import InputError, QuorumError

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
Report = Callable[[str, int, int], None]
"""Told what is being done, how far it is, and how much there is of it."""

SimilarityName = Literal["embedding", "bm25"]
RankReading = Literal["ranks", "reciprocal", "similarity"]
UncertaintyReading = Literal["signals", "dissimilarity"]
Measure = Literal["perplexity", "margin", "votes", "verifier", "mixed"]
Aggregate = Literal["mean", "max", "sum"]


class SelectionError(QuorumError):
    """A pool cannot be selected from, or an option is wrong."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The items to choose from and what is known of them; rows count from 0.

    Labelled items stay in the pool: new picks are measured against them.

    Attributes:
        ids: One an item, unique; a document's or a passage's.
        texts: One an item; BM25 and the textual test for near duplicates need them.
        embeddings: Shape (items, dimensions), any float type, may be memory-mapped. Scaled to length one where they are
            used; a zero vector is similar to nothing.
        labelled: Rows that have gold; never picked.
        excluded: Rows that are not to be picked and have no gold either: set aside, skipped, leased to another person.
        signals: Measure to one number an item, higher for less certain, NaN where nothing is known; see ``signals``.
        seconds: What labelling an item is expected to take, positive; see ``cost``. Given, choices go by gain a second.
        groups: One an item: of those with the same name (the passages of a document) at most one is in a batch.
    """

    ids: Sequence[str]
    texts: Sequence[str] | None = None
    embeddings: NDArray[Any] | None = None
    labelled: Sequence[int] = ()
    excluded: Sequence[int] = ()
    signals: Mapping[str, Floats] = field(default_factory=dict)
    seconds: Floats | None = None
    groups: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        *,
        texts: Sequence[str] | None = None,
        embeddings: NDArray[Any] | None = None,
        labelled: Sequence[str] = (),
        excluded: Sequence[str] = (),
        signals: Mapping[str, Floats] | None = None,
        seconds: Floats | None = None,
        groups: Sequence[str] | None = None,
    ) -> Pool:
        """A pool with labelled and excluded items given by id.

        Raises:
            SelectionError: One of these ids is not in the pool.
        """
        rows = {name: row for row, name in enumerate(ids)}
        missing = next((name for name in (*labelled, *excluded) if name not in rows), None)
        if missing is not None:
            raise SelectionError(f"item {missing!r} is not in the pool", "labelled items must be among the pool's ids")
        return cls(
            ids=ids,
            texts=texts,
            embeddings=embeddings,
            labelled=[rows[name] for name in labelled],
            excluded=[rows[name] for name in excluded],
            signals=dict(signals or {}),
            seconds=seconds,
            groups=groups,
        )

    def check(self) -> None:
        """Make sure that all parts fit together.

        Raises:
            SelectionError: The pool is empty, lengths differ, ids repeat, rows lie outside, seconds are not positive.
        """
        size = len(self.ids)
        if not size:
            raise SelectionError("the pool is empty", "read documents in first: quorum import FILE")
        if len(set(self.ids)) != size:
            seen: set[str] = set()
            double = next(name for name in self.ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise SelectionError(f"item {double!r} is twice in the pool", "ids must be unique")
        if self.texts is not None and len(self.texts) != size:
            raise SelectionError(f"the pool has {size} ids and {len(self.texts)} texts", "one text an item")
        if self.groups is not None and len(self.groups) != size:
            raise SelectionError(f"the pool has {size} ids and {len(self.groups)} groups", "one group an item")
        if self.embeddings is not None and (self.embeddings.ndim != 2 or len(self.embeddings) != size):
            shape = "x".join(map(str, self.embeddings.shape))
            raise SelectionError(f"the pool has {size} ids and embeddings of shape {shape}", "one vector an item")
        for name, values in self.signals.items():
            if np.shape(values) != (size,):
                raise SelectionError(f"the pool has {size} ids and {np.size(values)} values of {name}", "one an item")
        rows = np.array([*self.labelled, *self.excluded], dtype=np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= size):
            raise SelectionError("a labelled or excluded row lies outside the pool", f"rows are 0 to {size - 1}")
        if self.seconds is not None:
            if np.shape(self.seconds) != (size,):
                raise SelectionError(f"the pool has {size} ids and {np.size(self.seconds)} durations", "one an item")
            if not bool(np.all(np.isfinite(self.seconds)) and np.all(np.asarray(self.seconds) > 0)):
                raise SelectionError("a duration is not a positive number", "seconds must be positive and finite")

    def open_rows(self) -> Rows:
        """The rows that can be picked, ascending."""
        free = np.ones(len(self.ids), dtype=bool)
        free[np.asarray(self.labelled, dtype=np.int64)] = False
        free[np.asarray(self.excluded, dtype=np.int64)] = False
        return np.flatnonzero(free)


@dataclass(frozen=True, slots=True)
class SelectionOptions:
    """How to choose; the defaults are the documented readings of the papers (docs/selection.md).

    Attributes:
        audit: Share of a batch that is drawn at random and marked, 0 to 1.
        shares: ALLabel's budget for diversity, similarity, uncertainty (paper: 1:3:1).
        campaign_total: ALLabel's whole budget; given, its stages follow each other over the campaign instead of sharing
            every batch.
        campaign_done: How much of that has been spent before this batch (audit items do not count).
        similarity: What tells how alike two items are.
        warm_start: Begin core-set with the item least similar to all others (ALLabel), not with a random one.
        rank_reading: How ``sum_rank`` is read: sum of ranks, sum of reciprocal ranks, or sum of similarities.
        rank_queries: At most so many queries rank the candidates; more are sampled.
        measure: What uncertainty is read from; ``mixed`` is the mean of the percentile ranks of all that are there.
        uncertainty_reading: Of ALLabel's third stage: the models' signals, or the smallest similarity to what is
            labelled.
        neighbours: Edges an item in the graph of vote-k and facility location (vote-k's paper: 150).
        exact_neighbours: Up to so many items the graph is exact; beyond, it is made cluster by cluster, its recall
            measured.
        probes: Clusters an item is compared with there.
        near_duplicate: Cosine from which two items of a batch are duplicates; None switches the test off, that of texts
            as well.
        cost_aware: Use the pool's ``seconds``, where it has them.
    """

    audit: float = 0.1
    shares: tuple[float, float, float] = (1.0, 3.0, 1.0)
    campaign_total: int | None = None
    campaign_done: int = 0
    similarity: SimilarityName = "embedding"
    warm_start: bool = True
    rank_reading: RankReading = "ranks"
    rank_queries: int = 1000
    measure: Measure = "perplexity"
    uncertainty_reading: UncertaintyReading = "signals"
    neighbours: int = 150
    exact_neighbours: int = 30_000
    probes: int = 32
    near_duplicate: float | None = 0.95
    cost_aware: bool = True

    def check(self) -> None:
        """Make sure that the options can be meant.

        Raises:
            SelectionError: A number is out of its range, or a name is unknown.
        """
        if not 0 <= self.audit <= 1:
            raise SelectionError(f"an audit share of {self.audit:g} is not possible", "0 to 1, for example 0.1")
        shares = np.asarray(self.shares, dtype=np.float64)
        if shares.shape != (3,) or not np.all(np.isfinite(shares)) or (shares < 0).any() or not shares.sum() > 0:
            raise SelectionError("the shares are not three numbers of 0 or more", "for example 1:3:1")
        for name, least in (("rank_queries", 1), ("neighbours", 1), ("exact_neighbours", 0), ("probes", 1)):
            if getattr(self, name) < least:
                raise SelectionError(f"{name} must be at least {least}", "see docs/selection.md")
        if self.campaign_done < 0 or (self.campaign_total is not None and self.campaign_total < 1):
            raise SelectionError("a campaign's budget is a positive number", "see docs/selection.md")
        if self.near_duplicate is not None and not 0 < self.near_duplicate <= 1:
            raise SelectionError("near_duplicate is a cosine above 0, at most 1", "for example 0.95, or none")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise SelectionError(f"{name} {getattr(self, name)!r} is unknown", f"one of {', '.join(known)}")


_CHOICES: dict[str, tuple[str, ...]] = {
    "similarity": ("embedding", "bm25"),
    "rank_reading": ("ranks", "reciprocal", "similarity"),
    "uncertainty_reading": ("signals", "dissimilarity"),
    "measure": ("perplexity", "margin", "votes", "verifier", "mixed"),
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an item was chosen; ``to_dict`` is its record in the log.

    Attributes:
        strategy: Asked for, e.g. ``allabel``; ``audit`` for the random stream.
        stage: What chose it within that: ``diversity``, ``similarity``, ``uncertainty``, or the strategy's own name.
        rank: Its place among what that stage chose, from 1.
        score: The number it was chosen by; what it means stands in ``meaning``.
        meaning: Why, in plain words with the figure that decided (``words``).
        nearest: Id of the most similar labelled item or earlier pick of the batch; None where there is none.
        nearest_similarity: How similar (cosine, or BM25's score); None where there is none.
        seconds: What labelling it is expected to take; None where not known.
        facts: What else is worth keeping, JSON-serialisable; for audit items the ``population`` they were drawn from.
    """

    strategy: str
    stage: str
    rank: int
    score: float
    meaning: str
    nearest: str | None = None
    nearest_similarity: float | None = None
    seconds: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**asdict(self), "facts": dict(self.facts)}

    def describe(self) -> str:
        """One line for a person: ``far from everything labelled so far (0.61); most like d7``."""
        said = self.meaning
        if self.score and not any(character.isdigit() for character in said):
            said += f" ({self.score:.3g})"
        if self.nearest is not None and self.stage != "audit":
            said += f"; most like {self.nearest}"
        return said


@dataclass(frozen=True, slots=True)
class Pick:
    """One chosen item.

    Attributes:
        id: The item.
        row: Its row in the pool.
        position: Its place in the batch, from 0.
        reason: Why.
        audit: Whether it was drawn at random; only these give unbiased estimates.
    """

    id: str
    row: int
    position: int
    reason: Reason
    audit: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"id": self.id, "position": self.position, "audit": self.audit, "reason": self.reason.to_dict()}


@dataclass(frozen=True, slots=True)
class Selection:
    """A batch.

    Attributes:
        strategy: What was asked for.
        picks: In the order in which a person should see them.
        notes: What the person should know, a line each: fallbacks, short batches, odd vectors.
        open_items: How many items could have been picked.
    """

    strategy: str
    picks: tuple[Pick, ...]
    notes: tuple[str, ...] = ()
    open_items: int = 0

    @property
    def ids(self) -> tuple[str, ...]:
        """The items' ids, in order."""
        return tuple(pick.id for pick in self.picks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "strategy": self.strategy,
            "open_items": self.open_items,
            "notes": list(self.notes),
            "picks": [pick.to_dict() for pick in self.picks],
        }


__all__ = [
    "Aggregate",
    "Floats",
    "InputError",
    "Measure",
    "Pick",
    "Pool",
    "RankReading",
    "Reason",
    "Report",
    "Rows",
    "Selection",
    "SelectionError",
    "SelectionOptions",
    "SimilarityName",
    "UncertaintyReading",
]
