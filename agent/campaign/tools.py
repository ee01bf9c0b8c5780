"""The campaign's steps as langchain-core tools: select, retrieve, ask the human, index, assess, train.

Each takes JSON and gives JSON, and is one step that can be called on its own. ``ask_human`` interrupts the graph that
calls it; called without one it opens the batch and says who has answered.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from langchain_core.tools import BaseTool
from langgraph.types import interrupt
from pydantic import BaseModel, ConfigDict, Field

from agent.campaign import labelling, nodes
from agent.campaign.assessing import answered_audit, assess, labelled
from agent.campaign.errors import CampaignError
from agent.campaign.pool import ranges_of
from agent.campaign.services import Request, Services
from agent.campaign.settings import plain_settings
from tools.annotation import model_text
from tools.store import CampaignState, RoundState
from tools.toolargs import SpanArg
from tools.tooling import Json, readable, span_json, spans_of, tool
from tools.toolkit import DemonstrationFinder

if TYPE_CHECKING:
    from tools.store import Item


OpenFinder = Callable[[], AbstractContextManager[DemonstrationFinder | None]]


class _Args(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SelectArgs(_Args):
    """Choose which documents a person should label next, each with the reason. Nothing is written."""

    model_config = ConfigDict(title="select_documents")

    count: int = Field(10, ge=1, le=1000, description="How many.")


class AskArgs(_Args):
    """Ask a person to label the open batch, or the documents named; comes back with who has answered what."""

    model_config = ConfigDict(title="ask_human")

    document_ids: list[str] = Field(
        default_factory=list, max_length=1000, description="Documents to open as a batch; empty asks for the open one."
    )


class AnswerArgs(_Args):
    """Record a person's answer to a document of the batch; an empty list says: reviewed, nothing here."""

    model_config = ConfigDict(title="record_answer")

    document_id: str = Field(description="The document.")
    spans: list[SpanArg] = Field(description="All its entities, each with a label.", max_length=100_000)
    annotator: str = Field("", description="Who answered; empty takes the project's annotator.")
    seconds: float | None = Field(None, ge=0, description="How long it took, where it was measured.")


class IndexArgs(_Args):
    """Bring the demonstrations that the models are shown up to the gold."""

    model_config = ConfigDict(title="index_gold")


class AssessArgs(_Args):
    """Measure F1 on the audit documents with its interval, and say what more labels would bring. Takes a while."""

    model_config = ConfigDict(title="assess_campaign")


class TrainArgs(_Args):
    """Train an adapter on the gold labelled so far. Takes minutes to hours."""

    model_config = ConfigDict(title="train_adapter")


class DemonstrationArgs(_Args):
    """Show which gold examples the models would be shown for a document of the project."""

    model_config = ConfigDict(title="retrieve_for_document")

    document_id: str = Field(description="The document.")
    k: int = Field(5, ge=1, le=64, description="How many at most.")


def campaign_tools(services: Services, campaign: int, finder: OpenFinder) -> list[BaseTool]:
    """The tools of an open campaign.

    Args:
        services: The campaign's surroundings, open as long as the tools are used.
        campaign: Its number.
        finder: Opens the demonstrations; gives None where there is no index.

    Returns:
        Tools with pydantic arguments; what a caller does wrong comes back as a line with a hint.
    """
    steps = _Steps(services, campaign, finder)
    tools: list[BaseTool] = [
        tool(steps.select, SelectArgs),
        tool(steps.ask, AskArgs),
        tool(steps.answer, AnswerArgs),
        tool(steps.index, IndexArgs),
        tool(steps.assess, AssessArgs),
        tool(steps.retrieve, DemonstrationArgs),
    ]
    if services.trainer is not None:
        tools.append(tool(steps.train, TrainArgs))
    return tools


