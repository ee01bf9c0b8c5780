"""Training records: gold texts turned into the prompts that Quorum really sends.

A record is one passage with a label set and demonstrations, and several
branches that go on from the same prompt: the extract prompts, classify for gold
mentions and for spans that are none, verify for right and wrong claims. Types
appear as words, in any order, under any of their names, some left out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from prompts import CandidateView, DemonstrationView, Template, load, render
from tools.annotation import NONE_CODE, Label, LabelSet, Span, model_text
from tools.annotation.answers import write_spans, write_typed
from tools.annotation.chunks import word_chunks
from tools.prompting import candidate_view, demonstration_view, label_views


@dataclass(frozen=True, slots=True)
class Gold:
    """A text with its gold spans, labels as in the corpus' label set."""

    text: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """One prompt and the answer to learn."""

    messages: tuple[tuple[str, str], ...]
    answer: str
    step: str


@dataclass(frozen=True, slots=True)
class Record:
    """Branches over one passage, and the demonstrations shown in all of them."""

    branches: tuple[Branch, ...]
    demonstrations: tuple[DemonstrationView, ...]


@dataclass(frozen=True, slots=True)
class Mix:
    """How records vary; shares are probabilities from 0 to 1."""

    rename: float = 0.25
    bare: float = 0.25
    drop_types: float = 0.3
    no_demonstrations: float = 0.35
    max_demonstrations: int = 5
    max_characters: int = 420
    classify: int = 4
    negatives: int = 2
    verify: int = 2


