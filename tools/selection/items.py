"""What a person is given to label: short documents whole, long ones passage by passage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tools.annotation import Document
from tools.annotation.chunking import chunk
from tools.annotation.prediction import PassageResult

# About half a minute's reading: longer and the odd sentence that was wanted brings a page with it.
LONGEST = 1500
_CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Item:
    """A document, or a part of one.

    Attributes:
        id: The document's, or ``DOCUMENT#START-END`` for a part.
        document_id: The document.
        start: Offset of its first code point in the document.
        text: ``document.text[start:start + len(text)]``.
        whole: Whether it is the whole document.
    """

    id: str
    document_id: str
    start: int
    text: str
    whole: bool = True

    @property
    def end(self) -> int:
        """Offset after its last code point, in the document."""
        return self.start + len(self.text)

    def results(self, passages: Sequence[PassageResult]) -> list[PassageResult]:
        """What a run found inside it; spans that begin in it count as its own.

        A run's passages are cut by another measure, and a failed one does not say where it was:
        their outcomes stay with every item of the document.
        """
        if self.whole:
            return list(passages)
        return [
            replace(
                passage,
                entities=tuple(e for e in passage.entities if self.start <= e.span.start < self.end),
                rejected=tuple(e for e in passage.rejected if self.start <= e.span.start < self.end),
            )
            for passage in passages
        ]


def items_of(document: Document, longest: int | None = LONGEST) -> list[Item]:
    """The items of a document, in order.

    Args:
        document: The document.
        longest: Code points beyond which it is cut into passages of about that length at most, at ends of sentences;
            None never cuts.

    Returns:
        Nothing for a document that holds only blanks.
    """
    if not document.text.strip():
        return []
    if longest is None or len(document.text) <= longest:
        return [Item(document.id, document.id, 0, document.text)]
    passages = chunk(document, _tokens, max_tokens=max(1, longest // _CHARACTERS_A_TOKEN))
    return [
        Item(f"{document.id}#{passage.start}-{passage.end}", document.id, passage.start, passage.text, whole=False)
        for passage in passages
    ]


def items_in(documents: Iterable[Document], longest: int | None = LONGEST) -> Iterator[Item]:
    """The items of many documents."""
    for document in documents:
        yield from items_of(document, longest)


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_A_TOKEN)
