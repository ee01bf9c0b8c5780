"""Agreement between annotators: span F1 in pairs, and Krippendorff's alpha for unitising.

Alpha is 1 for equal annotations, about 0 for such as chance would give, below 0 for worse. There are two definitions:

- ``2016``: Krippendorff, Mathet, Bouvry & Widlöcher, "On the reliability of unitizing textual continua: Further
  developments", Quality & Quantity 50 (2016), section 5.2: the binary coefficient ``|u``-alpha of units against gaps,
  for any number of annotators. Used in all reports. It compares what is covered: two units that touch without a gap
  are to it as one.
- ``1995``: Krippendorff, "On the reliability of unitizing continuous data", Sociological Methodology 25 (1995);
  Content Analysis (2004), p. 251-256. It weighs by squared distances of borders. The later paper says that it does
  not behave as expected with more than two annotators; use it for pairs.

Both want units that do not overlap. Spans of different types may overlap, since each type is a continuum of its own,
as in the paper of 1995, and disagreements are summed over the types before they are divided. Spans of one type that
nest or overlap are dealt out to layers (outer before inner, earlier before later), and each layer is a continuum, so
that equal annotations agree whole. Documents are parts of one continuum; no unit and no gap reaches across their
borders. Lengths count code points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tools.annotation.span import Span
from tools.metrics.intervals import Interval, bootstrap
from tools.metrics.matching import count_matches

Floats = NDArray[np.float64]
Layer = tuple[str, int]
Unit = tuple[int, int]
Definition = Literal["2016", "1995"]


@dataclass(frozen=True, slots=True)
class Annotated:
    """A document as several annotators have it.

    Attributes:
        length: Of its text, in code points.
        spans: Annotator to spans; an annotator who has not finished it is not in it.
    """

    length: int
    spans: Mapping[str, Sequence[Span]]


@dataclass(frozen=True, slots=True)
class Alpha:
    """Krippendorff's alpha of some documents.

    Attributes:
        all: All types together; None where nothing was marked, or everything is marked: nothing can vary then.
        by_label: Each type; None as above.
        observed: Observed disagreement, all types together.
        expected: Expected disagreement.
        interval: Of ``all``, documents drawn with replacement; None without resamples or fewer than two documents.
        label_intervals: The same for each type.
        documents: How many documents more than one annotator has.
    """

    all: float | None
    by_label: dict[str, float | None]
    observed: float
    expected: float
    documents: int
    interval: Interval | None = None
    label_intervals: dict[str, Interval | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PairF1:
    """Span F1 of two annotators; it is the same whichever of them is taken for gold.

    Attributes:
        f1: Strict, all types together, with its interval.
        boundaries: The type left out.
        by_label: Each type.
        documents: How many both have finished.
    """

    f1: Interval
    boundaries: Interval
    by_label: dict[str, Interval]
    documents: int


def layers(spans: Sequence[Span]) -> dict[Layer, list[Unit]]:
    """Spans as units that do not overlap: by type, and within a type by layer.

    Args:
        spans: One annotator's spans of one document; doubles count once.

    Returns:
        (type, layer from 0) to units (start, end) in order.
    """
    found: dict[Layer, list[Unit]] = {}
    for span in sorted(set(spans), key=lambda one: (one.label, one.start, -one.end)):
        number = 0
        while (units := found.setdefault((span.label, number), [])) and units[-1][1] > span.start:
            number += 1
        units.append((span.start, span.end))
    return found


def alpha(
    documents: Sequence[Annotated],
    *,
    definition: Definition = "2016",
    rng: np.random.Generator | None = None,
    resamples: int = 1000,
    level: float = 0.95,
) -> Alpha:
    """Krippendorff's alpha over documents, each with at least two annotators; others are passed over.

    Args:
        documents: Documents with their annotators' spans. In the definition of 2016 different documents may have
            different annotators; in that of 1995 all must have the same.
        definition: See the module.
        rng: The source of the draws; None gives no intervals.
        resamples: How many draws.
        level: Of the intervals.

    Raises:
        ValueError: A span reaches beyond its document, or (1995) documents have different annotators.
    """
    used = [document for document in documents if len(document.spans) > 1 and document.length > 0]
    for document in used:
        if any(span.end > document.length for spans in document.spans.values() for span in spans):
            raise ValueError(f"a span reaches beyond a document of {document.length}")
    continua = _by_layer(used)
    make = _Binary if definition == "2016" else _Distances
    statistics = {layer: make(used, column) for layer, column in continua.items()}
    once = np.ones((1, len(used)))
    observed = {layer: one.disagreements(once)[0] for layer, one in statistics.items()}
    labels = sorted({label for label, _ in continua})
    whole = _summed(list(observed.values()), 1)
    found = Alpha(
        all=_ratio(whole),
        by_label={name: _ratio(_summed([v for (k, _), v in observed.items() if k == name], 1)) for name in labels},
        observed=float(whole[0, 0]),
        expected=float(whole[0, 1]),
        documents=len(used),
    )
    if rng is None or len(used) < 2:
        return found
    weights = rng.multinomial(len(used), np.full(len(used), 1 / len(used)), size=resamples).astype(np.float64)
    drawn = {layer: one.disagreements(weights) for layer, one in statistics.items()}
    by_label = {
        name: _interval(found.by_label[name], [v for (k, _), v in drawn.items() if k == name], resamples, level)
        for name in labels
    }
    return Alpha(
        found.all,
        found.by_label,
        found.observed,
        found.expected,
        found.documents,
        _interval(found.all, list(drawn.values()), resamples, level),
        by_label,
    )


def _by_layer(documents: Sequence[Annotated]) -> dict[Layer, list[list[list[Unit]]]]:
    """(type, layer) to, for each document, each annotator's units."""
    cut = [{who: layers(spans) for who, spans in document.spans.items()} for document in documents]
    names = sorted({layer for document in cut for found in document.values() for layer in found})
    return {
        layer: [[found.get(layer, []) for _, found in sorted(document.items())] for document in cut] for layer in names
    }


