"""Frozen splits: which documents are judged on, by id and hash, without a word of their text.

A figure can be compared with another only if both are of the same documents.
A manifest is drawn once, with a fixed seed, and committed; data that have
changed since are refused and the first changed document is named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evals.errors import EvalDataError
from evals.suite import DataSpec

if TYPE_CHECKING:
    from evals.data import GoldDocument


class Manifest(BaseModel):
    """A frozen sample of a split.

    Its documents stand in random order, so that the first N of them are a
    random sample as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: Literal[1] = 1
    data: str
    split: str
    seed: int
    of: Annotated[int, Field(ge=1)]
    """How many documents the split had."""
    hash: str
    documents: Annotated[tuple[tuple[str, str], ...], Field(min_length=1)]
    """Id and a short hash of text and gold, each."""

    @classmethod
    def of_documents(cls, documents: Iterable[GoldDocument]) -> tuple[tuple[str, str], ...]:
        """Ids and short hashes."""
        return tuple((d.id, document_hash(d)[:8]) for d in documents)

    @classmethod
    def drawn(cls, spec: DataSpec, documents: Sequence[GoldDocument], *, seed: int, of: int) -> Self:
        """The manifest of a sample that was drawn.

        Raises:
            EvalDataError: The sample is empty.
        """
        if not documents:
            raise EvalDataError(f"{spec.name}: the split {spec.split!r} is empty", "an evaluation needs documents")
        return cls(
            data=spec.corpus or spec.name,
            split=spec.split,
            seed=seed,
            of=of,
            hash=content_hash(documents),
            documents=cls.of_documents(documents),
        )

    def pick(self, split: Sequence[GoldDocument], spec: DataSpec) -> list[GoldDocument]:
        """The manifest's documents, in its order.

        Args:
            split: All documents of the split as they are now.
            spec: The data set, for messages.

        Raises:
            EvalDataError: A document is missing, or not what it was.
        """
        there = {d.id: d for d in split}
        hint = "fetch the data as they were, or freeze anew under another manifest name: quorum eval freeze SUITE"
        found = []
        for id, short in self.documents:
            document = there.get(id)
            if document is None:
                raise EvalDataError(f"{spec.name}: the manifest's document {id!r} is not in the split", hint)
            if document_hash(document)[:8] != short:
                raise EvalDataError(
                    f"{spec.name}: document {id!r} has another text or gold than when the split was frozen", hint
                )
            found.append(document)
        if content_hash(found) != self.hash:
            raise EvalDataError(f"{spec.name}: the data are not those of the manifest", hint)
        return found

    def to_text(self) -> str:
        """JSON with a document a line, so that a changed one shows in a diff."""
        head = json.dumps(self.model_dump(exclude={"documents"}), ensure_ascii=False)
        rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in self.documents)
        return f'{head[:-1]}, "documents": [\n{rows}\n]}}\n'


def read_manifest(path: Path, suite: Path, data: str) -> Manifest:
    """Read a manifest.

    Raises:
        EvalDataError: It is missing or not of the form.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise EvalDataError(
            f"{data}: its split is not frozen ({path.name} is missing)", f"draw it once: quorum eval freeze {suite}"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise EvalDataError(f"{path}: cannot be read ({error})", "check its permissions") from error
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise EvalDataError(f"{path}: not a split manifest", "freeze it again: quorum eval freeze SUITE") from error


def document_hash(document: GoldDocument) -> str:
    """A hash of a document's text and gold (hex, 32 digits); names of types count, descriptions do not."""
    what = [document.document.hash, [[s.start, s.end, s.label] for s in document.spans]]
    return hashlib.blake2b(json.dumps(what, ensure_ascii=False).encode(), digest_size=16).hexdigest()


def content_hash(documents: Iterable[GoldDocument]) -> str:
    """A hash of ids, texts and gold, in this order (hex, 32 digits)."""
    digest = hashlib.blake2b(digest_size=16)
    for document in documents:
        digest.update(f"{document.id}\0{document_hash(document)}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
