"""Tag schemes: BIO, BIOES and IOB1, written, told apart, read and checked.

BIO (IOB2) begins every mention with B-. IOB1 begins one with B- only right
after another of the same type, else with I- (the CoNLL-2003 files). BIOES
marks ends (E-) and single tokens (S-); BILOU is the same with L- and U-.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Scheme = Literal["bio", "bioes", "iob1"]
SCHEMES: tuple[Scheme, ...] = ("bio", "bioes", "iob1")
_OTHER = {"L": "E", "U": "S", "M": "I", "W": "S"}


@dataclass(frozen=True, slots=True)
class Chunk:
    """A mention in tokens: first and last (inclusive) of the sentence, and its label."""

    first: int
    last: int
    label: str


@dataclass(frozen=True, slots=True)
class TagFault:
    """A tag that its scheme does not allow there.

    Attributes:
        at: The token's number in the sentence.
        reason: What is wrong.
        kind: The same, in the few words it is counted under.
    """

    at: int
    reason: str
    kind: str


def encode(size: int, chunks: Iterable[Chunk], scheme: Scheme) -> list[str]:
    """The tags of a sentence.

    Args:
        size: How many tokens it has.
        chunks: Mentions that share no token.
        scheme: The scheme.
    """
    tags = ["O"] * size
    for chunk in sorted(chunks, key=lambda c: c.first):
        begin, inside, end, single = ("B", "I", "E", "S") if scheme == "bioes" else ("B", "I", "I", "B")
        if scheme == "iob1":
            before = tags[chunk.first - 1] if chunk.first else "O"
            begin = single = "B" if before[2:] == chunk.label else "I"
        for at in range(chunk.first, chunk.last + 1):
            tags[at] = f"{inside}-{chunk.label}"
        tags[chunk.first] = f"{begin}-{chunk.label}"
        tags[chunk.last] = f"{end}-{chunk.label}" if chunk.last > chunk.first else f"{single}-{chunk.label}"
    return tags


def split_tag(tag: str) -> tuple[str, str] | None:
    """Prefix (B, I, O, E, S) and label of a tag; None where it is no tag."""
    if tag == "O":
        return "O", ""
    prefix, dash, label = tag.partition("-")
    prefix = _OTHER.get(prefix, prefix)
    return (prefix, label) if dash and label and prefix in ("B", "I", "E", "S") else None


def tell(sentences: Iterable[Sequence[str]]) -> Scheme | Literal[""]:
    """The scheme of some sentences' tags; empty where there is no mention among them.

    Any end or single makes it BIOES. Else, mentions begin with I- only in IOB1;
    where some begin with B- after nothing, it is BIO and those are faults.
    """
    begins = inside = 0
    for tags in sentences:
        before = "O"
        for tag in tags:
            parts = split_tag(tag)
            if parts is None:
                continue
            prefix, label = parts
            if prefix in ("E", "S"):
                return "bioes"
            if before != label or not label:
                begins += prefix == "B"
                inside += prefix == "I"
            before = label
    if begins:
        return "bio"
    return "iob1" if inside else ""


def decode(tags: Sequence[str], scheme: Scheme) -> Iterator[Chunk | TagFault]:
    """Mentions of a sentence's tags, and what is wrong with these, as they come.

    A faulty tag is reported and then read as conlleval reads it: a mention that
    goes on without having begun begins there, one that does not end ends.
    """
    first, label, open_ = 0, "", False

    def close(at: int) -> Iterator[Chunk | TagFault]:
        nonlocal open_
        if open_:
            open_ = False
            if scheme == "bioes":
                yield TagFault(at - 1, f"{label} does not end with E- or S-", "a mention without an end")
            yield Chunk(first, at - 1, label)

    for at, tag in enumerate(tags):
        parts = split_tag(tag)
        if parts is None:
            yield TagFault(at, f"{tag!r} is no tag", "no tag, taken as O")
            parts = ("O", "")
        prefix, name = parts
        if prefix in ("E", "S") and scheme != "bioes":
            yield TagFault(at, f"{tag!r} is not of {scheme.upper()}", "a tag of another scheme")
            prefix = "I" if prefix == "E" else "B"
        goes_on = open_ and name == label
        if prefix == "O":
            yield from close(at)
        elif prefix in ("B", "S"):
            if prefix == "B" and scheme == "iob1" and not goes_on:
                yield TagFault(at, f"{tag!r} follows no {name}, where IOB1 has I-", "a B- that IOB1 does not have")
            yield from close(at)
            if prefix == "S":
                yield Chunk(at, at, name)
            else:
                first, label, open_ = at, name, True
        else:
            if not goes_on:
                if scheme != "iob1":
                    yield TagFault(at, f"{tag!r} follows no {name}", f"{prefix}- that goes on with nothing")
                yield from close(at)
                first, label, open_ = at, name, True
            if prefix == "E":
                yield Chunk(first, at, label)
                open_ = False
    yield from close(len(tags))
