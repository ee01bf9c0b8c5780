"""Gold documents as demonstrations: cut into sentences, mentions whole.

A document may be long; a prompt has room for sentences. A sentence border that
would cut a mention is ignored, so that no mention is lost or halved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tools.annotation import Document, Span
from tools.annotation.sentences import sentence_spans
from tools.demonstrations.duplicates import folded_words
from tools.demonstrations.model import Demonstration

# More fills a small model's context alone; less shows nothing.
MAX_CHARACTERS = 2000
MIN_WORDS = 3


def demonstrations_of(document: Document, spans: Iterable[Span], *, split: str | None = None) -> list[Demonstration]:
    """The demonstrations that a gold document gives.

    Args:
        document: The document; its split is ``meta["split"]`` where none is given.
        spans: All its gold mentions, document offsets, annotated exhaustively:
            a sentence without any is shown as one without any.
        split: Overrides the document's own.

    Returns:
        One a sentence, offsets moved; ids are ``DOCUMENT#NUMBER``. Sentences of
        more than ``MAX_CHARACTERS`` are left out, and those of fewer than
        ``MIN_WORDS`` words unless they hold a mention.
    """
    ordered = sorted(spans)
    named = split if split is not None else str(document.meta.get("split", "train"))
    found = []
    for number, (start, end) in enumerate(_sentences(document.text, ordered)):
        text = document.text[start:end]
        stripped = text.strip()
        start += len(text) - len(text.lstrip())
        end = start + len(stripped)
        inside = tuple(span.shifted(-start) for span in ordered if start <= span.start and span.end <= end)
        if len(stripped) <= MAX_CHARACTERS and (inside or len(folded_words(stripped)) >= MIN_WORDS):
            found.append(Demonstration(f"{document.id}#{number}", document.id, stripped, inside, named, document.hash))
    return found


def from_gold(gold: Iterable[tuple[Document, Iterable[Span]]]) -> Iterator[Demonstration]:
    """The demonstrations of many gold documents, one document at a time."""
    for document, spans in gold:
        yield from demonstrations_of(document, spans)


def _sentences(text: str, spans: list[Span]) -> Iterator[tuple[int, int]]:
    """Sentences, joined where a mention (sorted by start) reaches across their border."""
    at, reach, begin = 0, 0, 0
    last = 0
    for start, end in sentence_spans(text):
        if start >= reach and start > begin:
            yield begin, start
            begin = start
        while at < len(spans) and spans[at].start < end:
            reach = max(reach, spans[at].end)
            at += 1
        last = end
    if last > begin:
        yield begin, last
