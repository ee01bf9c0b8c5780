"""By which questions spans are told apart: how long a mention is, whether training has shown it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from tools.annotation.span import Span

Question = Callable[[str, Span], str]
WORDS = ("1 word", "2 words", "3 words", "4 or 5 words", "6 words and more")
CHARACTERS = ("1 character", "2 characters", "3 characters", "4 or 5 characters", "6 to 9 characters", "10 and more")
SEEN, SEEN_OTHERWISE, UNSEEN = "seen", "seen as another type", "unseen"
SEEN_ORDER = (SEEN, SEEN_OTHERWISE, UNSEEN)


def spaced(texts: Iterable[str]) -> bool:
    """Whether texts put blanks between words: at least one in twenty characters (Chinese, Japanese, Thai do not)."""
    blanks = size = 0
    for text in texts:
        size += len(text)
        blanks += text.count(" ")
    return blanks * 20 >= size


def by_length(texts: Mapping[str, str], *, words: bool = True) -> Question:
    """Tell spans apart by their length.

    Args:
        texts: Document id to text.
        words: Count words between blanks; characters otherwise.

    Returns:
        Gives one of ``WORDS`` or of ``CHARACTERS``.
    """

    def in_words(document: str, span: Span) -> str:
        size = max(1, len(texts[document][span.start : span.end].split()))
        return WORDS[size - 1 if size <= 3 else 3 if size <= 5 else 4]

    def in_characters(document: str, span: Span) -> str:
        size = len(span)
        return CHARACTERS[size - 1 if size <= 3 else 3 if size <= 5 else 4 if size <= 9 else 5]

    return in_words if words else in_characters


class TrainingMentions:
    """The mentions of training data, to tell seen from unseen ones.

    Args:
        mentions: Pairs of a mention's text and its type. Case and runs of
            blanks make no difference.
    """

    def __init__(self, mentions: Iterable[tuple[str, str]]) -> None:
        self._types: dict[str, set[str]] = {}
        for text, label in mentions:
            self._types.setdefault(_folded(text), set()).add(label)

    def __len__(self) -> int:
        return len(self._types)

    def judge(self, text: str, label: str) -> str:
        """One of ``SEEN_ORDER``."""
        types = self._types.get(_folded(text))
        if not types:
            return UNSEEN
        return SEEN if label in types else SEEN_OTHERWISE

    def question(self, texts: Mapping[str, str]) -> Question:
        """Tell spans of documents apart by it.

        Args:
            texts: Document id to text.
        """
        return lambda document, span: self.judge(texts[document][span.start : span.end], span.label)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
