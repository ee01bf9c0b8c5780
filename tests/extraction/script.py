"""A scripted engine that reads Quorum's own prompts, so that tests say only what a member would answer."""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.config import MemberConfig, ProjectConfig, RunConfig, StepsConfig
from agent.engines.protocol import Completion, Engine, Request, TokenAlternatives
from agent.engines.scripted import ScriptedEngine
from agent.extraction.confidence import Calibrator
from agent.extraction.context import DemonstrationSource
from agent.extraction.member import Sheet
from agent.extraction.quorum import BatchResult, Quorum
from agent.extraction.state import Shown, Work
from tools.annotation import LabelSet, Passage
from tools.annotation.prediction import PassageResult
from tools.demonstrations import Demonstration
from tools.prompting import demonstration_view

LABELS = LabelSet.of("person", "place")
_MARKED = re.compile(r"^Which type is \[(.*)\]\? Write one type, or none\.$")
_ASKED = re.compile(r"^In \".*\", what does \"(.*)\" name\? Answer with its type, or none if it is not an entity\.$")
_VERIFY = re.compile(r"^Is \[(.*)\] of the type (.*), with exactly these borders\? Write yes or no\.$")


@dataclass(frozen=True)
class Asked:
    """A request, read back.

    Attributes:
        step: pre_extract, extract, classify or verify.
        member: Who asks.
        passage: The text in question, context included.
        mention: The candidate; empty for extraction.
        code: The type asked about; verify only.
        demonstrations: Texts shown before.
    """

    step: str
    member: str
    passage: str
    mention: str = ""
    code: str = ""
    demonstrations: tuple[str, ...] = ()


def read(request: Request) -> Asked:
    """What a request asks."""
    step, member = request.tag.split("/")
    lines = request.messages[-1][1].split("\n")
    texts = [line.removeprefix("Text: ") for line in lines if line.startswith("Text: ")]
    found = _MARKED.match(lines[-1]) or _ASKED.match(lines[-1]) or _VERIFY.match(lines[-1])
    code = found.group(2) if found and step == "verify" else ""
    return Asked(step, member, texts[-1], found.group(1) if found else "", code, tuple(texts[:-1]))


def weighed(probabilities: Mapping[str, float]) -> Completion:
    """A one-token answer with these alternatives."""
    top = tuple((token, math.log(p) if p > 0 else -math.inf) for token, p in probabilities.items())
    best = max(top, key=lambda item: item[1])
    return Completion(best[0], logprobs=(TokenAlternatives(*best, top),), output_tokens=1, prompt_tokens=10)


@dataclass
class Script:
    """What the members answer, and a record of what they were asked.

    Attributes:
        extract: Member (or "*") to the answer, or to a function of what is asked.
        types: Mention to probabilities of codes, for every member, or (member, mention) to them.
        verdicts: Mention to the probability of yes.
        otherwise: Instead of all that, where it returns something.
        requests: Everything asked, in order.
    """

    extract: Mapping[str, str | Callable[[Asked], str | Completion]] = field(default_factory=dict)
    types: Mapping[Any, Mapping[str, float]] = field(default_factory=dict)
    verdicts: Mapping[str, float] = field(default_factory=dict)
    otherwise: Callable[[Asked], Completion | str | None] = lambda asked: None
    requests: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Completion | str:
        self.requests.append(request)
        asked = read(request)
        special = self.otherwise(asked)
        if special is not None:
            return special
        if asked.step in ("extract", "pre_extract"):
            answer = self.extract.get(asked.member, self.extract.get("*", "-"))
            return answer(asked) if callable(answer) else answer
        if asked.step == "classify":
            given = self.types.get((asked.member, asked.mention)) or self.types.get(asked.mention) or {"none": 1.0}
            return weighed(given)
        yes = self.verdicts.get(asked.mention, 0.5)
        return weighed({"yes": yes, "no": 1 - yes})

    @property
    def asked(self) -> list[Asked]:
        """The requests read back."""
        return [read(request) for request in self.requests]

    def engine(self, **options: object) -> ScriptedEngine:
        """An engine that answers so."""
        return ScriptedEngine(self, **options)  # type: ignore[arg-type]


class Shelf:
    """Demonstrations in a fixed order, most similar last, the same for every passage."""

    def __init__(self, demonstrations: Sequence[Demonstration], *, needs_spans: bool = False) -> None:
        self._demonstrations = demonstrations
        self._needs_spans = needs_spans
        self.calls: list[tuple[tuple[Work, ...], int]] = []

    @property
    def needs_spans(self) -> bool:
        return self._needs_spans

    def shown_for(self, works: tuple[Work, ...], k: int, sheet: Sheet, rng: random.Random) -> list[Shown]:
        self.calls.append((works, k))
        best = list(self._demonstrations)[-k:] if k else []
        views = tuple(demonstration_view(d.text, d.spans, sheet.labels) for d in best)
        return [Shown(views, tuple(d.id for d in best)) for _ in works]


def members(*names: str, **options: object) -> tuple[MemberConfig, ...]:
    """Members that differ in name only, all on the model ``m``."""
    return tuple(MemberConfig(name=name, model="m", **options) for name in names)


def config(
    *voters: MemberConfig,
    steps: StepsConfig | None = None,
    **run: object,
) -> ProjectConfig:
    """A project of these members; by default a, b and c, nothing verified, nothing calibrated."""
    return ProjectConfig.default(
        environment={},
        members=voters or members("a", "b", "c"),
        steps=steps or StepsConfig(verify="off", calibrate=False),
        **({"run": RunConfig(**run)} if run else {}),  # type: ignore[arg-type]
    )


def quorum(
    script: Script | Mapping[str, Engine],
    settings: ProjectConfig | None = None,
    labels: LabelSet = LABELS,
    source: DemonstrationSource | None = None,
    calibrator: Calibrator | None = None,
) -> Quorum:
    """A quorum whose members are all answered by the script, or by an engine a model."""
    engines = {"m": script.engine()} if isinstance(script, Script) else script
    return Quorum(settings or config(), labels, engines, source, calibrator)


def passage(text: str, *, start: int = 0, index: int = 0, context: str = "", document: str = "d") -> Passage:
    return Passage(document, index, start, text, context)


def work(opened: Quorum, *texts: str) -> BatchResult:
    """The batch result of texts, each a document of its own."""
    return asyncio.run(opened.extract([passage(text, document=f"d{n}") for n, text in enumerate(texts)]))


def one(opened: Quorum, text: str) -> PassageResult:
    """The result of a single text."""
    return work(opened, text).results[0]


def found(result: PassageResult, text: str) -> list[tuple[str, str]]:
    """Texts and labels of the entities, in order."""
    return [(e.span.text_in(text), e.span.label) for e in result.entities]