def _summed(parts: Sequence[Floats], rows: int) -> Floats:
    """Observed and expected disagreement summed over continua; shape (rows, 2)."""
    total = np.zeros((rows, 2))
    for part in parts:
        total += part.reshape(rows, 2)
    return total


def _ratio(disagreements: Floats) -> float | None:
    observed, expected = map(float, disagreements[0])
    return 1 - observed / expected if expected > 0 else None


def _interval(point: float | None, drawn: Sequence[Floats], rows: int, level: float) -> Interval | None:
    if point is None:
        return None
    total = _summed(drawn, rows)
    usable = total[total[:, 1] > 0]
    if not len(usable):
        return None
    values = 1 - usable[:, 0] / usable[:, 1]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(point, float(low), float(high), level)


class _Binary:
    """|u-alpha of 2016: coincidences of units and gaps, measured in code points.

    For each document: the pairable length, the length of units, the sum of squared unit lengths, and the length on
    which pairs of annotators differ, each pair's share being 1 / (annotators - 1).
    """

    def __init__(self, documents: Sequence[Annotated], units: Sequence[Sequence[Sequence[Unit]]]) -> None:
        rows = []
        for document, people in zip(documents, units, strict=True):
            m = len(people)
            inside = [sum(end - start for start, end in own) for own in people]
            squares = sum((end - start) ** 2 for own in people for start, end in own)
            # Ordered pairs: what one has and the other has not, both ways round.
            shared = [_shared(a, b) for a, b in permutations(people, 2)]
            differ = 2 * sum((m - 1) * length for length in inside) - 2 * sum(shared)
            rows.append((m * document.length, sum(inside), squares, differ / (m - 1)))
        self._rows = np.array(rows, dtype=np.float64).reshape(-1, 4)

    def disagreements(self, weights: Floats) -> Floats:
        """Observed and expected disagreement of weighted documents; shape (draws, 2)."""
        total, inside, squares, differ = (weights @ self._rows).T
        gaps = total - inside
        # Eq. 4: a unit is not paired with itself; a gap has no parts that belong together, and loses its length only.
        pairs = total**2 - squares - gaps
        expected = np.divide(2 * total * inside * gaps, pairs, out=np.zeros_like(total), where=pairs > 0)
        return np.stack([differ, expected], axis=1)


def _shared(one: Sequence[Unit], other: Sequence[Unit]) -> int:
    """Length that two sorted lists of disjoint units have in common."""
    total = i = j = 0
    while i < len(one) and j < len(other):
        total += max(0, min(one[i][1], other[j][1]) - max(one[i][0], other[j][0]))
        if one[i][1] <= other[j][1]:
            i += 1
        else:
            j += 1
    return total