def vary_labels(labels: LabelSet, mix: Mix, rng: random.Random) -> tuple[LabelSet, dict[str, str]]:
    """Shuffle, rename, strip and drop types.

    Returns:
        The varied set, and old name to new name for the types that stayed.
    """
    kept = list(labels.labels)
    if len(kept) > 2 and rng.random() < mix.drop_types:
        kept = rng.sample(kept, rng.randint(max(1, len(kept) // 2), len(kept) - 1))
    if len(kept) > 12:
        kept = rng.sample(kept, 12)
    rng.shuffle(kept)
    renaming = rng.random() < mix.rename
    bare = rng.random() < mix.bare
    names: dict[str, str] = {}
    varied: list[Label] = []
    for label in kept:
        name = rng.choice((label.name, *label.aliases)) if renaming else label.name
        if name in names.values():
            name = label.name
        names[label.name] = name
        varied.append(
            replace(label, name=name, description="" if bare else label.description, parent="", hotkey="", aliases=())
        )
    if len(set(names.values())) < len(names):
        return labels, {name: name for name in labels.names}
    return LabelSet(tuple(varied)), names


class RecordMaker:
    """Makes records from one corpus.

    Args:
        gold: The corpus' training texts.
        labels: Its label set.
        mix: How records vary.
        rng: Source of all chance.
    """

    def __init__(self, gold: Sequence[Gold], labels: LabelSet, mix: Mix, rng: random.Random) -> None:
        self._gold = gold
        self._labels = labels
        self._mix = mix
        self._rng = rng
        self._words = [frozenset(g.text.lower().split()) for g in gold]
        self._spans: Template = load("extract", "spans.v1")
        self._typed: Template = load("extract", "typed.v1")
        self._classify = (load("classify", "marked.v1"), load("classify", "asked.v1"))
        self._verify: Template = load("verify", "yes_no.v1")

    def make(self, index: int) -> Record:
        """A record over one gold text; its demonstrations are other texts of the corpus."""
        rng, mix = self._rng, self._mix
        labels, names = vary_labels(self._labels, mix, rng)
        gold = self._gold[index]
        renamed = _rename(gold, names)
        demonstrations = tuple(
            demonstration_view(self._gold[i].text, _rename(self._gold[i], names).spans, labels)
            for i in self._demonstrations(index)
        )
        shown = model_text(gold.text)
        views = label_views(labels)
        codes = labels.codes
        mentions = sorted(renamed.spans)
        branches = []

        def add(template: Template, answer: str, candidate: CandidateView | None = None) -> None:
            prompt = render(template, views, shown, demonstrations=demonstrations, candidate=candidate)
            branches.append(Branch(prompt.messages, answer, template.step))

        add(self._spans, write_spans(s.text_in(shown) for s in mentions))
        add(self._typed, write_typed((codes[s.label], s.text_in(shown)) for s in mentions))
        for span, code in self._candidates(shown, renamed, codes):
            add(rng.choice(self._classify), code, candidate_view(shown, span))
        for span, code, true in self._claims(shown, renamed, codes):
            add(self._verify, "yes" if true else "no", candidate_view(shown, span, code))
        return Record(tuple(branches), demonstrations)

    def _demonstrations(self, index: int) -> list[int]:
        rng, mix = self._rng, self._mix
        if rng.random() < mix.no_demonstrations:
            return []
        wanted = rng.randint(1, mix.max_demonstrations)
        pool = [i for i in rng.sample(range(len(self._gold)), min(len(self._gold), 150)) if i != index]
        pool = [i for i in pool if self._gold[i].text != self._gold[index].text and len(self._gold[i].text) < 220]
        if rng.random() < 0.6:
            mine = self._words[index]
            pool.sort(key=lambda i: len(mine & self._words[i]) / (1 + len(self._words[i])) ** 0.5, reverse=True)
        # What a retriever returns mostly holds entities, as the collection of gold spans does.
        pool = [i for i in pool if self._gold[i].spans or rng.random() < 0.3]
        chosen = pool[:wanted][::-1]
        while sum(len(self._gold[i].text) for i in chosen) > 2 * mix.max_characters:
            chosen = chosen[1:]
        return chosen

    def _candidates(self, shown: str, gold: Gold, codes: dict[str, str]) -> list[tuple[Span, str]]:
        rng, mix = self._rng, self._mix
        known = {(s.start, s.end) for s in gold.spans}
        # A place with two types has no single right answer.
        single = [s for s in gold.spans if sum((s.start, s.end) == (t.start, t.end) for t in gold.spans) == 1]
        right = [(s, codes[s.label]) for s in rng.sample(single, min(mix.classify, len(single)))]
        wrong = [
            (s, NONE_CODE) for s in _non_entities(shown, gold, rng, mix.negatives) if (s.start, s.end) not in known
        ]
        return right + wrong

    def _claims(self, shown: str, gold: Gold, codes: dict[str, str]) -> list[tuple[Span, str, bool]]:
        rng = self._rng
        claims: list[tuple[Span, str, bool]] = []
        true = {(s.start, s.end, codes[s.label]) for s in gold.spans}
        for _ in range(self._mix.verify):
            if gold.spans and rng.random() < 0.5:
                s = rng.choice(gold.spans)
                claims.append((s, codes[s.label], True))
                continue
            others = (
                _non_entities(shown, gold, rng, 1) if not gold.spans or rng.random() < 0.5 else [rng.choice(gold.spans)]
            )
            for s in others:
                code = rng.choice(list(codes.values()))
                claims.append((s, code, (s.start, s.end, code) in true))
        return claims


def _rename(gold: Gold, names: dict[str, str]) -> Gold:
    return Gold(gold.text, tuple(s.with_label(names[s.label]) for s in gold.spans if s.label in names))


def _non_entities(shown: str, gold: Gold, rng: random.Random, count: int) -> list[Span]:
    """Spans that are no mention: shifted borders, and other words (capitalised ones first)."""
    pieces: list[tuple[int, int]] = []
    at = 0
    for piece in word_chunks(shown):
        if piece[0].isalnum():
            pieces.append((at, at + len(piece)))
        at += len(piece)
    if not pieces:
        return []
    known = {(s.start, s.end) for s in gold.spans}
    found: list[Span] = []
    for _ in range(count * 4):
        if len(found) == count:
            break
        if gold.spans and rng.random() < 0.45:
            s = rng.choice(gold.spans)
            start, end = s.start, s.end
            if rng.random() < 0.5:
                start = rng.choice([b for b, _ in pieces if b < end][-4:] or [start])
            else:
                end = rng.choice([e for _, e in pieces if e > start][:4] or [end])
        else:
            capital = [i for i, (b, _) in enumerate(pieces) if shown[b].isupper()]
            i = rng.choice(capital) if capital and rng.random() < 0.5 else rng.randrange(len(pieces))
            start, end = pieces[i][0], pieces[min(len(pieces) - 1, i + rng.choice((0, 0, 0, 1, 2)))][1]
        if end > start and (start, end) not in known and (start, end) not in {(s.start, s.end) for s in found}:
            found.append(Span(start, end))
    return found
