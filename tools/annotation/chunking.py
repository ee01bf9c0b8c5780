"""Cutting documents into passages (``merge`` puts what was found in them together again).

Passages end where sentences end, as far as the token budget allows; a sentence
beyond the budget is cut between words, best after a comma; only a single word
beyond the budget is cut inside, and then never inside a visible character.
Every non-blank character of a document lies in some passage.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tools.annotation.chunks import word_chunks
from tools.annotation.clusters import cluster_borders, one_by_one
from tools.annotation.document import Document, Passage
from tools.annotation.merging import merge
from tools.annotation.modeltext import model_text
from tools.annotation.sentences import sentence_spans

__all__ = ["CountTokens", "assert_covered", "chunk", "chunks", "first_uncovered", "merge"]

CountTokens = Callable[[str], int]
_FILLED = re.compile(r"\S")
_CLAUSE_ENDS = frozenset(",;:)\u2014\u060c\u061b\uff0c\u3001\uff1b\uff1a\uff09")
# A sentence of more code points than this a token of budget is cut without being counted as a whole.
_LONGEST_TOKEN = 16
# Documents are worked on in segments of so many code points, so that memory does not grow with their length.
_SEGMENT = 1 << 20
_SEAM = 1 << 14


@dataclass(frozen=True, slots=True)
class _Unit:
    """A sentence, or a part of one that is too long; no blanks at its ends."""

    start: int
    end: int
    tokens: int


@dataclass(slots=True)
class _Cutter:
    """Counts and cuts one document's text as models see it.

    Attributes:
        shown: The document as ``model_text`` shows it; all its blanks are spaces.
        count: Tokens of a text.
        ratio: Code points a token, as last seen: where to look for the next cut.
    """

    shown: str
    count: CountTokens
    ratio: float = 4.0
    gaps: dict[int, int] = field(default_factory=dict)

    def units(self, spans: Sequence[tuple[int, int]], budget: int, piece: int) -> list[_Unit]:
        """Sentences within ``budget`` tokens whole, others in parts of at most ``piece`` tokens."""
        found: list[_Unit] = []
        for start, end in spans:
            start, end = self.stripped(start, end)
            if start >= end:
                continue
            tokens = self.count(self.shown[start:end]) if end - start <= budget * _LONGEST_TOKEN else budget + 1
            if tokens <= budget:
                found.append(_Unit(start, end, tokens))
            else:
                found.extend(self.parts(start, end, piece))
        return found

    def stripped(self, start: int, end: int) -> tuple[int, int]:
        """The range without the blanks at its ends; empty where it is all blank."""
        filled = _FILLED.search(self.shown, start, end)
        if not filled:
            return end, end
        while self.shown[end - 1] == " ":
            end -= 1
        return filled.start(), end

    def gap(self, before: _Unit, after: _Unit, budget: int) -> int:
        """Tokens of the blanks between two units; a single one belongs to the word after it."""
        size = after.start - before.end
        if size <= 1:
            return 0
        if size > budget * _LONGEST_TOKEN:
            return budget
        if size not in self.gaps:
            self.gaps[size] = self.count(" " * size)
        return self.gaps[size]

    def parts(self, start: int, end: int, limit: int) -> list[_Unit]:
        """A long sentence in parts of at most ``limit`` tokens, at word borders wherever possible."""
        words = self.word_borders(start, end)
        found: list[_Unit] = []
        at = start
        while at < end:
            reached = self.reach(at, words, limit)
            if reached:
                stop = self.better(at, reached, words, limit)
            else:
                # A single word beyond the limit: between visible characters, at least one of them.
                word_end = words[bisect_right(words, at)]
                characters = cluster_borders(self.shown, at, word_end)
                while at < word_end:
                    stop = self.reach(at, characters, limit) or characters[bisect_right(characters, at)]
                    if stop < word_end:
                        found.append(_Unit(at, stop, self.count(self.shown[at:stop])))
                        at = stop
                    else:
                        break
            unit_start, unit_end = self.stripped(at, stop)
            if unit_start < unit_end:
                found.append(_Unit(unit_start, unit_end, self.count(self.shown[unit_start:unit_end])))
            at = self.stripped(stop, end)[0]
        return found

    def word_borders(self, start: int, end: int) -> list[int]:
        """Ascending ends of the word pieces in a range, without those that would tear a visible character."""
        found, at = [], start
        text = self.shown[start:end]
        for piece in word_chunks(text):
            at += len(piece)
            found.append(at)
        if not one_by_one(text):
            whole = set(cluster_borders(self.shown, start, end))
            found = [at for at in found if at in whole]
        return found

    def reach(self, at: int, borders: Sequence[int], limit: int) -> int:
        """The farthest border to which the text from ``at`` takes at most ``limit`` tokens; 0 if there is none.

        Looks where the last ratio of code points to tokens says and closes in
        from there, so that the text counted stays near the text returned.
        Accepts what fills nine tenths of the limit.
        """
        first, last = bisect_right(borders, at), len(borders) - 1
        low, high, tries = first - 1, last + 1, 0
        aim = at + limit * self.ratio
        while high - low > 1:
            position = bisect_right(borders, aim) - 1 if tries < 6 else (low + high) // 2
            position = min(max(position, low + 1), high - 1)
            size = borders[position] - at
            tokens = self.count(self.shown[at : borders[position]])
            tries += 1
            if tokens <= limit:
                low = position
                self.ratio = min(64.0, max(0.25, size / max(tokens, 1)))
                if tokens >= 0.9 * limit or tries >= 10:
                    break
                aim = at + size * min(4.0, limit / max(tokens, 1))
            else:
                high = position
                aim = at + size * 0.97 * limit / tokens
        return borders[low] if low >= first else 0

    def better(self, at: int, stop: int, borders: Sequence[int], limit: int) -> int:
        """A border not far before ``stop`` that follows a clause or at least stands at a blank, else ``stop``."""
        last = bisect_left(borders, stop)
        if last == len(borders) - 1:
            return stop
        blank = 0
        for position in range(last, -1, -1):
            border = borders[position]
            if border < at + 0.6 * (stop - at):
                break
            spaced = self.shown[border - 1] == " " or self.shown[border] == " "
            mark = self.shown[border - 2 : border].rstrip()[-1:]
            if mark in _CLAUSE_ENDS and (spaced or mark > "\u2fff"):
                blank = border
                break
            blank = blank or (border if spaced else 0)
        return blank if blank and self.count(self.shown[at:blank]) <= limit else stop

    def tail(self, low: int, end: int, limit: int, starts: Sequence[int]) -> int:
        """Where the longest end of ``shown[low:end]`` begins that takes at most ``limit`` tokens.

        Begins with a sentence where a whole one fits, else with a word; ``end``
        when nothing fits.
        """
        window = max(low, end - 16 - int(limit * 2 * max(self.ratio, 2.0)))
        places = [window, *self.word_borders(window, end)][:-1] if window < end else []
        if window > low:
            places = places[1:]
        places = [at for at in places if self.shown[at] != " "]
        places = [at for at in places if at == low or self.shown[at - 1] == " "] or places
        first, last = 0, len(places)
        while first < last:
            middle = (first + last) // 2
            if self.count(self.shown[places[middle] : end]) <= limit:
                last = middle
            else:
                first = middle + 1
        if first == len(places):
            return end
        sentence = bisect_left(starts, places[first])
        return starts[sentence] if sentence < len(starts) and starts[sentence] < end else places[first]


def chunk(
    document: Document,
    count_tokens: CountTokens,
    *,
    max_tokens: int = 128,
    overlap_tokens: int = 0,
    context_tokens: int = 0,
) -> list[Passage]:
    """Cut a document into passages for one prompt each.

    Tokens are counted in the text as models see it (``model_text``).

    Args:
        document: The document.
        count_tokens: Tokens of a text in the model's own tokenizer, without
            special tokens. Each part of the document is counted a small, fixed
            number of times, whatever its length.
        max_tokens: The most tokens of a passage. Only a single visible
            character that has more by itself makes a longer one.
        overlap_tokens: At most so many tokens at a passage's start repeat the
            end of the one before: whole sentences, or words.
        context_tokens: At most so many tokens of left context.

    Returns:
        Passages in order, without blanks at their ends. Empty for a document
        without a non-blank character.

    Raises:
        ValueError: A budget is negative, or the overlap leaves no room.
    """
    return list(
        chunks(
            document,
            count_tokens,
            max_tokens=max_tokens,
            overlap_tokens=overlap_tokens,
            context_tokens=context_tokens,
        )
    )


def chunks(
    document: Document,
    count_tokens: CountTokens,
    *,
    max_tokens: int = 128,
    overlap_tokens: int = 0,
    context_tokens: int = 0,
) -> Iterator[Passage]:
    """As ``chunk``, one passage after the other: a document of 100 MB is neither held nor waited for as a whole.

    A document beyond a million code points is cut in segments at sentence ends;
    the first passage of a segment has no overlap and no left context.

    Args:
        document: As ``chunk``.
        count_tokens: As ``chunk``.
        max_tokens: As ``chunk``.
        overlap_tokens: As ``chunk``.
        context_tokens: As ``chunk``.

    Raises:
        ValueError: As ``chunk``.
    """
    if not 0 <= overlap_tokens < max_tokens or context_tokens < 0:
        raise ValueError(
            f"needs 0 <= overlap {overlap_tokens} < max {max_tokens} tokens and context {context_tokens} >= 0"
        )
    text, known, index = document.text, document.hash, 0
    for at, stop in _segments(text):
        segment = text if stop - at == len(text) else text[at:stop]
        for start, end, before in _places(segment, count_tokens, max_tokens, overlap_tokens, context_tokens):
            context = segment[before:start].strip()
            yield Passage(document.id, index, at + start, segment[start:end], context, known)
            index += 1


def _segments(text: str) -> Iterator[tuple[int, int]]:
    """Starts and ends of the segments; nearly always one."""
    at = 0
    while len(text) - at > _SEGMENT:
        stop = _seam(text, at, at + _SEGMENT)
        yield at, stop
        at = stop
    yield at, len(text)


def _seam(text: str, start: int, end: int) -> int:
    """Where a segment from ``start`` ends, not after ``end``: before a sentence, else after a blank, else anywhere."""
    window = max((start + end) // 2, end - _SEAM)
    sentences = sentence_spans(text[window:end])
    if len(sentences) > 1:
        return window + sentences[-1][0]
    blank = max(text.rfind(" ", window, end), text.rfind("\n", window, end))
    if blank >= 0:
        return blank + 1
    borders = cluster_borders(text, start, end + 1)[:-1]
    return borders[-1] if borders else end


def _places(
    text: str, count_tokens: CountTokens, max_tokens: int, overlap_tokens: int, context_tokens: int
) -> Iterator[tuple[int, int, int]]:
    """Start and end of each passage of a segment, and where its left context begins."""
    if not text or text.isspace():
        return
    cutter = _Cutter(model_text(text), count_tokens)
    units = cutter.units(sentence_spans(text), max_tokens, max_tokens - overlap_tokens)
    starts = [unit.start for unit in units]
    began = ended = 0  # of the passage before
    first = 0
    while first < len(units):
        start = units[first].start
        room = min(overlap_tokens, max_tokens - units[first].tokens)
        if first and room > 0:
            start = cutter.tail(began + 1, ended, room, starts)
            start = start if start < ended else units[first].start
        last = _fill(cutter, units, first, start, max_tokens)
        if start < units[first].start and count_tokens(cutter.shown[start : units[last].end]) > max_tokens:
            start = units[first].start
        before = (
            cutter.tail(0, cutter.stripped(0, start)[1], context_tokens, starts) if start and context_tokens else start
        )
        began, ended, first = start, units[last].end, last + 1
        yield began, ended, before


def _fill(cutter: _Cutter, units: Sequence[_Unit], first: int, start: int, budget: int) -> int:
    """The last unit of a passage that begins at ``start`` and holds at least ``units[first]``."""
    total = units[first].tokens
    if start < units[first].start:
        total = cutter.count(cutter.shown[start : units[first].end])
    last = first
    while last + 1 < len(units):
        more = units[last + 1].tokens + cutter.gap(units[last], units[last + 1], budget)
        if total + more > budget:
            break
        total += more
        last += 1
    # A tokenizer may make a token more where two sentences meet; near the limit the whole is counted.
    while last > first and total + (last - first) > budget:
        if cutter.count(cutter.shown[start : units[last].end]) <= budget:
            break
        last -= 1
    return last


def first_uncovered(document: Document, passages: Sequence[Passage]) -> int | None:
    """The offset of the first non-blank character outside every passage, or None."""
    at = 0
    for start, end in [*sorted((p.start, p.end) for p in passages), (len(document.text), len(document.text))]:
        if start > at and (missed := _FILLED.search(document.text, at, start)):
            return missed.start()
        at = max(at, end)
    return None


def assert_covered(document: Document, passages: Sequence[Passage]) -> None:
    """Check that passages are what ``chunk`` promises; costs one look at the blanks between them.

    Raises:
        AssertionError: A passage differs from its place in the document, or a
            non-blank character lies outside all passages. Both are faults of
            the program, not of its input.
    """
    for passage in passages:
        if passage.document_id != document.id or not document.text.startswith(passage.text, passage.start):
            raise AssertionError(f"passage {passage.id} is not at {passage.start} of document {document.id}")
    missed = first_uncovered(document, passages)
    if missed is not None:
        raise AssertionError(f"character {missed} of document {document.id} lies in no passage")
