"""The figures kept with a cell: names to numbers, so that they can be listed, compared and committed.

Whatever else one wants to know can be had from the log; these are what a table
of cells shows. All are of ``tools.metrics``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from evals.passes import Worked
from evals.records import CellDocument, OracleDocument, OracleItem, StepRow
from evals.suite import Scorer
from tools.annotation import LabelSet, Span
from tools.annotation.prediction import OutcomeKind
from tools.metrics import (
    CHARACTERS,
    SEEN_ORDER,
    WORDS,
    ErrorKind,
    Score,
    TrainingMentions,
    by_length,
    calibration,
    score,
    score_by,
    spaced,
    taxonomy,
)

RESAMPLES = 1000


def cell_figures(
    documents: Sequence[CellDocument],
    wanted: Sequence[Scorer],
    labels: LabelSet,
    seed: int,
    texts: Mapping[str, str] | None = None,
    training: TrainingMentions | None = None,
) -> dict[str, float]:
    """The figures of an end-to-end cell.

    Args:
        documents: All its documents.
        wanted: Groups of figures, see ``evals.suite.SCORERS``.
        labels: The label set.
        seed: Where the intervals' draws begin.
        texts: Document id to text; without them nothing is told by length, or seen and unseen.
        training: The mentions of the pool, to tell seen from unseen ones.

    Returns:
        Always ``f1``, ``precision``, ``recall`` (strict, micro, 0 to 1), ``f1_low``
        and ``f1_high`` (95 %, clusters drawn) and ``support``; and what was wanted.
    """
    gold = {d.id: [Span(*row) for row in d.gold] for d in documents}
    predicted = {d.id: [Span(p.start, p.end, p.label) for p in d.predicted] for d in documents}
    clusters = {d.id: d.cluster or d.id for d in documents}
    tree = labels if "tree" in wanted else None
    table = score(gold, predicted, rng=seed, resamples=RESAMPLES, clusters=clusters, labels=tree)
    figures = {**_prf("", table.micro), "support": float(table.micro.support), "macro_f1": table.macro.f1}
    if table.micro.f1_interval is not None:
        figures |= {"f1_low": table.micro.f1_interval.low, "f1_high": table.micro.f1_interval.high}
    if "boundaries" in wanted:
        figures |= _prf("boundaries_", table.boundaries)
    if "types" in wanted:
        for name in labels.names:
            if name in table.by_label:
                figures[f"type_f1/{name}"] = table.by_label[name].f1
                figures[f"type_support/{name}"] = float(table.by_label[name].support)
    if "schemes" in wanted:
        figures |= {"type_only_f1": table.schemes["types"].f1, "partial_f1": table.schemes["partial"].f1}
    if table.top is not None:
        figures |= {"top_f1": table.top.f1, **_named("tree", table.by_parent)}
    if "lengths" in wanted and texts is not None:
        words = spaced(texts.values())
        parts = score_by(gold, predicted, by_length(texts, words=words))
        figures |= _named("length", {name: parts[name] for name in (WORDS if words else CHARACTERS) if name in parts})
    if "seen" in wanted and texts is not None and training is not None:
        parts = score_by(gold, predicted, training.question(texts))
        figures |= _named("seen", {name: parts[name] for name in SEEN_ORDER if name in parts})
    if "kinds" in wanted:
        rows = taxonomy(gold, predicted, keep=False).rows()
        figures |= {f"kinds/{kind}": float(cases) for kind, cases, _, _ in rows if kind is not ErrorKind.CORRECT}
    if "calibration" in wanted:
        figures |= _calibration(documents)
    if "outcomes" in wanted:
        kinds = Counter(d.outcome for d in documents)
        figures |= {f"outcome/{kind.value}": float(kinds[kind.value]) for kind in OutcomeKind if kinds[kind.value]}
    if "charges" in wanted:
        charged = Counter((what, step) for d in documents for _, what, step in d.charges)
        figures |= {f"errors/{what}/{step}": float(count) for (what, step), count in sorted(charged.items())}
    return _rounded(figures)


def _prf(prefix: str, of: Score) -> dict[str, float]:
    return {f"{prefix}precision": of.precision, f"{prefix}recall": of.recall, f"{prefix}f1": of.f1}


def _named(part: str, scores: Mapping[str, Score]) -> dict[str, float]:
    f1 = {f"{part}_f1/{name}": one.f1 for name, one in scores.items()}
    return f1 | {f"{part}_support/{name}": float(one.support) for name, one in scores.items()}


def _calibration(documents: Sequence[CellDocument]) -> dict[str, float]:
    judged = [(p.confidence, (p.start, p.end, p.label) in set(d.gold)) for d in documents for p in d.predicted]
    if not judged:
        return {}
    found = calibration([confidence for confidence, _ in judged], [right for _, right in judged])
    return {"ece": found.ece, "brier": found.brier.score}


def grounding_rate(documents: Sequence[Worked]) -> dict[str, float]:
    """The share of proposed mentions that stand in their passage."""
    grounded = sum(len(work.candidates) for d in documents for work in d.done)
    not_found = sum(len(work.ungrounded) for d in documents for work in d.done)
    return {"grounding": grounded / (grounded + not_found) if grounded + not_found else 1.0}


# -- steps scored alone -------------------------------------------------------------------------------------------


def extraction_items(document: Worked) -> OracleDocument:
    """What extraction alone found of the gold places, types left out."""
    proposers: dict[tuple[int, int], tuple[str, ...]] = {}
    for work in document.done:
        for c in work.candidates:
            place = c.span.shifted(work.passage.start)
            proposers[place.start, place.end] = c.proposers
    items = []
    for span in document.gold.spans:
        who = proposers.pop((span.start, span.end), ())
        items.append(
            OracleItem((span.start, span.end, span.label), "gold", "found", "found" if who else "missed", 1.0, who)
        )
    items += [OracleItem((*place, ""), "elsewhere", "missed", "found", 1.0, who) for place, who in proposers.items()]
    return OracleDocument(document.gold.id, tuple(items))


def extraction_figures(documents: Sequence[OracleDocument], members: Sequence[str]) -> dict[str, float]:
    """Recall of places, of the union and of each member, and how much was proposed for it."""
    gold = [item for item in _items(documents) if item.kind == "gold"]
    proposed = [item for item in _items(documents) if item.members]
    figures = {
        "recall": _share(item.answer == "found" for item in gold),
        "precision": _share(item.kind == "gold" for item in proposed),
        "support": float(len(gold)),
    }
    for name in members:
        figures[f"recall/{name}"] = _share(name in item.members for item in gold)
        figures[f"precision/{name}"] = _share(item.kind == "gold" for item in proposed if name in item.members)
    return _rounded(figures)


def typing_figures(documents: Sequence[OracleDocument], members: Sequence[str]) -> dict[str, float]:
    """Accuracy on gold spans, of the vote and of each member that types; how often it was "none"."""
    vote = [item for item in _items(documents) if not item.members]
    figures = {
        "accuracy": _share(item.answer == item.truth for item in vote),
        "said_none": _share(item.answer == "" for item in vote),
        "support": float(len(vote)),
    }
    for name in members:
        own = [item for item in _items(documents) if item.members == (name,)]
        if not own:
            continue  # it takes no part in typing
        figures[f"accuracy/{name}"] = _share(item.answer == item.truth for item in own)
    for label in sorted({item.truth for item in vote}):
        figures[f"accuracy_of/{label}"] = _share(item.answer == label for item in vote if item.truth == label)
    return _rounded(figures)


def verification_figures(documents: Sequence[OracleDocument]) -> dict[str, float]:
    """Precision and recall of "yes", and how often each kind of wrong candidate was turned down."""
    items = list(_items(documents))
    said_yes = [item for item in items if item.answer == "yes"]
    figures = {
        "precision": _share(item.truth == "yes" for item in said_yes),
        "recall": _share(item.answer == "yes" for item in items if item.truth == "yes"),
        "accuracy": _share(item.answer == item.truth for item in items),
        "support": float(len(items)),
    }
    for kind in ("type", "border", "elsewhere"):
        figures[f"turned_down/{kind}"] = _share(item.answer == "no" for item in items if item.kind == kind)
    return _rounded(figures)


def _items(documents: Iterable[OracleDocument]) -> Iterator[OracleItem]:
    for document in documents:
        yield from document.items


def _share(truths: Iterable[bool]) -> float:
    listed = list(truths)
    return sum(listed) / len(listed) if listed else 0.0


# -- cost -----------------------------------------------------------------------------------------------------------


def cost(steps: Iterable[StepRow], documents: int, seconds: float, replayed: float) -> dict[str, float]:
    """What a choice of steps takes, answers of the response cache counted as if they had been asked.

    Args:
        steps: The requests that belong to it.
        documents: How many documents.
        seconds: Wall time of the pass they were asked in.
        replayed: The share of requests that an earlier pass or run had answered;
            seconds mean little unless it is 0.
    """
    rows = list(steps)
    prompt, cached, output = (float(sum(row.tokens[n] for row in rows)) for n in range(3))
    return _rounded(
        {
            "requests": float(len(rows)),
            "prompt_tokens": prompt,
            "cached_tokens": cached,
            "output_tokens": output,
            "tokens_per_document": (prompt + output) / documents if documents else 0.0,
            "failures": float(sum(bool(row.failure) for row in rows)),
            "pass_seconds": seconds,
            "replayed": replayed,
            # Of a pass that asked its models; kept answers have no speed.
            **({"documents_per_second": documents / seconds} if seconds > 0 and replayed == 0 else {}),
        }
    )


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in figures.items()}
