"""Who agrees with whom in a project: annotators and models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from agent.campaign.labelling import RUN_KIND
from tools.annotation import Span
from tools.annotation.prediction import PassageResult
from tools.metrics.agreement import Alpha, Annotated, PairF1, alpha, pair_f1
from tools.metrics.intervals import Interval
from tools.store import DocumentState, Store, Version
from tools.store.ranges import covers, inside

MODEL = "model:"
QUORUM = f"{MODEL}quorum"
REVIEW = "review"
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Pair:
    """Two annotators, at least one document of both.

    Attributes:
        one: An annotator, or ``model:NAME``.
        other: The other.
        f1: Their span F1.
        alpha: Krippendorff's alpha of the two.
    """

    one: str
    other: str
    f1: PairF1
    alpha: Alpha


@dataclass(frozen=True, slots=True)
class Agreement:
    """All that can be said of a project's agreement.

    Attributes:
        annotators: Name to how many documents it has finished; people first, then models.
        pairs: Every two of them with documents in common.
        people: Alpha of all people together; None where no document has two.
        everyone: Alpha of people and models together; None as above.
        resolutions: How many disagreements a reviewer has decided.
    """

    annotators: Mapping[str, int]
    pairs: tuple[Pair, ...]
    people: Alpha | None
    everyone: Alpha | None
    resolutions: int

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "annotators": dict(self.annotators),
            "pairs": [
                {
                    "annotators": [pair.one, pair.other],
                    "documents": pair.f1.documents,
                    "f1": _interval(pair.f1.f1),
                    "boundaries_f1": _interval(pair.f1.boundaries),
                    "alpha": _alpha(pair.alpha),
                    "by_label": {
                        label: {
                            "f1": _interval(interval),
                            "alpha": pair.alpha.by_label.get(label),
                            "alpha_interval": _ends(pair.alpha.label_intervals.get(label)),
                        }
                        for label, interval in pair.f1.by_label.items()
                    },
                }
                for pair in self.pairs
            ],
            "people": None if self.people is None else _alpha(self.people),
            "everyone": None if self.everyone is None else _alpha(self.everyone),
            "resolutions": self.resolutions,
        }


def versions(store: Store, document_id: str) -> tuple[Version, ...]:
    """A document's versions for a review: every annotator who has finished it, then the models; reviews left out.

    Raises:
        InputError: The document is unknown.
    """
    people = []
    for name in store.annotators(document_id):
        gold = store.gold(document_id, name)
        if gold is not None and gold.state is DocumentState.DONE and gold.source != REVIEW:
            people.append(Version(name, gold.spans))
    models = model_versions(_latest(store, document_id))
    return (*people, *(Version(name, spans) for name, spans in models.items()))


def model_versions(results: Sequence[PassageResult]) -> dict[str, tuple[Span, ...]]:
    """What the quorum decided and what each member said, by name; empty without results.

    A member's version holds every candidate to which it gave a type, whether the quorum accepted it or not.
    """
    if not results:
        return {}
    found: dict[str, set[Span]] = {QUORUM: {entity.span for result in results for entity in result.entities}}
    for result in results:
        for entity in (*result.entities, *result.rejected):
            for vote in entity.votes:
                said = found.setdefault(f"{MODEL}{vote.member}", set())
                if vote.label:
                    said.add(entity.span.with_label(vote.label))
    return {name: tuple(sorted(spans)) for name, spans in found.items()}


def _latest(store: Store, document_id: str) -> Sequence[PassageResult]:
    """The campaign's latest results of a document; those of another run where it has none."""
    runs = sorted(store.runs(), key=lambda run: (run.kind == RUN_KIND, run.id), reverse=True)
    return next((found for run in runs if (found := store.passage_results(run.id, document_id))), ())


def agreement(store: Store, *, seed: int = 13, resamples: int = RESAMPLES) -> Agreement:
    """Compare everyone with everyone.

    Args:
        store: The project's store.
        seed: Of the intervals' draws.
        resamples: How many draws.
    """
    documents: list[Annotated] = []
    for document, gold in store.iter_gold(states=(DocumentState.DONE, DocumentState.IN_PROGRESS)):
        if gold.state is DocumentState.DONE:
            spans = {version.annotator: version.spans for version in versions(store, document.id)}
            if spans:
                documents.append(Annotated(max(1, len(document.text)), spans))
        else:
            documents += _parts(store, document.id)
    counts: dict[str, int] = {}
    for one in documents:
        for name in one.spans:
            counts[name] = counts.get(name, 0) + 1
    names = sorted(counts, key=lambda name: (name.startswith(MODEL), name != QUORUM, name))
    pairs = []
    for one_name, other_name in combinations(names, 2):
        both = [_only(d, (one_name, other_name)) for d in documents if {one_name, other_name} <= set(d.spans)]
        if both:
            rng = np.random.default_rng(seed)
            f1 = pair_f1(both, one_name, other_name, rng=rng, resamples=resamples)
            pairs.append(Pair(one_name, other_name, f1, alpha(both, rng=rng, resamples=resamples)))
    people = [name for name in names if not name.startswith(MODEL)]
    return Agreement(
        {name: counts[name] for name in names},
        tuple(pairs),
        _together(documents, people, seed, resamples),
        # The quorum stands for its members: to count both would count the same opinion twice.
        _together(documents, [*people, *(name for name in names if name == QUORUM)], seed, resamples),
        len(store.resolutions()),
    )


def _parts(store: Store, document_id: str) -> list[Annotated]:
    """The parts of a document that people have finished, each as a text of its own."""
    golds = [gold for name in store.annotators(document_id) if (gold := store.gold(document_id, name)) is not None]
    golds = [gold for gold in golds if gold.source != REVIEW]
    borders = sorted({edge for gold in golds for part in gold.ranges for edge in part})
    models = model_versions(_latest(store, document_id))
    found = []
    for start, end in pairwise(borders):
        spans = {gold.annotator: gold.spans for gold in golds if covers(gold.ranges, (start, end))}
        if not spans:
            continue
        here = {name: inside(one, ((start, end),)) for name, one in {**spans, **models}.items()}
        found.append(
            Annotated(end - start, {name: tuple(s.shifted(-start) for s in one) for name, one in here.items()})
        )
    return found


def _together(documents: Sequence[Annotated], names: Sequence[str], seed: int, resamples: int) -> Alpha | None:
    kept = [_only(document, names) for document in documents]
    shared = [document for document in kept if len(document.spans) > 1]
    return alpha(shared, rng=np.random.default_rng(seed), resamples=resamples) if shared else None


def _only(document: Annotated, names: Sequence[str]) -> Annotated:
    return Annotated(document.length, {name: document.spans[name] for name in names if name in document.spans})


def _interval(interval: Interval) -> dict[str, Any]:
    return {"value": interval.point, "interval": [interval.low, interval.high]}


def _alpha(found: Alpha) -> dict[str, Any]:
    return {
        "value": found.all,
        "interval": _ends(found.interval),
        "documents": found.documents,
        "by_label": {
            label: {"value": value, "interval": _ends(found.label_intervals.get(label))}
            for label, value in found.by_label.items()
        },
    }


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
