"""A run's predictions against gold, as rows for a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tools.annotation.labels import LabelSet
from tools.annotation.span import Span
from tui.report.marks import Shown

if TYPE_CHECKING:
    from tools.metrics import Score, ScoreTable

HEADS = ("type", "precision", "recall", "F1", "95 % interval of F1", "gold", "found")
SEED = 13


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of a run whose documents have gold.

    Attributes:
        table: Strict scores: place and type must be right.
        order: The types, in the label set's order, others after it.
    """

    table: ScoreTable
    order: tuple[str, ...]

    def rows(self) -> list[tuple[str, ...]]:
        """One row a type that occurs, one for places whatever their type, the last for all together; texts."""
        found = [_row(label, self.table.by_label[label]) for label in self.order]
        return [*found, _row("place alone", self.table.boundaries), _row("all types", self.table.micro)]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "all": _plain(self.table.micro),
            "boundaries": _plain(self.table.boundaries),
            "types": {label: _plain(self.table.by_label[label]) for label in self.order},
        }


def scored(documents: Iterable[Shown], labels: LabelSet) -> Scored | None:
    """Score documents against their gold.

    Args:
        documents: Those without gold are left out.
        labels: Gives the order.

    Returns:
        The scores, with intervals from a bootstrap over documents; None where
        no document has gold.
    """
    from tools.metrics import score

    gold: dict[str, Sequence[Span]] = {}
    predicted: dict[str, Sequence[Span]] = {}
    for shown in documents:
        if shown.gold is not None:
            gold[shown.document.id] = shown.gold
            predicted[shown.document.id] = tuple(entity.span for entity in shown.result.entities)
    if not gold:
        return None
    table = score(gold, predicted, rng=SEED)
    known = [name for name in labels.names if name in table.by_label]
    return Scored(table, (*known, *(name for name in table.by_label if name not in known)))


def _row(name: str, score: Score) -> tuple[str, ...]:
    interval = f"{score.f1_interval.low:.2f}-{score.f1_interval.high:.2f}" if score.f1_interval else ""
    predicted = score.counts.tp + score.counts.fp
    figures = (f"{score.precision:.2f}", f"{score.recall:.2f}", f"{score.f1:.2f}")
    return (name, *figures, interval, str(score.support), str(predicted))


def _plain(score: Score) -> dict[str, Any]:
    intervals = {
        name: [round(interval.low, 4), round(interval.high, 4)]
        for name, interval in (
            ("precision", score.precision_interval),
            ("recall", score.recall_interval),
            ("f1", score.f1_interval),
        )
        if interval is not None
    }
    return {
        "precision": round(score.precision, 4),
        "recall": round(score.recall, 4),
        "f1": round(score.f1, 4),
        "gold": score.support,
        "found": score.counts.tp + score.counts.fp,
        "intervals": intervals,
    }
