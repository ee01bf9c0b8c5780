"""Letters to jump by: each place on the screen where something begins gets a few letters to type.

No one's letters are the beginning of another's, spans have the shortest ones,
and what is near the cursor comes before what is far from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from tui.labelling import graphemes
from tui.labelling.editor import Editor, Target
from tui.labelling.layout import glyph

LETTERS = "asdfghjklqwertyuiopzxcvbnm"


@dataclass(frozen=True, slots=True)
class Hint:
    """A place to jump to.

    Attributes:
        at: Its offset.
        target: The span that begins there; None for a word.
    """

    at: int
    target: Target | None = None


def hints_for(editor: Editor, start: int, end: int) -> dict[str, Hint]:
    """The letters of every place between two offsets, spans first.

    Args:
        editor: What is shown.
        start: Offset of the first character on the screen.
        end: Offset behind the last.
    """
    spans: dict[int, Hint] = {}
    for target in editor.targets:
        at = target.span.start
        if start <= at < end and (at not in spans or (not target.own and (old := spans[at].target) and old.own)):
            spans[at] = Hint(at, target)
    words = [at for at in graphemes.words_between(editor.text, start, end) if at not in spans and at != editor.cursor]
    words = _apart(editor.text, words, spans)
    nearest = sorted(words, key=lambda at: abs(at - editor.cursor))
    places = [*spans.values(), *map(Hint, nearest)][: len(LETTERS) ** 2]
    return dict(zip(codes(len(places)), places, strict=True))


def codes(count: int) -> list[str]:
    """Letters for so many places, single ones first; none is the beginning of another.

    Raises:
        ValueError: More places than two letters can tell apart.
    """
    size = len(LETTERS)
    if count <= size:
        return list(LETTERS[:count])
    single = (size * size - count) // (size - 1)
    if single < 0:
        raise ValueError(f"{count} places are too many for two letters")
    double = [first + second for first in LETTERS[single:] for second in LETTERS]
    return [*LETTERS[:single], *double[: count - single]]


def _apart(text: str, words: list[int], spans: dict[int, Hint]) -> list[int]:
    """Words with two cells before the next place, so that no letters cover another's."""
    taken = sorted({*words, *spans})
    crowded = {one for one, following in pairwise(taken) if _cells(text, one, following) < 2}
    return [at for at in words if at not in crowded]


def _cells(text: str, start: int, end: int) -> int:
    return 2 if end - start > 1 else glyph(text[start:end])[1]
