"""Training records: gold texts turned into the prompts that Quorum really sends.

A record is one passage with a label set and demonstrations, and several
branches that go on from the same prompt: the extract prompts, classify for gold
mentions and for spans that are none, verify for right and wrong claims. Types
appear as words, in any order, under any of their names, some left out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

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
    scene: Scene | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """What the contrastive loss needs to know of a record.

    Attributes:
        shown: The passage as shown.
        mentions: Its gold mentions, labelled with codes.
        names: Code to the words it stands for, in the prompt's order.
    """

    shown: str
    mentions: tuple[Span, ...]
    names: dict[str, str]


@dataclass(frozen=True, slots=True)
class Templates:
    """The prompts to train on; the default is the first version of each.

    Attributes:
        extract: Spans alone or typed, each asked once a record.
        classify: One is drawn for each candidate.
        verify: Yes or no.
        prompts: A project's own folder of templates.
    """

    extract: tuple[Template, ...] = field(
        default_factory=lambda: (load("extract", "spans.v1"), load("extract", "typed.v1"))
    )
    classify: tuple[Template, ...] = field(
        default_factory=lambda: (load("classify", "marked.v1"), load("classify", "asked.v1"))
    )
    verify: Template = field(default_factory=lambda: load("verify", "yes_no.v1"))
    prompts: Path | None = None


@dataclass(frozen=True, slots=True)
class Mix:
    """How records vary; shares are probabilities from 0 to 1.

    ``shuffle`` says whether types come in any order, ``max_types`` how many a
    prompt shows at most. ``many`` is the share of records with six and more
    demonstrations, up to ``many_demonstrations``, drawn as they come: where
    their entity lines count in the loss, each of them is an example for a fifth
    of the tokens that a record of its own takes. ``lower`` and ``upper`` are the
    shares of records written in one case, as queries and headlines are.
    """

    rename: float = 0.25
    bare: float = 0.25
    drop_types: float = 0.3
    no_demonstrations: float = 0.35
    max_demonstrations: int = 5
    max_characters: int = 420
    classify: int = 4
    negatives: int = 2
    verify: int = 2
    shuffle: bool = True
    max_types: int = 12
    many: float = 0.0
    many_demonstrations: int = 14
    lower: float = 0.0
    upper: float = 0.0


def vary_labels(labels: LabelSet, mix: Mix, rng: random.Random) -> tuple[LabelSet, dict[str, str]]:
    """Shuffle, rename, strip and drop types.

    Returns:
        The varied set, and old name to new name for the types that stayed.
    """
    kept = list(labels.labels)
    if len(kept) > 2 and rng.random() < mix.drop_types:
        kept = rng.sample(kept, rng.randint(max(1, len(kept) // 2), len(kept) - 1))
    if len(kept) > mix.max_types:
        kept = rng.sample(kept, mix.max_types)
    if mix.shuffle:
        rng.shuffle(kept)
    else:
        kept.sort(key=labels.labels.index)
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
        templates: The prompts.
        pool: What demonstrations are drawn from; the texts themselves when left out.
    """

    def __init__(
        self,
        gold: Sequence[Gold],
        labels: LabelSet,
        mix: Mix,
        rng: random.Random,
        *,
        templates: Templates | None = None,
        pool: Sequence[Gold] | None = None,
    ) -> None:
        self._gold = gold
        self._labels = labels
        self._mix = mix
        self._rng = rng
        self._templates = templates or Templates()
        self._pool = gold if pool is None else pool
        self._own_pool = pool is None
        self._words = [frozenset(g.text.lower().split()) for g in self._pool]

    def make(self, index: int) -> Record:
        """A record over one gold text; its demonstrations are other texts of the corpus."""
        rng, mix = self._rng, self._mix
        labels, names = vary_labels(self._labels, mix, rng)
        chosen = self._demonstrations(index)
        gold, *shots = self._in_one_case([self._gold[index], *(self._pool[i] for i in chosen)])
        renamed = _rename(gold, names)
        demonstrations = tuple(demonstration_view(g.text, _rename(g, names).spans, labels) for g in shots)
        shown = model_text(gold.text)
        views = label_views(labels)
        codes = labels.codes
        mentions = sorted(renamed.spans)
        templates = self._templates
        branches = []

        def add(template: Template, answer: str, candidate: CandidateView | None = None) -> None:
            prompt = render(
                template, views, shown, demonstrations=demonstrations, candidate=candidate, extra=templates.prompts
            )
            branches.append(Branch(prompt.messages, answer, template.step))

        for template in templates.extract:
            if template.answer == "typed":
                add(template, write_typed((codes[s.label], s.text_in(shown)) for s in mentions))
            else:
                add(template, write_spans(s.text_in(shown) for s in mentions))
        for span, code in self._candidates(shown, renamed, codes):
            add(rng.choice(templates.classify), code, candidate_view(shown, span))
        for span, code, true in self._claims(shown, renamed, codes):
            add(templates.verify, "yes" if true else "no", candidate_view(shown, span, code))
        scene = Scene(
            shown, tuple(s.with_label(codes[s.label]) for s in mentions), {view.code: view.words for view in views}
        )
        return Record(tuple(branches), demonstrations, scene)

    def _demonstrations(self, index: int) -> list[int]:
        rng, mix = self._rng, self._mix
        many = bool(mix.many) and rng.random() < mix.many
        if not many and rng.random() < mix.no_demonstrations:
            return []
        wanted = rng.randint(6, mix.many_demonstrations) if many else rng.randint(1, mix.max_demonstrations)
        shown, text = self._pool, self._gold[index].text
        pool = [i for i in rng.sample(range(len(shown)), min(len(shown), 150)) if not self._own_pool or i != index]
        # A sentence of the passage itself would give the answer away.
        pool = [i for i in pool if shown[i].text != text and len(shown[i].text) < 220]
        pool = pool if self._own_pool else [i for i in pool if shown[i].text not in text]
        if rng.random() < (0.3 if many else 0.6):
            mine = self._words[index] if self._own_pool else frozenset(text.lower().split())
            pool.sort(key=lambda i: len(mine & self._words[i]) / (1 + len(self._words[i])) ** 0.5, reverse=True)
        # What a retriever returns mostly holds entities, as the collection of gold spans does.
        pool = [i for i in pool if many or shown[i].spans or rng.random() < 0.3]
        chosen = pool[:wanted][::-1]
        while sum(len(shown[i].text) for i in chosen) > (5 if many else 2) * mix.max_characters:
            chosen = chosen[1:]
        return chosen

    def _in_one_case(self, gold: list[Gold]) -> list[Gold]:
        mix = self._mix
        if not (mix.lower or mix.upper):
            return gold
        draw = self._rng.random()
        change = str.lower if draw < mix.lower else str.upper if draw < mix.lower + mix.upper else None
        if change is None:
            return gold
        changed = [Gold(change(g.text), g.spans) for g in gold]
        # Some letters become two: offsets would no longer hold.
        return changed if all(len(a.text) == len(b.text) for a, b in zip(gold, changed, strict=True)) else gold

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
