"""The campaign's nodes. Each can be killed at any point and run again: what it wrote, it finds.

Only ``ask`` interrupts, and nothing but reading stands before its interrupt.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from typing import Any, TypedDict

from langgraph.runtime import Runtime
from langgraph.types import interrupt

from agent.campaign import labelling
from agent.campaign.assessing import answered_audit, assess, labelled
from agent.campaign.policy import stops
from agent.campaign.pool import Place, open_places, ranges_of
from agent.campaign.services import Request, Services
from agent.campaign.state import CampaignGraphState, StopReason
from agent.runs.errors import RunInterrupted
from tools.annotation import Span
from tools.errors import InputError, QuorumError
from tools.store import Item, RoundState
from tools.store.ranges import Range

Update = dict[str, Any]
Node = Callable[[CampaignGraphState, Runtime[Services]], Update]


def timed(node: Node) -> Node:
    """A node that adds the seconds it took to the round's."""

    @wraps(node)
    def run(state: CampaignGraphState, runtime: Runtime[Services]) -> Update:
        began = time.monotonic()
        update = node(state, runtime)
        return {**update, "seconds": state.get("seconds", 0.0) + time.monotonic() - began}

    return run


class Question(TypedDict):
    """What the interrupt shows: ids, not texts; whoever answers reads the rest from the store.

    Attributes:
        campaign: The campaign's number.
        round: The round's number.
        items: Documents that nobody has dealt with, in order.
        parts: Document id to the start and end of what is asked of it, where that is not the whole document.
        refused: Document id to what was wrong with the answer given before.
    """

    campaign: int
    round: int
    items: list[str]
    parts: dict[str, list[int]]
    refused: dict[str, str]


@timed
def select(state: CampaignGraphState, runtime: Runtime[Services]) -> Update:
    """Choose the round's batch and write it into the store, or find it there."""
    services = runtime.context
    store, settings = services.store, services.settings
    campaign, number = state["campaign"], state["round"]
    known = store.items(campaign, number)
    if known:
        return _chosen([item.document_id for item in known], state.get("labels", 0))
    asked = store.items(campaign)
    done = sum(bool(item.answers) for item in asked)
    # What was put aside has cost its place in the budget: it was shown.
    count = min(settings.batch, settings.rule.budget - len(asked))
    if count <= 0:
        return {"stop": StopReason.BUDGET.value, "labels": done, "batch": []}
    request = Request(
        campaign,
        number,
        count,
        sum(bool(item.answers) for item in asked if not item.audit),
        state.get("run", 0),
        services.eligible,
    )
    items = services.chooser.choose(request)
    if not items:
        return {"stop": StopReason.POOL.value, "labels": done, "batch": []}
    kept = store.open_round(campaign, number, items, services.identity)
    return _chosen([item.document_id for item in kept], done)


def _chosen(batch: list[str], labels: int) -> Update:
    return {"batch": batch, "labels": labels, "stop": "", "answers": {}, "refused": {}}


@timed
def suggest(state: CampaignGraphState, runtime: Runtime[Services]) -> Update:
    """Extract the batch, so that a person starts from suggestions; without models they start from nothing."""
    services = runtime.context
    items = services.store.items(state["campaign"], state["round"])
    audit = {item.document_id for item in items if item.audit}
    shown = [name for name in state.get("batch", []) if name not in audit or not services.settings.blind_audit]
    if shown:
        _predicted(services, state, "suggest", shown, ranges_of(items))
    return {}


def ask(state: CampaignGraphState, runtime: Runtime[Services]) -> Update:
    """Interrupt with what nobody has dealt with; answers come by document id.

    An answer is a list of ``[start, end, label]``, or an object with ``spans``, ``annotator`` and
    ``seconds``; null says that the store has it already.
    """
    items = runtime.context.store.items(state["campaign"], state["round"])
    waiting = [item for item in items if item.open]
    if not waiting:
        return {"answers": {}}
    question = question_of(state["campaign"], state["round"], waiting, state.get("refused", {}))
    given = interrupt(question)
    return {"answers": dict(given) if isinstance(given, Mapping) else {}}


def question_of(campaign: int, number: int, waiting: Sequence[Item], refused: Mapping[str, str]) -> Question:
    """What the interrupt shows of the items that wait."""
    return Question(
        campaign=campaign,
        round=number,
        items=[item.document_id for item in waiting],
        parts={item.document_id: list(item.part) for item in waiting if item.part is not None},
        refused=dict(refused),
    )


def record(state: CampaignGraphState, runtime: Runtime[Services]) -> Update:
    """Write the answers that the store does not have, and close the round when none is missing."""
    services = runtime.context
    store, campaign, number = services.store, state["campaign"], state["round"]
    refused = take_answers(services, state.get("batch", []), state.get("answers", {}))
    waiting = sum(item.open for item in store.items(campaign, number))
    if not waiting:
        store.update_round(campaign, number, RoundState.ANSWERED)
    return {"answers": {}, "refused": refused, "waiting": waiting, "labels": labelled(store, campaign)}


def take_answers(services: Services, batch: Collection[str], answers: Mapping[str, Any]) -> dict[str, str]:
    """Write answers given by document id; null says that the store has it already.

    Returns:
        Document id to what is wrong with its answer; nothing of such an answer is written.
    """
    refused: dict[str, str] = {}
    for name, given in answers.items():
        if name not in batch:
            refused[name] = "it was not asked"
        elif given is not None:
            try:
                spans, annotator, seconds = _answer(given, services)
                labelling.answer(services.store, name, spans, annotator, seconds=seconds)
            except InputError as error:
                refused[name] = error.message
    return refused


