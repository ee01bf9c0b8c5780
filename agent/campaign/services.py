"""What the campaign's nodes work with; handed to every invocation as the graph's runtime context."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent.campaign.policy import Rule
from agent.runs.progress import Observer, Silent
from tools.annotation import LabelSet
from tools.store import Item, Store


@dataclass(frozen=True, slots=True)
class Settings:
    """What a campaign asks and when it stops; the docstrings of ``[campaign]`` say what each means.

    Attributes:
        strategy: How documents are chosen.
        similarity: What tells how alike two are.
        batch: Documents a round.
        audit: Share drawn at random.
        blind_audit: No suggestions for these.
        overlap: Share that two annotators label.
        lease_minutes: How long a document stays with whoever opened it.
        longest: Characters beyond which a document is asked passage by passage; 0 never.
        cost_aware: Whether choices go by gain a second.
        uncertainty_pool: The most pool documents (or passages) extracted a round.
        suggest: Whether a batch is extracted before it is asked.
        train_every: New labels after which an adapter is trained; 0 for never.
        seed: Where chance begins.
        rule: When to stop.
        given: What of this a command was given instead of the project file's; kept with the campaign.
    """

    strategy: str
    similarity: str
    batch: int
    audit: float
    blind_audit: bool
    overlap: float
    lease_minutes: float
    longest: int
    cost_aware: bool
    uncertainty_pool: int
    suggest: bool
    train_every: int
    seed: int
    rule: Rule
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """What a chooser is asked for.

    Attributes:
        campaign: The campaign's number.
        round: The round, from 1; chance hangs on it.
        count: How many documents.
        done: Labelled in the campaign so far, audit documents left out.
        run: The run with the latest predictions; 0 for none.
        eligible: Only these documents; None for the whole pool.
    """

    campaign: int
    round: int
    count: int
    done: int
    run: int
    eligible: Collection[str] | None = None


class Chooser(Protocol):
    """Chooses what to ask next; writes nothing."""

    def choose(self, request: Request) -> Sequence[Item]:
        """At most ``count`` items of the pool, in the order a person should see them, each with its reason."""
        ...

    def needs_predictions(self, done: int) -> bool:
        """Whether the next choice looks at what the models say of the pool."""
        ...


class Indexer(Protocol):
    """Keeps the demonstrations as the store says."""

    def sync(self) -> int:
        """Bring the index up to the gold in the store; how many demonstrations it then holds."""
        ...


class Predictor(Protocol):
    """Extracts documents of the store into a run of the store."""

    def predict(
        self,
        campaign: int,
        round_number: int,
        purpose: str,
        document_ids: Sequence[str],
        parts: Mapping[str, Sequence[tuple[int, int]]] | None = None,
    ) -> int:
        """Extract what is not extracted yet; the run's number.

        Args:
            campaign: The campaign's number.
            round_number: The round's number.
            purpose: ``suggest`` or ``extract``.
            document_ids: Which documents.
            parts: Of these documents only these parts are wanted; of the others everything.

        Raises:
            QuorumError: The models cannot be had, or too few answer. What was recorded is kept.
        """
        ...


class Trainer(Protocol):
    """Trains an adapter on the gold."""

    def train(self, campaign: int, round_number: int) -> str:
        """Train, or find what an earlier call trained for this round; says what came of it.

        Raises:
            QuorumError: It cannot be trained here.
        """
        ...


@dataclass(slots=True)
class Services:
    """A campaign's surroundings.

    Attributes:
        store: The project's store, open for writing.
        labels: The label set.
        settings: What the person asked for.
        identity: What figures hang on, by concern; rounds are compared only where it is the same.
        chooser: Chooses documents.
        indexer: Keeps the demonstrations.
        predictor: Extracts.
        trainer: Trains; None where that is not wanted.
        eligible: Only these documents are asked; None for all.
        strict: Whether models that cannot be had end the call; a person's labelling goes on without.
        annotator: In whose name answers that carry no name are recorded.
        observer: Shown what happens.
        clock: Seconds since 1970.
    """

    store: Store
    labels: LabelSet
    settings: Settings
    identity: Mapping[str, Any]
    chooser: Chooser
    indexer: Indexer
    predictor: Predictor
    trainer: Trainer | None = None
    eligible: Collection[str] | None = None
    strict: bool = False
    annotator: str = "person"
    observer: Observer = field(default_factory=Silent)
    clock: Callable[[], float] = time.time
