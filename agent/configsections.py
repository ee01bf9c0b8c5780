"""The tables of ``quorum.toml``, one class each; ``agent.config`` puts them together.

The docstrings become the published JSON Schema and ``docs/configuration.md``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

EngineName = Literal["auto", "vllm-server", "vllm", "transformers", "openai"]
VerifyMode = Literal["off", "selective", "on"]
RetrieverName = Literal["span", "sentence", "bm25", "random", "fixed"]
CacheMode = Literal["auto", "on", "off"]
SpanMode = Literal["nested", "flat"]
Keys = str | list[str]
MemberStep = Literal["extract", "classify", "verify"]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]
PromptName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.v[1-9][0-9]*)?$")]

RETRIEVERS: tuple[RetrieverName, ...] = get_args(RetrieverName)


def wrong(message: str, hint: str, *location: str | int) -> PydanticCustomError:
    """A fault that says what to write instead, and at which key."""
    return PydanticCustomError("quorum", "{message}", {"message": message, "hint": hint, "at": list(location)})


class Section(BaseModel):
    """A table of the project file: unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Project(Section):
    """What the project is called and where its entity types are described."""

    name: Annotated[str, Field(min_length=1)] = "quorum"
    """A name for reports."""
    labels: Annotated[str, Field(min_length=1)] = "labels.toml"
    """The label file, relative to the folder of ``quorum.toml``."""


class ModelConfig(Section):
    """A language model that members can name."""

    source: Annotated[str, Field(min_length=1)] = "starter"
    """``starter``, one of its members (``starter:NAME``), ``starter-base``, a Hugging Face id, a local folder, or an
    OpenAI-compatible URL."""
    adapter: str | None = None
    """A folder with a LoRA adapter (safetensors) for it."""
    engine: EngineName = "auto"
    """What runs it; ``auto`` takes vLLM where there is one, else transformers."""
    api_key_env: str | None = None
    """The environment variable that holds the key of a URL; the key itself is never written here."""
    context_tokens: Annotated[int, Field(ge=256)] | None = None
    """Tokens that a prompt and its answer may take together; by default what the model allows."""
    template_options: dict[str, bool | int | float | str] = {}
    """More variables for the model's chat template, e.g. ``{ enable_thinking = false }`` for Qwen3."""


MEMBER_STEPS: tuple[MemberStep, ...] = get_args(MemberStep)


class MemberConfig(Section):
    """One voter of the quorum: a model asked in one particular way."""

    name: Name
    """Its name in votes and reports; unique."""
    model: Annotated[str, Field(min_length=1)] = "starter"
    """A name from ``[models]``, or what a model's ``source`` may be."""
    extract: PromptName = "spans.v1"
    """The prompt that finds mentions (``quorum prompts list``)."""
    classify: PromptName = "marked.v1"
    """The prompt that asks for a mention's type."""
    pre_extract: PromptName = "spans"
    """The prompt that lists mentions before demonstrations are looked up; without a version, the newest."""
    verify: PromptName = "yes_no"
    """The prompt that asks yes or no when this member verifies; without a version, the newest."""
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """How much its vote counts against the others'."""
    demonstrations: Annotated[int, Field(ge=0, le=64)] | None = None
    """How many demonstrations it is shown; by default as many as ``[demonstrations] k``."""
    steps: Annotated[tuple[MemberStep, ...], Field(min_length=1)] = MEMBER_STEPS
    """The steps it takes part in; extracting, voting on types and verifying may be spread over members."""


class StepsConfig(Section):
    """Which steps of the extraction are taken."""

    retrieve: bool = True
    """Show demonstrations that resemble the passage."""
    classify: bool = True
    """Let every member vote on the type of every candidate; without it, types come from typed extraction alone."""
    written: bool = True
    """A member that wrote a mention's type when it extracted has voted: the type it wrote, with the probability of that
    line, is its vote, and it is not asked again."""
    verify: VerifyMode = "off"
    """Ask yes or no about candidates: never, where the vote is close (``selective``), or always (``on``)."""
    verifier: str | None = None
    """The member that verifies; by default the first."""
    verify_band: tuple[Fraction, Fraction] = (0.15, 0.85)
    """``selective`` verifies candidates whose vote lies between these two probabilities."""
    spans: SpanMode = "nested"
    """Whether entities may lie inside or across each other (``nested``) or the surest of them wins (``flat``)."""
    calibrate: bool = True
    """Turn votes and verdicts into calibrated probabilities where there is gold to learn from."""

    @model_validator(mode="after")
    def _band_in_order(self) -> Self:
        if self.verify_band[0] > self.verify_band[1]:
            raise wrong("the first probability is above the second", "for example [0.15, 0.85]", "verify_band")
        return self


class DemonstrationsConfig(Section):
    """Gold examples shown to the models, kept in Chroma."""

    retriever: RetrieverName = "span"
    """How they are chosen: by similar mentions, by similar sentences, by words, at random, or the same for all passages
    (``fixed``), which is quickest: what stands before the passage is then read once."""
    k: Annotated[int, Field(ge=0, le=64)] = 5
    """How many are shown with a passage."""
    embedder: Annotated[str, Field(min_length=1)] = "minilm"
    """What embeds them: ``minilm`` (all-MiniLM-L6-v2), or a sentence-transformers name or folder."""
    budget_tokens: Annotated[int, Field(ge=0)] = 1024
    """The most tokens that all demonstrations of a prompt may take; the least similar go first."""


class PassagesConfig(Section):
    """How documents are cut."""

    max_tokens: Annotated[int, Field(ge=8, le=8192)] = 128
    """The most tokens a passage may have, by the first member's tokenizer."""
    overlap_tokens: Annotated[int, Field(ge=0)] = 0
    """How many tokens neighbouring passages share; what is found twice is merged."""
    context_tokens: Annotated[int, Field(ge=0)] = 0
    """How many tokens before a passage are shown as context; nothing is extracted from them."""

    @model_validator(mode="after")
    def _overlap_fits(self) -> Self:
        if self.overlap_tokens >= self.max_tokens:
            raise wrong("overlap_tokens must be smaller than max_tokens", "a quarter is plenty", "overlap_tokens")
        return self


class RunConfig(Section):
    """How a corpus is worked through."""

    batch: Annotated[int, Field(ge=1, le=4096)] = 64
    """Passages that go through the extraction graph together."""
    in_flight: Annotated[int, Field(ge=1, le=256)] = 4
    """Batches worked on at the same time."""
    quorum: Annotated[int, Field(ge=1)] = 2
    """Members that must answer, or the run pauses; at most as many as there are (one member: 1)."""
    threshold: Fraction = 0.25
    """Candidates below this confidence are rejected; raise it for precision, lower it for recall."""
    cache: CacheMode = "auto"
    """Keep answers of the models in the store: ``auto`` does where a project exists."""
    seed: Annotated[int, Field(ge=0)] = 13
    """Where every random choice begins."""


# They ask one model: what one of them says of a type, the others mostly say again. So one is asked about every
# candidate, and the second votes by what it wrote; docs/performance.md says what the other questions were worth.
DEFAULT_MEMBERS = (
    MemberConfig(name="list", extract="spans.v1", classify="marked.v1"),
    MemberConfig(name="typed", extract="typed.v1", classify="asked.v1", steps=("extract", "verify")),
    MemberConfig(name="bare", extract="spans.v1", classify="marked.v1", demonstrations=0, steps=("extract", "verify")),
)