def _answer(given: Any, services: Services) -> tuple[list[Span], str, float | None]:
    form = given if isinstance(given, Mapping) else {"spans": given}
    try:
        spans = [
            Span(int(s["start"]), int(s["end"]), str(s["label"]))
            if isinstance(s, Mapping)
            else Span(int(s[0]), int(s[1]), str(s[2]))
            for s in form["spans"]
        ]
        seconds = None if form.get("seconds") is None else float(form["seconds"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"not an answer ({error})", "give a list of [start, end, label]") from error
    named = []
    for span in spans:
        label = services.labels.resolve(span.label)
        if label is None:
            raise InputError(f"unknown label {span.label!r}", f"one of {', '.join(services.labels.names)}")
        named.append(span.with_label(label))
    return named, str(form.get("annotator") or services.annotator), seconds


@timed
def index(state: CampaignGraphState, runtime: Runtime[Services]) -> Update:
    """Bring the demonstrations up to the gold; an index that is gone is made again."""
    count = runtime.context.indexer.sync()
    runtime.context.observer.note(f"round {state['round']}: {count} demonstrations in the index")
    return {}


@timed
def extract(state: CampaignGraphState, runtime: Runtime[Services]) -> Update:
    """Extract the audit documents, and as much of the pool as choosing by uncertainty needs."""
    services = runtime.context
    store, settings, campaign = services.store, services.settings, state["campaign"]
    wanted: list[Place | Item] = [*answered_audit(store, campaign)]
    done = sum(bool(item.answers) for item in store.items(campaign) if not item.audit)
    more = len(store.items(campaign)) < settings.rule.budget
    if more and settings.uncertainty_pool and services.chooser.needs_predictions(done):
        pool = list(open_places(store, campaign, settings.longest, services.eligible))
        rng = random.Random(f"{settings.seed}/uncertain/{state['round']}")
        wanted += pool if len(pool) <= settings.uncertainty_pool else rng.sample(pool, settings.uncertainty_pool)
    if not wanted:
        return {"run": 0}
    names = list(dict.fromkeys(place.document_id for place in wanted))
    return {"run": _predicted(services, state, "extract", names, ranges_of(wanted))}


def _predicted(
    services: Services,
    state: CampaignGraphState,
    purpose: str,
    wanted: list[str],
    parts: Mapping[str, Sequence[Range]],
) -> int:
    """The run that holds the predictions; 0 where models cannot be had and labelling goes on without."""
    try:
        return services.predictor.predict(state["campaign"], state["round"], purpose, wanted, parts)
    except QuorumError as error:
        if services.strict or isinstance(error, RunInterrupted):
            raise
        services.observer.note(f"the models cannot be had: {error.message}")
        if error.hint:
            services.observer.note(f"hint: {error.hint}")
        services.observer.note("labelling goes on without them; the next round tries again")
        return 0


def measure(state: CampaignGraphState, runtime: Runtime[Services]) -> Update:
    """Assess the round on the audit documents, and decide whether another one is worth it."""
    services = runtime.context
    store, campaign, number = services.store, state["campaign"], state["round"]
    report, seen = assess(services, campaign, number, state.get("run", 0))
    low, high = report.get("f1_interval") or (None, None)
    pool = pool_left(services, campaign)
    asked = len(store.items(campaign))
    reason = stops(services.settings.rule, asked, pool, low, seen)
    report["pool"] = pool
    report["seconds"] = round(state.get("seconds", 0.0), 3)
    report["human_seconds"] = _human_seconds(services, campaign, number)
    report["stop"] = reason.value if reason else ""
    store.update_round(campaign, number, RoundState.ASSESSED, run=state.get("run") or None, report=report)
    return {"f1": report["f1"], "low": low, "high": high, "labels": report["labels"], "stop": report["stop"]}


def _human_seconds(services: Services, campaign: int, number: int) -> float | None:
    """What people spent on the round's items; None where nobody measured."""
    spent = [v.seconds for v in services.store.visits(campaign) if v.round == number and v.seconds is not None]
    return round(sum(spent), 3) if spent else None


def pool_left(services: Services, campaign: int) -> int:
    """How many documents and passages could still be asked."""
    return sum(1 for _ in open_places(services.store, campaign, services.settings.longest, services.eligible))


@timed
def train(state: CampaignGraphState, runtime: Runtime[Services]) -> Update:
    """Train an adapter on the gold when enough of it is new."""
    services = runtime.context
    every, labels = services.settings.train_every, state.get("labels", 0)
    if services.trainer is None or not every or labels - state.get("trained_at", 0) < every:
        return {}
    try:
        said = services.trainer.train(state["campaign"], state["round"])
    except QuorumError as error:
        if services.strict or isinstance(error, RunInterrupted):
            raise
        services.observer.note(f"not trained: {error.message}")
        return {}
    services.observer.note(said)
    return {"trained_at": labels}


def begin(state: CampaignGraphState, runtime: Runtime[Services]) -> Update:
    """Find out which campaign and round it is, where the caller does not know: LangGraph's server and Studio."""
    from agent.campaign.driver import from_store

    campaign = state.get("campaign") or 0
    known = runtime.context.store.campaign(campaign or None)
    if known is None:
        raise InputError("there is no campaign in this project", "begin one with: quorum run")
    fresh = from_store(runtime.context, known.id)
    if isinstance(fresh, StopReason):
        return {"campaign": known.id, "stop": fresh.value}
    return {**fresh}


def turn(state: CampaignGraphState, runtime: Runtime[Services]) -> Update:
    """Begin the next round."""
    return {"round": state["round"] + 1, "batch": [], "waiting": 0, "seconds": 0.0}
