"""All that is said of a set of predictions against gold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evals.scoring.pairing import Paired
from tools.annotation.labels import LabelSet
from tools.metrics import (
    CHARACTERS,
    SEEN_ORDER,
    WORDS,
    Calibration,
    ErrorKind,
    Interval,
    Outcomes,
    Score,
    ScoreTable,
    Taxonomy,
    TrainingMentions,
    by_length,
    calibration,
    outcomes,
    score,
    score_by,
    spaced,
    taxonomy,
)

SCHEME_NAMES = {
    "strict": "strict",
    "boundaries": "place alone",
    "types": "type, any overlap",
    "partial": "partial (overlap: half)",
}


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """Scores with intervals, and what kinds of mistakes there are.

    Attributes:
        table: All scores.
        errors: The taxonomy.
        by_length: Strict, by the length of the mention.
        by_seen: Strict, by whether training has shown the mention; None without training data.
        calibration: Where every predicted span has a confidence, else None.
        outcomes: Where every predicted document tells how it ended, else None.
        documents: How many documents.
        missing: How many of them had no prediction and count as empty.
        cluster: The field that documents were drawn by; empty for documents.
        level: Of the intervals.
        resamples: Draws an interval.
        seed: Of the draws.
    """

    table: ScoreTable
    errors: Taxonomy
    by_length: dict[str, Score]
    by_seen: dict[str, Score] | None
    calibration: Calibration | None
    outcomes: Outcomes | None
    documents: int
    missing: int
    cluster: str
    level: float
    resamples: int
    seed: int

    def sections(self) -> dict[str, dict[str, Score]]:
        """All scores by section and name, in the order to be shown."""
        table = self.table
        whole = {SCHEME_NAMES[scheme]: one for scheme, one in table.schemes.items()}
        whole["mean of types (macro)"] = table.macro
        if table.top is not None:
            whole["topmost types"] = table.top
        found = {"score": whole, "type": dict(table.by_label)}
        if table.by_parent:
            found["type with all below"] = dict(table.by_parent)
        found["length"] = dict(self.by_length)
        if self.by_seen is not None:
            found["in training"] = dict(self.by_seen)
        return found

    def to_json(self) -> dict[str, Any]:
        """JSON values; the layout is documented in docs/metrics.md."""
        table = self.table
        found: dict[str, Any] = {
            "documents": self.documents,
            "missing": self.missing,
            "intervals": {
                "level": self.level,
                "resamples": self.resamples,
                "seed": self.seed,
                "cluster": self.cluster or None,
                "units": table.units,
            },
            "schemes": {scheme: score_json(one) for scheme, one in table.schemes.items()},
            "macro": score_json(table.macro),
            "types": {label: score_json(one) for label, one in table.by_label.items()},
            "errors": {
                str(kind): {"cases": cases, "gold": gold, "predicted": guess}
                for kind, cases, gold, guess in self.errors.rows()
            },
            "confusion": [
                {"gold": gold or None, "predicted": guess or None, "count": count}
                for (gold, guess), count in sorted(self.errors.confusion.items())
            ],
            "length": {name: score_json(one) for name, one in self.by_length.items()},
        }
        if table.by_parent:
            found["parents"] = {label: score_json(one) for label, one in table.by_parent.items()}
        if table.top is not None:
            found["top"] = score_json(table.top)
        if self.by_seen is not None:
            found["in_training"] = {name: score_json(one) for name, one in self.by_seen.items()}
        if self.calibration is not None:
            found["calibration"] = calibration_json(self.calibration)
        if self.outcomes is not None:
            found["outcomes"] = {str(kind): count for kind, count in self.outcomes.counts.items()}
        return found


def make_report(
    paired: Paired,
    *,
    labels: LabelSet | None = None,
    training: TrainingMentions | None = None,
    cluster: str = "",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 13,
) -> ScoreReport:
    """Score predictions against gold in every way there is.

    Args:
        paired: The two sides.
        labels: Gives the type tree and the order of the types.
        training: Mentions of training data, to tell seen from unseen ones.
        cluster: How the clusters in ``paired`` are called.
        level: Of the intervals.
        resamples: Draws an interval.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    gold, predicted, clusters = paired.gold, paired.predicted, paired.clusters
    table = score(gold, predicted, rng=rng, resamples=resamples, level=level, clusters=clusters, labels=labels)
    words = spaced(paired.texts.values())
    lengths = score_by(
        gold,
        predicted,
        by_length(paired.texts, words=words),
        rng=rng,
        resamples=resamples,
        level=level,
        clusters=clusters,
    )
    seen = None
    if training is not None:
        question = training.question(paired.texts)
        seen = score_by(gold, predicted, question, rng=rng, resamples=resamples, level=level, clusters=clusters)
        seen = {name: seen[name] for name in SEEN_ORDER if name in seen}
    ended = [one.outcome for one in paired.answers.values()]
    known = [kind for kind in ended if kind is not None]
    return ScoreReport(
        table=table,
        errors=taxonomy(gold, predicted, keep=False),
        by_length={name: lengths[name] for name in (WORDS if words else CHARACTERS) if name in lengths},
        by_seen=seen,
        calibration=_calibration(paired),
        outcomes=outcomes(known) if known and len(known) == len(ended) else None,
        documents=len(gold),
        missing=len(paired.missing),
        cluster=cluster,
        level=level,
        resamples=resamples,
        seed=seed,
    )


def _calibration(paired: Paired) -> Calibration | None:
    probabilities: list[float] = []
    right: list[bool] = []
    for name, one in paired.answers.items():
        if len(one.confidences) != len(one.spans):
            return None
        gold = set(paired.gold[name])
        for span, confidence in one.confidences.items():
            probabilities.append(confidence)
            right.append(span in gold)
    return calibration(probabilities, right) if probabilities else None


def score_json(one: Score) -> dict[str, Any]:
    """A score as JSON values, unrounded."""
    intervals: Mapping[str, Interval | None] = {
        "precision": one.precision_interval,
        "recall": one.recall_interval,
        "f1": one.f1_interval,
    }
    return {
        "precision": one.precision,
        "recall": one.recall,
        "f1": one.f1,
        "intervals": {name: [within.low, within.high] for name, within in intervals.items() if within is not None},
        "gold": one.counts.support,
        "predicted": one.counts.predicted,
        "tp": one.counts.tp,
        "fp": one.counts.fp,
        "fn": one.counts.fn,
    }


def calibration_json(one: Calibration) -> dict[str, Any]:
    """A calibration as JSON values."""
    brier = one.brier
    return {
        "count": one.count,
        "ece": one.ece,
        "ece_equal_mass": one.ece_mass,
        "brier": {
            "score": brier.score,
            "reliability": brier.reliability,
            "resolution": brier.resolution,
            "uncertainty": brier.uncertainty,
            "within": brier.within,
        },
        "curve": [
            {
                "low": at.low,
                "high": at.high,
                "count": at.count,
                "confidence": at.confidence,
                "accuracy": at.accuracy.point,
                "interval": [at.accuracy.low, at.accuracy.high],
            }
            for at in one.curve
        ],
    }


def shown_errors(errors: Taxonomy) -> list[tuple[ErrorKind, int, int, int]]:
    """The rows of the taxonomy that hold something."""
    return [row for row in errors.rows() if row[1]]
