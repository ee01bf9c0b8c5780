"""The ``[campaign]`` table of ``quorum.toml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

StrategyName = Literal["allabel", "random", "coreset", "similarity", "uncertainty", "votek", "facility"]
SimilarityName = Literal["embedding", "bm25"]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class CampaignConfig(BaseModel):
    """Which documents a person is asked to label, and when to stop (docs/campaign.md)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    strategy: StrategyName = "allabel"
    """How documents are chosen (``quorum select`` shows what one would choose)."""
    similarity: SimilarityName = "embedding"
    """What tells how alike two documents are."""
    budget: Annotated[int, Field(ge=1)] = 100
    """The most documents to ask for; a second opinion on one does not count."""
    batch: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Documents asked for in one round."""
    audit: Fraction = 0.1
    """Share of a batch drawn at random; F1 is estimated on these alone, and they are never shown to the models."""
    blind_audit: bool = True
    """Show no suggestions with audit documents, so that they do not lean towards the models."""
    overlap: Fraction = 0.0
    """Share of the documents that two annotators are to label."""
    longest: Annotated[int, Field(ge=0)] = 1500
    """Documents of more characters are asked passage by passage, cut where sentences end; 0 asks them whole."""
    cost_aware: bool = False
    """Choose by gain a second, as far as the annotators' own timing tells what a document takes."""
    lease_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    """How long a document stays with the annotator who opened it."""
    target_f1: Fraction | None = None
    """Stop when F1 on the audit documents is this high at the lower end of its 95 % interval."""
    min_gain: Fraction | None = None
    """Stop when another batch is expected to add less F1 than this."""
    uncertainty_pool: Annotated[int, Field(ge=0)] = 200
    """The most pool documents extracted in a round to find uncertain ones."""
    suggest: bool = True
    """Extract a batch before it is asked, so that a person starts from suggestions."""
    train_every: Annotated[int, Field(ge=0)] = 0
    """Train an adapter on the gold after so many more labels; 0 never does."""
