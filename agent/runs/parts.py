"""Cutting a stream of documents into numbered parts, always the same way.

A part is what is extracted, recorded and skipped as one. The cut depends on the
documents, the chunker and the batch size only, so that a second reading of the
same input gives the same parts, and a fingerprint tells when it does not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.runs.errors import RunMismatch
from tools.annotation.document import Document, Passage
from tools.errors import InputError

FRESH_HINT = "give another --output, or --fresh to begin again"
_KEPT_BACK = 256


@dataclass(frozen=True, slots=True)
class Part:
    """A batch of passages.

    Attributes:
        number: From 0, in input order.
        passages: At most ``batch``; a document without text has one empty passage,
            so that it too has a result and stands in the output.
        documents: How many documents have their last passage here.
        fingerprint: A hash of the passages' ids, places and texts.
    """

    number: int
    passages: tuple[Passage, ...]
    documents: int
    fingerprint: str


def is_blank(passage: Passage) -> bool:
    """Whether the passage stands for a document without any text to extract from."""
    return not passage.text


def fingerprint(passages: Sequence[Passage]) -> str:
    """A hash of ids, offsets, texts and contexts (hex, 32 digits)."""
    digest = hashlib.blake2b(digest_size=16)
    for passage in passages:
        for value in (passage.id, str(passage.start), passage.text, passage.context):
            data = value.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "little"))
            digest.update(data)
    return digest.hexdigest()


def in_shard(document_id: str, shard: tuple[int, int] | None) -> bool:
    """Whether a document belongs to a shard, by a hash of its id.

    Args:
        document_id: The id.
        shard: ``(i, n)`` with i from 1 to n, or None for everything. The n shards
            share no document and together are the whole.
    """
    if shard is None:
        return True
    digest = hashlib.blake2b(document_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % shard[1] == shard[0] - 1


def parse_shard(value: str) -> tuple[int, int]:
    """``2/4`` as (2, 4).

    Raises:
        InputError: Not of that form, or i is not within 1 to n.
    """
    left, _, right = value.partition("/")
    if left.isascii() and left.isdigit() and right.isascii() and right.isdigit() and 1 <= int(left) <= int(right):
        return int(left), int(right)
    raise InputError(f"--shard {value}: not of the form i/n with i from 1 to n", "e.g. --shard 1/4 ... --shard 4/4")


def cut_parts(
    documents: Iterable[Document],
    chunk: Callable[[Document], Iterable[Passage]],
    keep: Callable[[Sequence[Document]], object],
    batch: int,
) -> Iterator[Part]:
    """Cut documents into parts and hand each document on before a part has it.

    Args:
        documents: In input order.
        chunk: A document's passages; none for one without text.
        keep: Called with documents, in order, before any part that has a passage
            of them is yielded (the store's ``add_documents``).
        batch: Passages a part; the last part may have fewer.
    """
    number, ended = 0, 0
    passages: list[Passage] = []
    waiting: list[Document] = []
    for document in documents:
        waiting.append(document)
        cut = iter(chunk(document))
        passage: Passage | None = next(cut, None) or Passage(document.id, 0, 0, "")
        while passage is not None:
            following = next(cut, None)
            passages.append(passage)
            ended += following is None
            passage = following
            if len(passages) == batch:
                _hand_on(waiting, keep)
                yield Part(number, tuple(passages), ended, fingerprint(passages))
                number, ended = number + 1, 0
                passages.clear()
        if len(waiting) >= _KEPT_BACK:
            _hand_on(waiting, keep)
    _hand_on(waiting, keep)
    if passages:
        yield Part(number, tuple(passages), ended, fingerprint(passages))


def _hand_on(waiting: list[Document], keep: Callable[[Sequence[Document]], object]) -> None:
    if waiting:
        keep(tuple(waiting))
        waiting.clear()


def unfinished(parts: Iterable[Part], finished: Mapping[int, str], skipped: Callable[[Part], object]) -> Iterator[Part]:
    """The parts that still have to be done.

    Args:
        parts: All parts of the input, in order.
        finished: Number to fingerprint of what is recorded.
        skipped: Told of each part that is not done again.

    Raises:
        RunMismatch: A recorded part is not the same in the input any more, or the
            input ends before it.
    """
    seen = 0
    for part in parts:
        seen += 1
        known = finished.get(part.number)
        if known is None:
            yield part
        elif known != part.fingerprint:
            first = part.passages[0].document_id
            raise RunMismatch(
                f"the input changed since this run began: part {part.number}, from document {first!r} on", FRESH_HINT
            )
        else:
            skipped(part)
    beyond = max(finished, default=-1)
    if beyond >= seen:
        raise RunMismatch(
            f"the input changed since this run began: it ends before part {beyond}, which is recorded", FRESH_HINT
        )
