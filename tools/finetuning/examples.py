"""From gold documents to what is trained on: checked, counted, cut into passages, a dev part set aside."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tools.annotation import Document, LabelSet, Span, model_text
from tools.annotation.chunking import chunk
from tools.annotation.grounding import locate
from tools.demonstrations.gold import demonstrations_of
from tools.errors import InputError
from tools.finetuning.errors import TrainingError
from tools.finetuning.records import Gold

GoldDocument = tuple[Document, tuple[Span, ...]]
DEV_LEAST = 5
"""Documents below which none is set aside: the dev part of four documents says nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """Documents that belong together, as passages and as sentences.

    Attributes:
        documents: With their spans.
        passages: Cut as a run cuts them; what is trained on or measured with.
        sentences: Cut as the demonstration index cuts them; what may be shown.
        counts: Mentions a type.
    """

    documents: tuple[GoldDocument, ...]
    passages: tuple[Gold, ...]
    sentences: tuple[Gold, ...]
    counts: Mapping[str, int]

    @property
    def used(self) -> list[dict[str, str]]:
        """Id and text hash of each document, to be kept beside what was trained on them."""
        return [{"id": document.id, "hash": document.hash} for document, _ in self.documents]


@dataclass(frozen=True, slots=True)
class Examples:
    """Everything a training reads.

    Attributes:
        labels: The types that are trained; without those that had too few examples.
        train: What is learned from.
        dev: What early stopping looks at; may be empty.
        left_out: Types with too few examples, with how many they had.
        cut: Mentions lost at the borders of passages.
    """

    labels: LabelSet
    train: Part
    dev: Part
    left_out: Mapping[str, int] = field(default_factory=dict)
    cut: int = 0


def prepare(
    gold: Iterable[tuple[Document, Iterable[Span]]],
    labels: LabelSet,
    count_tokens: Callable[[str], int],
    *,
    max_tokens: int = 128,
    minimum: int = 3,
    allow_few: bool = False,
    skip_bad: bool = False,
    dev_share: float = 0.2,
    seed: int = 13,
) -> Examples:
    """Check, count, split and cut.

    Args:
        gold: Documents with all their mentions.
        labels: The label set; labels of spans may be aliases.
        count_tokens: Tokens of a text in the base's tokenizer.
        max_tokens: Of a passage, as in the project's ``[passages]``.
        minimum: Examples that a type must have.
        allow_few: Leave types with fewer out instead of refusing.
        skip_bad: Leave mentions out that do not ground instead of refusing.
        dev_share: Share of the documents that is set aside; 0 for none.
        seed: Which documents those are.

    Raises:
        TrainingError: There is no gold, or a type has too few examples.
        InputError: A mention lies outside its text, has an unknown label, or no
            model could write it.
    """
    documents = [(document, _checked(document, spans, labels, skip_bad)) for document, spans in gold]
    documents = [(document, spans) for document, spans in documents if document.text.strip()]
    counts = Counter(span.label for _, spans in documents for span in spans)
    if not counts:
        many = f"{len(documents)} documents have no mention" if documents else "there is no labelled document"
        raise TrainingError(
            f"nothing to train on: {many}", "label some documents, or quorum import FILE --gold, or name one by --data"
        )
    few = {name: counts[name] for name in labels.names if counts[name] < minimum}
    if few and not allow_few:
        named = ", ".join(f"{name} {count}" for name, count in few.items())
        raise TrainingError(
            f"too few examples of {len(few)} of {len(labels)} types ({named}; at least {minimum} are needed)",
            "label more of them, or train the other types only: --allow-few",
        )
    kept = [name for name in labels.names if name not in few]
    if not kept:
        raise TrainingError(f"no type has {minimum} examples", "label more, or lower the minimum: --minimum")
    trained = labels.subset(kept) if few else labels
    documents = [(document, tuple(s for s in spans if s.label in trained)) for document, spans in documents]
    ours, theirs = split_documents(documents, share=dev_share, seed=seed)
    train, cut = _part(ours, count_tokens, max_tokens)
    dev, _ = _part(theirs, count_tokens, max_tokens)
    return Examples(trained, train, dev, few, cut)


def _checked(document: Document, spans: Iterable[Span], labels: LabelSet, skip_bad: bool) -> tuple[Span, ...]:
    shown = model_text(document.text)
    found: set[Span] = set()
    for span in spans:
        name = labels.resolve(span.label)
        if name is None:
            raise InputError(
                f"document {document.id!r}: unknown label {span.label!r}",
                f"the label set has {', '.join(labels.names)}"[:300],
            )
        fault = ""
        if span.end > len(document.text):
            fault = f"reaches beyond its {len(document.text)} characters"
        elif not any(place.start == span.start and place.end == span.end for place in _places(shown, span)):
            fault = f"{span.text_in(document.text)!r} cuts a word or is blank at an end: no model can write it"
        if not fault:
            found.add(span.with_label(name))
        elif not skip_bad:
            raise InputError(
                f"document {document.id!r}: the span {span.start}:{span.end} {fault}",
                "mend the gold, or leave such mentions out: --skip-bad",
            )
    return tuple(sorted(found))


def _places(shown: str, span: Span) -> Sequence[Span]:
    # Borders are decided by the characters around them: a window saves searching a whole book for each mention.
    begin, end = max(0, span.start - 40), min(len(shown), span.end + 40)
    found, _ = locate(shown[begin:end], shown[span.start : span.end])
    return [place.shifted(begin) for place in found]


def split_documents(
    documents: Sequence[GoldDocument], *, share: float, seed: int
) -> tuple[list[GoldDocument], list[GoldDocument]]:
    """Set a dev part aside, by document.

    The order is drawn by a hash of seed and id, so that a document stays where
    it is when others are added. A document is only taken where each of its types
    keeps at least two thirds of its mentions for training.

    Args:
        documents: With their spans.
        share: Of the documents, from 0 to 1.
        seed: Of the draw.

    Returns:
        What is trained on and what is set aside, each in the given order.
    """
    wanted = round(share * len(documents)) if len(documents) >= DEV_LEAST else 0
    totals = Counter(span.label for _, spans in documents for span in spans)
    left = Counter(totals)
    drawn = sorted(range(len(documents)), key=lambda i: _draw(seed, documents[i][0].id))
    taken: set[int] = set()
    for i in drawn:
        if len(taken) >= wanted:
            break
        own = Counter(span.label for span in documents[i][1])
        if all(3 * (left[name] - many) >= 2 * totals[name] for name, many in own.items()):
            left -= own
            taken.add(i)
    # Documents without a mention alone cannot be scored.
    if not any(documents[i][1] for i in taken):
        taken = set()
    return (
        [item for i, item in enumerate(documents) if i not in taken],
        [item for i, item in enumerate(documents) if i in taken],
    )


def _draw(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}\n{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _part(documents: Sequence[GoldDocument], count_tokens: Callable[[str], int], max_tokens: int) -> tuple[Part, int]:
    passages: list[Gold] = []
    sentences: list[Gold] = []
    whole = 0
    for document, spans in documents:
        for passage in chunk(document, count_tokens, max_tokens=max_tokens):
            inside = tuple(
                s.shifted(-passage.start) for s in spans if passage.start <= s.start and s.end <= passage.end
            )
            whole += len(inside)
            passages.append(Gold(passage.text, inside))
        sentences += [Gold(item.text, item.spans) for item in demonstrations_of(document, spans, split="train")]
    counts = Counter(span.label for _, spans in documents for span in spans)
    return Part(tuple(documents), tuple(passages), tuple(sentences), dict(sorted(counts.items()))), sum(
        counts.values()
    ) - whole
