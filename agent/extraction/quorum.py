"""The quorum: members with their engines, opened for work and closed after it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.config import ProjectConfig
from agent.engines.constraints import first_tokens
from agent.engines.protocol import Accounting, Engine, Usage
from agent.engines.resilience import ResilientEngine
from agent.extraction.confidence import Calibrator, shipped_for
from agent.extraction.context import Context, DemonstrationSource
from agent.extraction.graph import Graph, build_graph
from agent.extraction.member import Member, Sheet
from agent.extraction.state import Work
from prompts import load
from tools.annotation import LabelSet, Passage
from tools.annotation.prediction import PassageResult
from tools.errors import ConfigError


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What a batch of passages came to.

    Attributes:
        results: One a passage, in the order given.
        usage: Requests, tokens and seconds by step and member (``extract/list``).
        members_down: Members whose engine did not answer; the rest decided.
    """

    results: tuple[PassageResult, ...]
    usage: Mapping[str, Usage]
    members_down: tuple[str, ...]


class Quorum:
    """Members that propose, classify, vote and verify together.

    Args:
        config: The project's settings.
        labels: The label set.
        engines: Model name, as members name it, to its engine.
        source: Where demonstrations come from; None shows none.
        calibrator: What makes a probability of votes; the shipped one by default.
        owns: Engines to close with the quorum.
    """

    def __init__(
        self,
        config: ProjectConfig,
        labels: LabelSet,
        engines: Mapping[str, Engine],
        source: DemonstrationSource | None = None,
        calibrator: Calibrator | None = None,
        owns: Sequence[Engine] = (),
    ) -> None:
        self.config = config
        self.sheet = Sheet.of(labels)
        self.members = tuple(_members(config, engines, self.sheet))
        self.source = source if config.steps.retrieve else None
        self._k = max((m.demonstrations for m in self.members), default=0) if self.source else 0
        self.calibrator = calibrator or shipped_for(config.steps)
        verifiers = [m for m in self.members if "verify" in m.steps] or list(self.members)
        self._verifier = next((m for m in verifiers if m.name == config.steps.verifier), verifiers[0])
        self._owns = tuple(owns)
        self.graph: Graph = build_graph(
            pre_extraction=bool(self.source and self.source.needs_spans and self._k),
            retrieval=bool(self.source and self._k),
            classification=config.steps.classify,
            verification=config.steps.verify,
        )
        if not config.steps.classify and not any(
            m.extract.answer == "typed" for m in self.members if "extract" in m.steps
        ):
            raise ConfigError("without the classify step no member names types", "give a member the prompt typed.v1")

    async def extract(self, passages: Sequence[Passage]) -> BatchResult:
        """Take a batch of passages through the graph.

        Args:
            passages: Any number; 64 is a good batch.

        Returns:
            A result a passage, in order. A passage that failed has a typed
            outcome; it never looks like one without entities.

        Raises:
            QuorumLost: Too few members have a living engine.
        """
        if not passages:
            return BatchResult((), {}, ())
        context = self.context(passages)
        works = tuple(Work(p, p.shown) for p in passages)
        final = await self.graph.ainvoke({"works": works}, context=context)
        return BatchResult(final["results"], context.accounting.by_tag, final.get("members_down", ()))

    def context(self, passages: Sequence[Passage]) -> Context:
        """What the graph's nodes work with for one batch."""
        return Context(
            members=self.members,
            sheet=self.sheet,
            steps=self.config.steps,
            run=self.config.run,
            source=self.source,
            k=self._k,
            calibrator=self.calibrator,
            verifier=self._verifier,
            # A part gives the same result whenever it is run: chance hangs on its passages only.
            rng=random.Random(f"{self.config.run.seed}/{passages[0].id}".encode("utf-8", "surrogatepass")),
            accounting=Accounting(),
        )

    def activity(self) -> tuple[int, int]:
        """Requests answered, and tokens read and written, since the engines were made, in parts under way too."""
        answered = tokens = 0
        for engine in {id(member.engine): member.engine for member in self.members}.values():
            inner: object = engine
            while inner is not None and not isinstance(inner, ResilientEngine):
                inner = getattr(inner, "engine", None)
            if inner is not None:
                answered += inner.state.answered
                tokens += inner.state.tokens
        return answered, tokens

    def count_tokens(self, text: str) -> int:
        """Tokens of a text by the first member's tokenizer."""
        return self.members[0].engine.count_tokens(text)

    async def close(self) -> None:
        """Close the engines that belong to the quorum."""
        for engine in self._owns:
            await engine.close()

    async def __aenter__(self) -> Quorum:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _members(config: ProjectConfig, engines: Mapping[str, Engine], sheet: Sheet) -> list[Member]:
    extra = config.prompts_folder
    used = {m.model: engines[m.model] for m in config.members if m.model in engines}
    firsts = {name: first_tokens(sheet.choices, engine.count_tokens) for name, engine in used.items()}
    members = []
    for m in config.members:
        if m.model not in engines:
            raise ConfigError(f"member {m.name!r} names the model {m.model!r}, which no engine serves")
        members.append(
            Member(
                name=m.name,
                engine=engines[m.model],
                pre_extract=load("pre_extract", m.pre_extract, extra),
                extract=load("extract", m.extract, extra),
                classify=load("classify", m.classify, extra),
                verify=load("verify", m.verify, extra),
                weight=m.weight,
                demonstrations=config.demonstrations_of(m),
                prompts=extra,
                firsts=firsts[m.model],
                steps=m.steps,
            ),
        )
    return members