class _Distances:
    """Alpha of 1995/2004: squared distances of borders, and expected ones from all placements."""

    def __init__(self, documents: Sequence[Annotated], units: Sequence[Sequence[Sequence[Unit]]]) -> None:
        if len({tuple(sorted(document.spans)) for document in documents}) > 1:
            raise ValueError("the definition of 1995 needs the same annotators in all documents")
        self._annotators = len(documents[0].spans) if documents else 0
        self._lengths = np.array([document.length for document in documents], dtype=np.float64)
        sizes = sorted({end - start for people in units for own in people for start, end in own})
        self._sizes = np.array(sizes, dtype=np.float64)
        place = {size: column for column, size in enumerate(sizes)}
        self._observed = np.zeros(len(documents))
        self._units = np.zeros((len(documents), len(sizes)))
        self._places = np.zeros((len(documents), len(sizes)))
        for row, (document, people) in enumerate(zip(documents, units, strict=True)):
            gaps = [_gaps(own, document.length) for own in people]
            for i, j in permutations(range(len(people)), 2):
                self._observed[row] += _distance(people[i], gaps[i], people[j], gaps[j])
            for start, end in (unit for own in people for unit in own):
                self._units[row, place[end - start]] += 1
            for start, end in (gap for own in gaps for gap in own):
                self._places[row] += np.maximum(end - start - self._sizes + 1, 0)

    def disagreements(self, weights: Floats) -> Floats:
        """Observed and expected disagreement of weighted documents; shape (draws, 2)."""
        m, length = self._annotators, weights @ self._lengths
        observed = weights @ self._observed / (m * (m - 1) * length**2)
        units, places, size = weights @ self._units, weights @ self._places, self._sizes
        count = units.sum(axis=1)
        among = (count[:, None] - 1) / 3 * (2 * size**3 - 3 * size**2 + size)
        total = (units * (np.maximum(among, 0) + size**2 * places)).sum(axis=1)
        pairs = m * length * (m * length - 1) - (units * size * (size - 1)).sum(axis=1)
        expected = np.divide(2 / length * total, pairs, out=np.zeros_like(total), where=pairs > 0)
        return np.stack([observed, expected], axis=1)


def _gaps(units: Sequence[Unit], length: int) -> list[Unit]:
    edges = [0, *(edge for unit in units for edge in unit), length]
    return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if end > start]


def _distance(units: Sequence[Unit], gaps: Sequence[Unit], others: Sequence[Unit], other_gaps: Sequence[Unit]) -> float:
    """Squared differences of one annotator's units with another's units and gaps.

    Over both orders of a pair of annotators, units against gaps are met once from either side; here they are
    counted from the units' side only and twice, as the sum over ordered pairs has them.
    """
    total = 0
    for start, end in units:
        for begin, stop in others:
            if start < stop and begin < end:
                total += (start - begin) ** 2 + (end - stop) ** 2
        if any(begin <= start and end <= stop for begin, stop in other_gaps):
            total += 2 * (end - start) ** 2
    return float(total)


def pair_f1(
    documents: Sequence[Annotated],
    one: str,
    other: str,
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
    level: float = 0.95,
) -> PairF1:
    """Span F1 of two annotators over the documents that both have finished.

    Args:
        documents: Documents with their annotators' spans.
        one: An annotator.
        other: The other.
        rng: The source of the draws.
        resamples: How many draws.
        level: Of the intervals.
    """
    both = [d for d in documents if one in d.spans and other in d.spans]
    labels = sorted({span.label for d in both for who in (one, other) for span in d.spans[who]})
    strict = np.array([_counts(d.spans[one], d.spans[other]) for d in both], dtype=np.int64).reshape(-1, 3)
    places = np.array([_counts(d.spans[one], d.spans[other], places=True) for d in both], dtype=np.int64)

    def judged(matrix: NDArray[np.int64]) -> Interval:
        if not len(matrix):
            return Interval(0.0, 0.0, 1.0, level)
        return bootstrap(matrix.reshape(-1, 3), "f1", rng=rng, resamples=resamples, level=level)

    by_label = {}
    for label in labels:
        rows = [
            _counts([s for s in d.spans[one] if s.label == label], [s for s in d.spans[other] if s.label == label])
            for d in both
        ]
        by_label[label] = judged(np.array(rows, dtype=np.int64))
    return PairF1(judged(strict), judged(places), by_label, len(both))


def _counts(one: Sequence[Span], other: Sequence[Span], *, places: bool = False) -> tuple[int, int, int]:
    counts = count_matches(one, other, boundaries_only=places)
    return int(counts.tp), int(counts.fp), int(counts.fn)
