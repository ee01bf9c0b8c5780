"""Gold and predictions of the same documents, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evals.errors import EvalDataError
from evals.scoring.reading import Marked, Reading
from tools.annotation.span import Span


@dataclass(frozen=True, slots=True)
class Paired:
    """What is scored; all by document id, in the order of the gold file.

    Attributes:
        gold: The gold spans.
        predicted: The predicted spans; empty for the documents in ``missing``.
        texts: The texts.
        clusters: What is drawn for intervals; None where documents are.
        missing: Documents without a prediction that count as empty.
        answers: The predicted documents.
    """

    gold: Mapping[str, Sequence[Span]]
    predicted: Mapping[str, Sequence[Span]]
    texts: dict[str, str]
    clusters: dict[str, str] | None
    missing: tuple[str, ...]
    answers: dict[str, Marked]


def pair(gold: Reading, predictions: Reading, *, missing_as_empty: bool = False, cluster: str = "") -> Paired:
    """Put the two sides together.

    Args:
        gold: The gold file.
        predictions: The file to be judged.
        missing_as_empty: Count documents without a prediction as empty.
        cluster: The name of the gold's meta field that tells which documents
            belong together; empty for none.

    Raises:
        EvalDataError: There are predictions for other documents, two texts
            differ, predictions are missing, or a document has no cluster.
    """
    right, guess = gold.documents, predictions.documents
    if other := [name for name in guess if name not in right]:
        raise EvalDataError(
            f"{predictions.path}: {len(other)} document(s) are not in {gold.path}, the first is {other[0]!r}",
            "score predictions against the gold of the same documents",
        )
    missing = [name for name in right if name not in guess]
    for name, one in guess.items():
        if one.text != right[name].text:
            raise EvalDataError(
                f"{predictions.path}: document {name!r} has another text than in {gold.path},"
                f" {_difference(right[name].text, one.text)}",
                "offsets are comparable only in the same text",
            )
    if missing and not missing_as_empty:
        raise EvalDataError(
            f"{predictions.path}: no prediction for {len(missing)} of {len(right)} document(s),"
            f" the first is {missing[0]!r}",
            "predict them, or count them as empty: --missing-as-empty",
        )
    clusters = None
    if cluster:
        without = [name for name, one in right.items() if cluster not in one.meta]
        if without:
            fields = ", ".join(sorted(right[without[0]].meta)) or "none"
            raise EvalDataError(
                f"{gold.path}: document {without[0]!r} has no field {cluster!r} ({len(without)} document(s) in all)",
                f"--cluster names a field of the gold's meta; this document has: {fields}"[:300],
            )
        clusters = {name: one.meta[cluster] for name, one in right.items()}
    return Paired(
        gold={name: one.spans for name, one in right.items()},
        predicted={name: guess[name].spans if name in guess else () for name in right},
        texts={name: one.text for name, one in right.items()},
        clusters=clusters,
        missing=tuple(missing),
        answers=guess,
    )


def _difference(one: str, other: str) -> str:
    at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return f"from character {at} on: {other[at : at + 20]!r} instead of {one[at : at + 20]!r}"
