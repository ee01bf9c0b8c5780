"""A member at work: an engine, prompt templates, a weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.config import MEMBER_STEPS, MemberStep
from agent.engines import constraints
from agent.engines.protocol import Constraint, Engine, Request
from prompts import DemonstrationView, LabelView, Template, render
from tools.annotation import NONE_CODE, LabelSet, Span
from tools.prompting import candidate_view, label_views

YES_NO = ("yes", "no")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A label set made ready for prompts: views in order, and the choice of codes."""

    labels: LabelSet
    views: tuple[LabelView, ...]
    codes: tuple[str, ...]

    @classmethod
    def of(cls, labels: LabelSet) -> Sheet:
        """Prepare a label set."""
        return cls(labels, label_views(labels), tuple(labels.codes.values()))

    @property
    def choices(self) -> tuple[str, ...]:
        """What classify may answer: every code, and none."""
        return (*self.codes, NONE_CODE)

    def label_of(self, code: str) -> str:
        """The label a code stands for; empty for none and for unknown codes."""
        return next((name for name, own in self.labels.codes.items() if own == code), "")


@dataclass(frozen=True, slots=True)
class Member:
    """One voter.

    Attributes:
        name: Its name in votes.
        engine: What completes its prompts.
        pre_extract: Template without demonstrations.
        extract: Template of the extract step.
        classify: Template of the classify step.
        verify: Template of the verify step.
        weight: Its weight in votes, above 0.
        demonstrations: How many it is shown.
        prompts: The project's own folder of templates.
        firsts: Label code to the token its engine begins it with, where that is known.
        steps: What it takes part in: extract, classify, verify.
    """

    name: str
    engine: Engine
    pre_extract: Template
    extract: Template
    classify: Template
    verify: Template
    weight: float = 1.0
    demonstrations: int = 5
    prompts: Path | None = None
    firsts: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[MemberStep, ...] = MEMBER_STEPS

    def extraction(
        self,
        sheet: Sheet,
        shown: str,
        context: str,
        demonstrations: Sequence[DemonstrationView],
        *,
        first: bool = False,
        weighed: bool = False,
    ) -> Request:
        """The request that lists the mentions of a passage.

        Args:
            sheet: The label set.
            shown: The passage as shown.
            context: Left context as shown.
            demonstrations: What to show, most similar last.
            first: Whether this is the pre-extraction.
            weighed: Whether an answer with types is to come with the probability of what it says.
        """
        template = self.pre_extract if first else self.extract
        typed = template.answer == "typed"
        prompt = render(
            template, sheet.views, shown, demonstrations=demonstrations, context=context, extra=self.prompts
        )
        constraint = constraints.typed_grammar(shown, sheet.codes) if typed else constraints.spans_grammar(shown)
        step = "pre_extract" if first else "extract"
        logprobs = 1 if weighed and typed else 0
        tag = f"{step}/{self.name}"
        return Request(prompt.messages, answer_budget(shown), constraint, logprobs, tag, stop_loops=True)

    def classification(
        self,
        sheet: Sheet,
        shown: str,
        context: str,
        demonstrations: Sequence[DemonstrationView],
        span: Span,
    ) -> Request:
        """The request for one candidate's type: a single token over the label codes."""
        view = candidate_view(shown, span)
        prompt = render(
            self.classify,
            sheet.views,
            shown,
            demonstrations=demonstrations,
            context=context,
            candidate=view,
            extra=self.prompts,
        )
        return _pick(prompt.messages, sheet.choices, f"classify/{self.name}")

    def verification(
        self,
        sheet: Sheet,
        shown: str,
        context: str,
        demonstrations: Sequence[DemonstrationView],
        span: Span,
    ) -> Request:
        """The request for yes or no about one candidate and its label."""
        view = candidate_view(shown, span, sheet.labels.codes[span.label])
        prompt = render(
            self.verify,
            sheet.views,
            shown,
            demonstrations=demonstrations,
            context=context,
            candidate=view,
            extra=self.prompts,
        )
        return _pick(prompt.messages, YES_NO, f"verify/{self.name}")


def answer_budget(shown: str) -> int:
    """The most tokens an extract answer may take, from the passage's length in code points."""
    return min(512, 24 + len(shown) // 2)


def _pick(messages: tuple[tuple[str, str], ...], options: tuple[str, ...], tag: str) -> Request:
    constraint: Constraint = constraints.choice(options)
    # Beginnings of a code compete with the code itself (p, per, person): ask for
    # enough alternatives that all of an answer's mass is seen.
    return Request(messages, 1, constraint, min(64, 6 + 4 * len(options)), tag)
