"""F1 on the audit documents, with its interval; the only figures of a campaign that are unbiased."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from agent.campaign.curve import Outlook, Point, outlook
from agent.campaign.pool import ranges_of, spans_in
from agent.campaign.services import Services
from agent.runs.output import whole_only
from tools.annotation import Span
from tools.annotation.merging import merge
from tools.annotation.prediction import OutcomeKind, PassageResult
from tools.metrics import ScoreTable, score
from tools.metrics.intervals import Interval
from tools.store import DocumentState, Item, Round, Store
from tools.store.ranges import covers


def answered_audit(store: Store, campaign: int) -> list[Item]:
    """Audit items that an annotator has finished, in order."""
    return [item for item in store.items(campaign) if item.audit and item.answers]


def labelled(store: Store, campaign: int) -> int:
    """How many documents of a campaign an annotator has finished."""
    return sum(bool(item.answers) for item in store.items(campaign))


def predicted_spans(store: Store, document_id: str, results: Sequence[PassageResult]) -> tuple[Span, ...]:
    """What a run found in a document, its passages merged."""
    merged = merge(store.document(document_id), whole_only(results) if len(results) > 1 else results)
    return tuple(entity.span for entity in merged.entities)


def assess(services: Services, campaign: int, number: int, run: int) -> tuple[dict[str, Any], Outlook]:
    """Measure a round.

    Args:
        services: The surroundings.
        campaign: The campaign.
        number: The round.
        run: The run with its predictions; 0 where there is none, and F1 is not known then.

    Returns:
        The round's report as JSON values, and what more labels would bring.
    """
    store, rule = services.store, services.settings.rule
    labels = labelled(store, campaign)
    report: dict[str, Any] = {"labels": labels, "run": run, "f1": None}
    table = None
    if run:
        table, failed = audit_table(store, campaign, run, seed=services.settings.seed)
        if table is not None:
            report |= table_json(table) | {"failed": failed}
    rng = np.random.default_rng([services.settings.seed, number])
    points = curve_points(store.rounds(campaign), services.identity, number)
    if table is not None:
        points.append(Point(labels, dict(zip(table.documents, map(_triple, table.matrix), strict=True))))
    seen = outlook(points, services.settings.batch, max(0, rule.budget - labels), rng=rng, target=rule.target_f1)
    report["outlook"] = seen.to_json() | {"sentence": seen.sentence()}
    return report, seen


def audit_table(store: Store, campaign: int, run: int, *, seed: int) -> tuple[ScoreTable | None, int]:
    """Scores of a run on the audit documents that have gold.

    A document of which the run has nothing counts as one where nothing was found. Of a document that was drawn passage
    by passage only these passages count, together as one document: mentions of one document are alike.

    Returns:
        The table (None without audit documents), and how many documents have a failed passage.
    """
    gold: dict[str, tuple[Span, ...]] = {}
    found: dict[str, tuple[Span, ...]] = {}
    failed = 0
    items = answered_audit(store, campaign)
    parts = ranges_of(items)
    for name in dict.fromkeys(item.document_id for item in items):
        decided = store.gold(name)
        if decided is None:
            continue
        asked = parts.get(name)
        known = decided.state is DocumentState.DONE or (
            asked is not None and all(covers(decided.ranges, part) for part in asked)
        )
        if not known:
            continue
        results = store.passage_results(run, name)
        gold[name] = spans_in(decided.spans, parts, name)
        found[name] = spans_in(predicted_spans(store, name, results), parts, name)
        failed += not results or any(result.outcome.kind is OutcomeKind.FAILED for result in results)
    return (score(gold, found, rng=seed), failed) if gold else (None, 0)


def table_json(table: ScoreTable) -> dict[str, Any]:
    """A table of scores as the store keeps it with a round."""
    return {
        "f1": table.micro.f1,
        "f1_interval": _ends(table.micro.f1_interval),
        "precision": table.micro.precision,
        "recall": table.micro.recall,
        "by_label": {
            label: {"f1": one.f1, "f1_interval": _ends(one.f1_interval), "support": one.support}
            for label, one in table.by_label.items()
        },
        "audit_documents": len(table.documents),
        "audit_spans": table.micro.support,
        "counts": dict(zip(table.documents, map(_triple, table.matrix), strict=True)),
        "matrix": asdict(table.micro.counts),
    }


def curve_points(rounds: Sequence[Round], identity: Mapping[str, Any], before: int) -> list[Point]:
    """The rounds before one that were assessed under the same settings."""
    return [
        Point(int(r.report["labels"]), {name: tuple(counts) for name, counts in r.report["counts"].items()})
        for r in rounds
        if r.number < before and r.report.get("f1") is not None and dict(r.identity) == dict(identity)
    ]


def _ends(interval: Interval | None) -> list[float] | None:
    return [interval.low, interval.high] if interval else None


def _triple(row: Any) -> tuple[int, int, int]:
    tp, fp, fn = (int(value) for value in row)
    return tp, fp, fn
