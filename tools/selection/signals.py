"""How uncertain the models were of a document or passage, read from the predictions of a run.

What a run keeps of an answer is, for each candidate span and member, the probability that the member gave the label
it chose (or "none"), the calibrated confidence of the span, and, where it was asked, the verifier's probability of
yes; see ``tools.annotation.prediction``. The log-probabilities of the tokens that name spans are not kept, so
perplexity is that of the classification answers, one token each. Candidates that were rejected count as well: the
models had to decide on them, too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tools.annotation.prediction import Entity, OutcomeKind, PassageResult
from tools.selection.protocol import Aggregate, Floats

_LEAST = 1e-4
MEASURES = ("perplexity", "margin", "votes", "verifier")
COUNTS = ("expected_errors", "suggestions", "candidates", "disputed")


@dataclass(frozen=True, slots=True)
class Signal:
    """What is known of one item; numbers rise with uncertainty, NaN where nothing is known.

    Attributes:
        perplexity: ``exp`` of the mean negative log-probability of the members' answers; 1 is certain. 1, too, where
            the models found no candidate (their answer was empty).
        margin: Minus the log-odds of the answer against all others, averaged over the answers: 0 is undecided.
        votes: Entropy of the members' labels for a candidate over that of complete disagreement, 0 to 1.
        verifier: How far the verifier's yes is from the share of members that chose the label, 0 to 1.
        expected_errors: How many decisions on spans are expected to be wrong: the sum over accepted spans of
            1 - confidence, over rejected ones of confidence.
        suggestions: How many spans would be shown to a person.
        candidates: How many spans more than one member voted on.
        disputed: On how many of these the members gave different labels.
    """

    perplexity: float
    margin: float
    votes: float
    verifier: float
    expected_errors: float
    suggestions: int
    candidates: int = 0
    disputed: int = 0


def signal_of(passages: Sequence[PassageResult], aggregate: Aggregate = "mean") -> Signal | None:
    """The signal of the passages of one item.

    Args:
        passages: All that a run recorded of it.
        aggregate: How candidates are joined for margin, votes and verifier: their mean, the worst, or the sum. (A
            perplexity is a mean by definition.)

    Returns:
        None where there is nothing, or a passage failed: nobody knows what the models would have said.
    """
    if not passages or any(passage.outcome.kind is OutcomeKind.FAILED for passage in passages):
        return None
    accepted = [entity for passage in passages for entity in passage.entities]
    rejected = [entity for passage in passages for entity in passage.rejected]
    every = [*accepted, *rejected]
    surprises = [-_log(vote.probability) for entity in every for vote in entity.votes]
    wrong = sum(1 - entity.confidence for entity in accepted) + sum(entity.confidence for entity in rejected)
    return Signal(
        perplexity=math.exp(sum(surprises) / len(surprises)) if surprises else 1.0,
        margin=_joined((_margin(entity) for entity in every), aggregate, empty=-_MOST_CERTAIN),
        votes=_joined((_entropy(entity) for entity in every), aggregate, empty=0.0),
        verifier=_joined((_disagreement(entity) for entity in every), aggregate, empty=math.nan),
        expected_errors=wrong,
        suggestions=len(accepted),
        candidates=sum(len(entity.votes) > 1 for entity in every),
        disputed=sum(len({vote.label for vote in entity.votes}) > 1 for entity in every),
    )


def signals_for(
    ids: Sequence[str],
    results: Iterable[tuple[str, Sequence[PassageResult]]],
    aggregate: Aggregate = "mean",
) -> dict[str, Floats]:
    """A pool's signals.

    Args:
        ids: The pool's items.
        results: Item id and its passages; items that are not in the pool are passed over.
        aggregate: See ``signal_of``.

    Returns:
        Each of ``MEASURES``, and the counts of ``Signal``, with one number an item, NaN where not known.
        Empty where nothing is known of any item.
    """
    rows = {name: row for row, name in enumerate(ids)}
    names = (*MEASURES, *COUNTS)
    found = {name: np.full(len(ids), np.nan) for name in names}
    known = False
    for name, passages in results:
        signal = signal_of(passages, aggregate) if name in rows else None
        if signal is not None:
            known = True
            for measure in names:
                found[measure][rows[name]] = getattr(signal, measure)
    return found if known else {}


def measured(signals: Mapping[str, Floats], measure: str) -> Floats | None:
    """One measure of a pool, or the mean percentile rank of all; None where it has no finite value at all."""
    if measure != "mixed":
        values = signals.get(measure)
        return None if values is None or not np.isfinite(values).any() else np.asarray(values, dtype=np.float64)
    ranked = [_percentiles(values) for name in MEASURES if (values := measured(signals, name)) is not None]
    if not ranked:
        return None
    stacked = np.stack(ranked)
    known = np.isfinite(stacked)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def _percentiles(values: Floats) -> Floats:
    """Share of the known values below each, ties at their middle; NaN stays."""
    known = np.isfinite(values)
    inside = values[known]
    ordered = np.sort(inside)
    below, upto = np.searchsorted(ordered, inside, "left"), np.searchsorted(ordered, inside, "right")
    ranks = np.full(len(values), np.nan)
    ranks[known] = (below + upto) / (2 * len(inside))
    return ranks


_MOST_CERTAIN = math.log((1 - _LEAST) / _LEAST)


def _log(probability: float) -> float:
    return math.log(min(1.0, max(_LEAST, probability)))


def _margin(entity: Entity) -> float:
    """Minus the mean log-odds of the members' answers; of the confidence where there were no votes."""
    answers = [vote.probability for vote in entity.votes] or [max(entity.confidence, 1 - entity.confidence)]
    return -sum(_log(p) - _log(1 - p) for p in answers) / len(answers)


def _entropy(entity: Entity) -> float:
    counts = Counter(vote.label for vote in entity.votes)
    total = sum(counts.values())
    if total < 2:
        return 0.0
    return -sum(n / total * math.log(n / total) for n in counts.values()) / math.log(total)


def _disagreement(entity: Entity) -> float:
    if entity.verdict is None or not entity.votes:
        return math.nan
    return abs(entity.verdict - sum(vote.label == entity.span.label for vote in entity.votes) / len(entity.votes))


_JOIN: dict[Aggregate, Callable[[list[float]], float]] = {
    "mean": lambda values: math.fsum(values) / len(values),
    "max": max,
    "sum": math.fsum,
}


def _joined(values: Iterable[float], aggregate: Aggregate, *, empty: float) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(_JOIN[aggregate](known)) if known else empty
