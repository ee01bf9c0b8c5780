"""Demonstrations, the queries they are looked up for, and what may be shown to whom."""

from __future__ import annotations

from dataclasses import dataclass

from tools.annotation import Span

_SHOWABLE = frozenset({"", "train", "training", "demonstration", "demonstrations", "pool"})


def may_demonstrate(split: str) -> bool:
    """Whether items of a split may ever be shown to a model.

    Only splits known to be for training may: an unknown or misspelt name
    ("tset", "audit-2") counts as an evaluation split, because a demonstration
    too few costs little and a leaked one makes every figure wrong.

    Args:
        split: The split's name, in any case.
    """
    return split.strip().casefold() in _SHOWABLE


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A gold sentence or passage that can be shown to a model.

    Attributes:
        id: Unique in the index; a passage's id is that of ``Passage.id``.
        document_id: The document it was taken from.
        text: The text, exactly as annotated.
        spans: Its gold mentions, offsets into ``text``.
        split: Where it belongs; see :func:`may_demonstrate`.
        document_hash: ``text_hash`` of the whole document, so that the same
            document under another id is recognised passage by passage; may be
            empty.
    """

    id: str
    document_id: str
    text: str
    spans: tuple[Span, ...]
    split: str = "train"
    document_hash: str = ""

    @property
    def mentions(self) -> tuple[str, ...]:
        """The distinct texts of its gold mentions, in text order, blanks around them cut off."""
        return mention_texts(self.text, self.spans)


@dataclass(frozen=True, slots=True)
class Query:
    """A passage that demonstrations are wanted for.

    Attributes:
        document_id: Its document; demonstrations of that document are left out.
        text: The passage's text.
        spans: Mentions found by pre-extraction, offsets into ``text``; labels
            may be empty.
        document_hash: As in :class:`Demonstration`.
    """

    document_id: str
    text: str
    spans: tuple[Span, ...] = ()
    document_hash: str = ""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """A demonstration that was found, and how.

    Attributes:
        demonstration: What to show.
        score: The similarity by which it was ranked; its scale is the
            retriever's own (cosine for ``sentence``, a weighted mean of
            cosines for ``span``, BM25 points for ``bm25``, 0 for ``random``).
        by: The retriever that really found it. It differs from the one that
            was asked where that one had nothing to go by and fell back.
    """

    demonstration: Demonstration
    score: float
    by: str


def mention_texts(text: str, spans: tuple[Span, ...]) -> tuple[str, ...]:
    """The distinct mention texts of some spans, runs of blanks made one.

    Spans that reach beyond the text are cut, blank ones passed over: what a
    pre-extraction wrote must not be able to stop a retrieval.
    """
    texts = (" ".join(text[span.start : span.end].split()) for span in sorted(spans))
    return tuple(dict.fromkeys(piece for piece in texts if piece))
