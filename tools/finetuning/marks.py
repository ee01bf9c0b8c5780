"""Where type names and mentions stand among a prompt's tokens: what the contrastive loss compares.

After BANER (arXiv 2412.02228; its public ``myfinetune.py``): the anchor is the
type's name in the instruction, positives are a mention's boundary tokens,
negatives the two tokens before and the two after it. Our reading, where that
code has one type and one mention a record and our prompts have all of them:

- every mention of a passage gives a group of its own;
- boundary tokens of mentions of other types are negatives too, the nearest first;
- a token that is a boundary of another mention of the same type is no negative,
  and nothing inside the mention itself is: nested data would contradict itself;
- a mention of one token counts it twice, as first and as last, so that a group
  always has two positives;
- the anchor is the mean over the tokens of the name, since a causal model knows
  ``cell line`` from ``cell type`` only at the second word; BANER takes the first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tools.annotation import Span
from tools.finetuning.records import Scene

Offsets = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Group:
    """One mention, as indices of tokens: the loss pulls positives to the anchor and pushes negatives off."""

    anchor: tuple[int, ...]
    positives: tuple[int, ...]
    negatives: tuple[int, ...]

    def shifted(self, by: int) -> Group:
        """The same group in a row where its record begins ``by`` tokens later."""
        return Group(*(tuple(i + by for i in part) for part in (self.anchor, self.positives, self.negatives)))


@dataclass(frozen=True, slots=True)
class MarkOptions:
    """Which tokens are marked.

    Attributes:
        window: Tokens before and after a mention that are negatives; 2 in BANER.
        others: The most boundary tokens of mentions of other types.
        first_only: Take the type name's first token as anchor, as BANER does.
    """

    window: int = 2
    others: int = 4
    first_only: bool = False


def find_groups(scene: Scene, prompt: str, offsets: Offsets, options: MarkOptions) -> tuple[Group, ...]:
    """The groups of a record.

    Args:
        scene: Passage, mentions and type names.
        prompt: The prompt as text; the passage is the last text in it.
        offsets: First and one-past-last code point of each token in the part of
            the prompt that all branches share; tokens beyond it are not marked.
        options: Which tokens.

    Returns:
        One group a mention, in text order; none where the passage is not found.
    """
    begin = passage_at(prompt, scene.shown)
    if begin < 0:
        return ()
    inside = tokens_in(offsets, begin, begin + len(scene.shown))
    if not inside:
        return ()
    low, high = inside[0], inside[-1]
    placed: list[tuple[Span, list[int]]] = []
    for span in scene.mentions:
        tokens = tokens_in(offsets, begin + span.start, begin + span.end)
        if tokens and begin + span.end <= offsets[-1][1]:
            placed.append((span, tokens))
    groups = []
    for span, tokens in placed:
        anchor = name_tokens(prompt, offsets, span.label, scene.names.get(span.label, span.label))
        if not anchor:
            continue
        first, last = tokens[0], tokens[-1]
        own = {t for other, found in placed if other.label == span.label for t in (found[0], found[-1])}
        # The same place under another type is not a wrong place for this one.
        own.update(tokens)
        near = [i for i in range(first - options.window, first) if i >= low]
        near += [i for i in range(last + 1, last + 1 + options.window) if i <= high]
        far = {t for other, found in placed if other.label != span.label for t in (found[0], found[-1])}
        others = sorted(far - own - set(near), key=lambda t: (min(abs(t - first), abs(t - last)), t))[: options.others]
        negatives = [i for i in near if i not in own] + others
        groups.append(Group(tuple(anchor[:1] if options.first_only else anchor), (first, last), tuple(negatives)))
    return tuple(groups)


def passage_at(prompt: str, shown: str) -> int:
    """Where the passage begins: after the last ``Text:``; -1 where it is not found."""
    for line in reversed(list(re.finditer(r"^Text: ", prompt, re.MULTILINE))):
        # A context may stand in brackets before it, on the same line.
        end = prompt.find("\n", line.end())
        end = len(prompt) if end < 0 else end
        if prompt.endswith(shown, 0, end) and end - len(shown) >= line.end():
            return end - len(shown)
    return prompt.rfind(shown)


def tokens_in(offsets: Offsets, start: int, end: int) -> list[int]:
    """Indices of the tokens that share at least one code point with a range; it may begin or end inside a token."""
    return [i for i, (a, b) in enumerate(offsets) if b > a and a < end and b > start]


def name_tokens(prompt: str, offsets: Offsets, code: str, words: str) -> list[int]:
    """The tokens of a type's name where the prompt lists the types: its code, and its words where they differ."""
    # Behind the last type of the list stands what ends the turn, whatever that is in a model's template.
    found = re.search(rf"^- {re.escape(code)}(?!\w)(: {re.escape(words)}(?!\w))?", prompt, re.MULTILINE)
    if found is None:
        return []
    return tokens_in(offsets, found.start() + 2, found.end())
