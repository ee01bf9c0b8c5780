"""Documents and the passages they are cut into."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.annotation.modeltext import model_text


def text_hash(text: str) -> str:
    """A stable hash of a text (hex, 32 digits); lone surrogates are allowed."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Document:
    """A text with an id; the text is never changed after it was read.

    Attributes:
        id: Unique inside a project or a run.
        text: The text, exactly as read; offsets of spans count its code points.
        meta: What else the source said; values are JSON-serialisable.
    """

    id: str
    text: str
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """The hash of the text alone."""
        return text_hash(self.text)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that goes to a model in one prompt.

    Attributes:
        document_id: The document it was cut from.
        index: Its number in the document, from 0.
        start: Offset of its first code point in the document.
        text: ``document.text[start:start + len(text)]``, never altered.
        context: The text just before it, shown to the model as left context
            (may be empty); nothing is extracted from it.
        document_hash: The hash of the document's text, so that the same document
            under another id is known; may be empty.
    """

    document_id: str
    index: int
    start: int
    text: str
    context: str = ""
    document_hash: str = ""

    @property
    def end(self) -> int:
        """Offset after the last code point, in the document."""
        return self.start + len(self.text)

    @property
    def id(self) -> str:
        """Document id and number, unique inside a run."""
        return f"{self.document_id}#{self.index}"

    @property
    def shown(self) -> str:
        """The text as a model sees it: the same length, code point by code point."""
        return model_text(self.text)
