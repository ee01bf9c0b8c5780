"""Keeping what a model is shown, or trained on, apart from what it is judged on.

What counts as the same text is what retrieval counts as the same
(``tools.demonstrations.duplicates``). Comparing every pair would be quadratic;
here a pair is compared only if it shares enough runs of three words to be able
to be one. That loses nothing: near duplicates share 80 % of their runs, and a
text that lies within another shares all but those at its edges.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tools.annotation import Document
from tools.demonstrations.duplicates import SHINGLE_WORDS, folded_words, near_duplicate, shape

_LEAST_SHARED = 0.5


@dataclass(frozen=True, slots=True)
class Pair:
    """A document of the pool and the one of the split that it repeats, by id."""

    pool: str
    test: str


def contaminated(pool: Sequence[Document], test: Sequence[Document]) -> list[Pair]:
    """The documents of a pool that are in a test split, or nearly are.

    Args:
        pool: What may be shown or trained on.
        test: The whole split, not only the sample that is used.

    Returns:
        One pair a document of the pool that must not be used, in the pool's order.
    """
    if not pool:
        return []
    exact: dict[str, str] = {}
    runs: defaultdict[int, list[int]] = defaultdict(list)
    sizes: list[int] = []
    for number, document in enumerate(test):
        exact.setdefault(shape(document.text).plain, document.id)
        own = _runs(document.text)
        sizes.append(len(own))
        for run in own:
            runs[run].append(number)
    found = []
    for document in pool:
        twin = exact.get(shape(document.text).plain) or _near(document, test, runs, sizes)
        if twin is not None:
            found.append(Pair(document.id, twin))
    return found


def _near(document: Document, test: Sequence[Document], runs: dict[int, list[int]], sizes: Sequence[int]) -> str | None:
    own = _runs(document.text)
    shared: Counter[int] = Counter()
    for run in own:
        shared.update(runs.get(run, ()))
    for number, count in shared.most_common():
        least = _LEAST_SHARED * min(len(own), sizes[number])
        if count >= least and near_duplicate(document.text, test[number].text):
            return test[number].id
    return None


def _runs(text: str) -> frozenset[int]:
    """Hashes of all runs of three words; of the words themselves where there are fewer."""
    words = folded_words(text)
    if len(words) < SHINGLE_WORDS:
        return frozenset()
    return frozenset(hash(tuple(words[i : i + SHINGLE_WORDS])) for i in range(len(words) - SHINGLE_WORDS + 1))
