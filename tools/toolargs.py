"""What the tools of ``tools.toolkit`` take: pydantic models, whose docstrings are what an agent reads."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Text = Annotated[str, Field(max_length=2_000_000)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=1000)]
Offset = Annotated[int, Field(ge=0)]


class _Args(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SpanArg(_Args):
    """A mention: its text (every occurrence counts), or its offsets, or both to be checked."""

    text: str = Field("", description="The mention, copied exactly from the text.")
    start: Offset | None = Field(None, description="Offset of its first code point; needs end.")
    end: Offset | None = Field(None, description="Offset after its last code point; needs start.")
    label: str = Field("", description="Its entity type.")

    @model_validator(mode="after")
    def _place(self) -> Self:
        if (self.start is None) != (self.end is None):
            raise ValueError("start and end go together")
        if self.start is None and not self.text.strip():
            raise ValueError("give the mention's text, or start and end")
        return self


class ExampleArg(_Args):
    """A gold text to show as a demonstration."""

    text: Text
    entities: list[SpanArg] = Field(default_factory=list)


class GroundArgs(_Args):
    """Find where mentions stand in a text.

    Returns every occurrence of each as offsets, and the mentions that stand
    nowhere. Blanks, quotes, dashes, Unicode forms and, last, case may differ.
    """

    model_config = ConfigDict(title="ground_mentions")

    text: Text = Field(description="The text to look in.")
    mentions: list[str] = Field(description="Mentions, copied from the text.", max_length=10_000)


class CutArgs(_Args):
    """Cut a long text into passages that end where sentences end, with exact offsets."""

    model_config = ConfigDict(title="cut_into_passages")

    text: Text = Field(description="The text to cut.")
    max_tokens: int = Field(128, ge=1, le=8192, description="The most tokens of a passage.")
    overlap_tokens: int = Field(0, ge=0, description="Tokens that neighbouring passages share.")


class RetrieveArgs(_Args):
    """Find annotated example sentences that resemble a text, the best first."""

    model_config = ConfigDict(title="retrieve_demonstrations")

    text: Text = Field(description="The text that examples are wanted for.")
    k: int = Field(5, ge=1, le=64, description="How many at most.")
    mentions: list[str] = Field(
        default_factory=list, description="Mentions in it, if known: similar mentions are looked for."
    )
    document_id: str = Field("", description="Its document, whose own examples are left out.")


class RenderArgs(_Args):
    """Render one of Quorum's prompts as chat messages, to see or to send to a model of your own."""

    model_config = ConfigDict(title="render_prompt")

    step: Literal["pre_extract", "extract", "classify", "verify"] = Field(description="The step of the extraction.")
    name: str = Field(description="The template, e.g. spans.v1, typed.v1, marked.v1, yes_no.v1.")
    labels: list[str] = Field(default_factory=list, description="Entity types; empty takes the project's.")
    text: Text = Field(description="The passage.")
    demonstrations: list[ExampleArg] = Field(default_factory=list, description="Examples, the most similar last.")
    context: str = Field("", description="The text just before the passage.")
    candidate: SpanArg | None = Field(
        None, description="classify, verify: the mention asked about; verify needs its label."
    )


class ReadArgs(_Args):
    """Read a document of the project: its text, how far it is annotated, its gold spans."""

    model_config = ConfigDict(title="read_document")

    document_id: str = Field(description="The document's id.")
    start: Offset = Field(0, description="Where to begin, in code points.")
    length: int = Field(8000, ge=1, le=100_000, description="How much to read at most.")


class SearchArgs(_Args):
    """Find documents of the project whose text contains some words, upper and lower case alike."""

    model_config = ConfigDict(title="search_documents")

    query: str = Field(min_length=1, max_length=1000, description="The words, as they stand in the text.")
    limit: int = Field(20, ge=1, le=200, description="How many documents at most.")


class RecordArgs(_Args):
    """Record the decided spans of a document as its annotation, replacing this annotator's former one.

    An empty list with done says that it was reviewed and holds no entity.
    """

    model_config = ConfigDict(title="record_gold")

    document_id: str = Field(description="The document's id.")
    spans: list[SpanArg] = Field(description="All its entities, each with a label.", max_length=100_000)
    done: bool = Field(True, description="Whether the document is finished.")

    @model_validator(mode="after")
    def _labelled(self) -> Self:
        if any(not span.label for span in self.spans):
            raise ValueError("every span needs a label")
        return self


class PlaceArg(_Args):
    """A span by offsets and label."""

    start: Offset
    end: int = Field(ge=1)
    label: str = Field(min_length=1)

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.end <= self.start:
            raise ValueError("end must be greater than start")
        return self


class DocumentSpans(_Args):
    """The spans of one document; none is an empty list."""

    document_id: str
    spans: list[PlaceArg]


class ScoreArgs(_Args):
    """Compare predicted spans with gold: precision, recall and F1, strict and by borders alone, with intervals."""

    model_config = ConfigDict(title="score_predictions")

    gold: list[DocumentSpans] = Field(min_length=1, description="Every document that is judged.")
    predicted: list[DocumentSpans] = Field(description="Predictions; a document left out has none.")
    seed: int | None = Field(13, ge=0, description="Of the bootstrap intervals; null for none.")


class AnnotateArgs(_Args):
    """Find the named entities of some texts by a vote of several models. Takes seconds to minutes."""

    model_config = ConfigDict(title="annotate_texts")

    texts: Texts = Field(description="The texts.")
    labels: list[str] = Field(default_factory=list, description="Entity types; empty takes the project's.")