class _Steps:
    """One campaign's steps, each a function of a tool's arguments."""

    def __init__(self, services: Services, campaign: int, finder: OpenFinder) -> None:
        self._services, self._campaign, self._finder = services, campaign, finder

    @property
    def _round(self) -> int:
        return max((one.number for one in self._services.store.rounds(self._campaign)), default=0)

    def _request(self, count: int) -> Request:
        store = self._services.store
        rounds = store.rounds(self._campaign)
        done = sum(bool(item.answers) for item in store.items(self._campaign) if not item.audit)
        run = (rounds[-1].run or 0) if rounds else 0
        return Request(self._campaign, self._round + 1, count, done, run, self._services.eligible)

    def select(self, given: SelectArgs) -> Json:
        items = self._services.chooser.choose(self._request(given.count))
        return {"documents": [_item_json(item) for item in items]}

    def ask(self, given: AskArgs) -> Json:
        store = self._services.store
        batch = labelling.open_batch(store)
        # Run again after an interrupt, it finds the batch that it opened before.
        if given.document_ids and (batch is None or {i.document_id for i in batch.items} != set(given.document_ids)):
            if batch is not None and batch.waiting:
                raise CampaignError(f"round {batch.round} is still open", "ask without document_ids for its answers")
            self._open(given.document_ids)
            batch = labelling.open_batch(store)
        if batch is None:
            raise CampaignError("no batch is open", "give document_ids, for example those of select_documents")
        refused: dict[str, str] = {}
        if batch.waiting and _in_a_graph():
            question = nodes.question_of(self._campaign, batch.round, batch.waiting, {})
            answers = interrupt(question)
            if isinstance(answers, Mapping):
                refused = nodes.take_answers(self._services, question["items"], answers)
            batch = labelling.open_batch(store) or batch
        if not batch.waiting:
            store.update_round(self._campaign, batch.round, RoundState.ANSWERED)
        return {
            "round": batch.round,
            "waiting": [readable(item.document_id) for item in batch.waiting],
            "answered": [readable(item.document_id) for item in batch.items if not item.open],
            "refused": refused,
            "how": "a person labels with: quorum label; record_answer takes an answer from elsewhere",
        }

    def _open(self, names: list[str]) -> None:
        store, settings = self._services.store, self._services.settings
        left = settings.rule.budget - len(store.items(self._campaign))
        if len(names) > left:
            raise CampaignError(f"{len(names)} documents are more than the {left} left of the budget", "ask for fewer")
        chosen = {item.document_id: item for item in self._services.chooser.choose(self._request(len(names)))}
        # The audit is a random sample only as a whole: who leaves some of it out gets none of it.
        whole = all(name in names for name, item in chosen.items() if item.audit)
        pool = set(store.unlabelled(self._campaign))
        items = []
        for position, name in enumerate(dict.fromkeys(names)):
            if name not in pool:
                raise CampaignError(f"document {name!r} is not in the pool", "it is labelled, asked, or unknown")
            known = chosen.get(name)
            usable = known is not None and (whole or not known.audit)
            items.append(known if known is not None and usable else _named(name, self._round + 1, position))
        with store.transaction():
            store.open_round(self._campaign, self._round + 1, items, self._services.identity)
            store.update_campaign(
                self._campaign,
                settings=plain_settings(settings),
                identity=self._services.identity,
                state=CampaignState.OPEN,
                reason="",
            )

    def answer(self, given: AnswerArgs) -> Json:
        services = self._services
        document = services.store.document(given.document_id)
        spans = spans_of(document.text, given.spans, services.labels)
        who = given.annotator or services.annotator
        event = labelling.answer(services.store, given.document_id, spans, who, seconds=given.seconds, source="tool")
        recorded = [span_json(document.text, span) for span in spans]
        return {"document_id": readable(given.document_id), "recorded": recorded, "annotator": who, "event": event}

    def index(self, given: IndexArgs) -> Json:
        return {"demonstrations": self._services.indexer.sync()}

    def assess(self, given: AssessArgs) -> Json:
        store, number = self._services.store, self._round
        audited = answered_audit(store, self._campaign)
        names = list(dict.fromkeys(item.document_id for item in audited))
        if not names:
            raise CampaignError("no audit document is labelled yet", "only documents drawn at random can be assessed")
        run = self._services.predictor.predict(self._campaign, number, "extract", names, ranges_of(audited))
        report, _ = assess(self._services, self._campaign, number, run)
        shown = ("labels", "f1", "f1_interval", "precision", "recall", "audit_documents", "by_label", "outlook")
        return {key: report[key] for key in shown if key in report}

    def train(self, given: TrainArgs) -> Json:
        assert self._services.trainer is not None
        said = self._services.trainer.train(self._campaign, self._round)
        return {"said": said, "labels": labelled(self._services.store, self._campaign)}

    def retrieve(self, given: DemonstrationArgs) -> Json:
        from tools.demonstrations import Query

        document = self._services.store.document(given.document_id)
        suspected = tuple(entity.span for entity in labelling.suggestions(self._services.store, given.document_id))
        query = Query(document.id, model_text(document.text), suspected, document.hash)
        with self._finder() as finder:
            if finder is None:
                raise CampaignError("there is no demonstration index", "make it with index_gold")
            [found] = finder.retrieve([query], given.k, rng=random.Random(self._services.settings.seed))
        return {
            "demonstrations": [
                {
                    "id": readable(hit.demonstration.id),
                    "text": readable(hit.demonstration.text),
                    "entities": [span_json(hit.demonstration.text, span) for span in hit.demonstration.spans],
                    "score": float(hit.score),
                    "by": hit.by,
                }
                for hit in found
            ]
        }


def _in_a_graph() -> bool:
    """Whether a LangGraph graph calls, which can be interrupted and resumed."""
    from langgraph.config import get_config

    try:
        return "__pregel_scratchpad" in get_config().get("configurable", {})
    except RuntimeError:
        return False


def _named(name: str, number: int, position: int) -> Item:
    from tools.store import Item

    return Item(name, number, position, False, 1, {"strategy": "named", "meaning": "named by an agent"})


def _item_json(item: Item) -> dict[str, Any]:
    part = {} if item.part is None else {"start": item.part[0], "end": item.part[1]}
    return {"document_id": readable(item.document_id), **part, "audit": item.audit, "reason": dict(item.reason)}
