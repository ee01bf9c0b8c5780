"""One call of a campaign: open, go on as far as it goes without a person, say how it stands."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.campaign import labelling
from agent.campaign.errors import CampaignError
from agent.campaign.oracle import Oracle
from agent.campaign.services import Chooser, Indexer, Predictor, Services, Settings, Trainer
from agent.campaign.settings import CONCERNS, campaign_identity, plain_settings, settings_for, settings_of
from agent.campaign.state import STOP_TEXTS, CampaignGraphState, StopReason
from agent.config import ProjectConfig
from agent.runs.progress import Observer, Silent
from tools.annotation import LabelSet
from tools.store import Campaign, CampaignState, Round, RoundState, Store
from tools.store.ranges import inside

if TYPE_CHECKING:
    from langgraph.checkpoint.sqlite import SqliteSaver

    from agent.campaign.graph import CampaignGraph

CHECKPOINTS = "campaign.db"


@dataclass(frozen=True, slots=True)
class Status:
    """How a campaign stands.

    Attributes:
        campaign: Its number.
        round: The latest round; 0 before the first.
        asked: Documents asked so far.
        labels: Documents labelled so far.
        waiting: Documents of the open batch that nobody has dealt with.
        stop: Why it stopped; empty while it goes on.
        rounds: The rounds, with their reports.
        settings: What it goes by.
    """

    campaign: int
    round: int
    asked: int
    labels: int
    waiting: tuple[str, ...]
    stop: str
    rounds: tuple[Round, ...]
    settings: Mapping[str, Any]

    @property
    def reason(self) -> str:
        """Why it stopped, in words."""
        return STOP_TEXTS.get(self.stop, "")


class Session:
    """A campaign that is open for one call of a command; made by ``open_campaign``.

    Attributes:
        services: What the nodes work with.
        campaign: The campaign's number.
        changed: What is set otherwise than when the campaign went on last, in words.
    """

    def __init__(self, services: Services, saver: SqliteSaver, campaign: Campaign, changed: tuple[str, ...]) -> None:
        from agent.campaign.graph import build_graph

        settings = services.settings
        self.services, self.campaign, self.changed = services, campaign.id, changed
        self._saver = saver
        self._graph: CampaignGraph = build_graph(
            saver, suggestions=settings.suggest, training=services.trainer is not None
        )
        self._config: Any = {"configurable": {"thread_id": f"campaign-{campaign.id}"}, "recursion_limit": 10_000}

    def advance(self, oracle: Oracle | None = None) -> Status:
        """Go on until a person is needed or the campaign stops.

        Args:
            oracle: Answers instead of a person.

        Raises:
            QuorumError: What a person can mend; the same call goes on.
        """
        began, first = time.monotonic(), self.status().labels
        while True:
            status = self.status()
            if status.waiting and oracle is not None:
                self._answer(oracle)
                if left := self.status().waiting:
                    raise CampaignError(
                        f"the oracle cannot answer {len(left)} documents of the open batch, the first is {left[0]!r}",
                        "they are not in its file, or a person has them in hand: label them with quorum label",
                    )
            elif status.waiting or not self._step():
                break
            elif oracle is not None:
                self._tell(began, first)
        if oracle is not None:
            self._answer(oracle)  # second opinions that are still wanted
        return self.status()

    def _step(self) -> bool:
        """Take the graph on to its next question or its end; False where the campaign has stopped."""
        given = self._input()
        if given is _STOPPED:
            return False
        self._graph.invoke(given, self._config, context=self.services, durability="sync")
        self._remember()
        return True

    def _input(self) -> Any:
        """What the graph goes on with: its checkpoint, or the store where that is gone or has fallen behind."""
        store = self.services.store
        last = max((one.number for one in store.rounds(self.campaign)), default=0)
        snapshot = self._graph.get_state(self._config)
        if snapshot.next and snapshot.values.get("round") in (last, last + 1):
            return None
        fresh = from_store(self.services, self.campaign)
        if isinstance(fresh, StopReason):
            self._write(CampaignState.STOPPED, fresh.value)
            return _STOPPED
        if snapshot.values:
            self._saver.delete_thread(self._config["configurable"]["thread_id"])
        return fresh

    def _remember(self) -> None:
        """Write into the store how the graph left the campaign."""
        values = self._graph.get_state(self._config).values
        stopped = bool(values.get("stop"))
        self._write(CampaignState.STOPPED if stopped else CampaignState.OPEN, str(values.get("stop", "")))

    def _write(self, state: CampaignState, reason: str) -> None:
        services = self.services
        services.store.update_campaign(
            self.campaign,
            settings=plain_settings(services.settings),
            identity=services.identity,
            state=state,
            reason=reason,
        )

    def _answer(self, oracle: Oracle) -> None:
        """Let the oracle answer all it may; each answer is durable before the next."""
        store = self.services.store
        while items := labelling.lease(store, oracle.annotator, 16, only=oracle.gold.keys()):
            for item in items:
                spans = oracle.answer(store.document(item.document_id))
                if item.part is not None:
                    spans = inside(spans, (item.part,))
                labelling.answer(store, item.document_id, spans, oracle.annotator, source="oracle")

    def _tell(self, began: float, first: int) -> None:
        """A line on the round that was assessed last, and on how long the others will take."""
        status = self.status()
        done = next((one for one in reversed(status.rounds) if one.report), None)
        if done is None:
            return
        report, budget = done.report, self.services.settings.rule.budget
        told = f"round {done.number}: {report['labels']} of {budget} labels"
        if report["f1"] is not None:
            low, high = report["f1_interval"]
            told += f"; F1 {report['f1']:.3f} [{low:.3f}, {high:.3f}] on {report['audit_documents']} audit documents"
        finished = report["labels"] - first
        if finished > 0 and (left := budget - report["labels"]) > 0 and not status.stop:
            told += f"; about {_duration((time.monotonic() - began) / finished * left)} left"
        self.services.observer.note(told)

    def status(self) -> Status:
        """How it stands in the store."""
        store = self.services.store
        found = store.campaign(self.campaign)
        assert found is not None
        return status_of(store, found)


_STOPPED = object()


def from_store(services: Services, campaign: int) -> CampaignGraphState | StopReason:
    """What the graph begins with when there is no checkpoint: the round that the store has come to.

    A person may have raised the budget or the target since, so the rule is asked again.

    Returns:
        The state, or why the campaign stops by the rule as it is now.
    """
    import numpy as np

    from agent.campaign.assessing import curve_points
    from agent.campaign.curve import outlook
    from agent.campaign.nodes import pool_left
    from agent.campaign.policy import stops

    store, rule = services.store, services.settings.rule
    rounds = store.rounds(campaign)
    if not rounds:
        return CampaignGraphState(campaign=campaign, round=1)
    last = rounds[-1]
    state = CampaignGraphState(campaign=campaign, round=last.number, run=last.run or 0)
    if last.state is not RoundState.ASSESSED:
        return state
    asked = len(store.items(campaign))
    points = curve_points(rounds, services.identity, last.number + 1)
    rng = np.random.default_rng([services.settings.seed, last.number])
    seen = outlook(points, services.settings.batch, max(0, rule.budget - asked), rng=rng, target=rule.target_f1)
    low = (last.report.get("f1_interval") or (None,))[0]
    reason = stops(rule, asked, pool_left(services, campaign), low, seen)
    return reason or CampaignGraphState(campaign=campaign, round=last.number + 1, run=last.run or 0)


def status_of(store: Store, campaign: Campaign) -> Status:
    """How a campaign stands, read off the store."""
    rounds = tuple(store.rounds(campaign.id))
    items = store.items(campaign.id)
    waiting: tuple[str, ...] = ()
    if rounds and rounds[-1].state is RoundState.OPEN:
        waiting = tuple(item.document_id for item in items if item.round == rounds[-1].number and item.open)
    return Status(
        campaign=campaign.id,
        round=rounds[-1].number if rounds else 0,
        asked=len(items),
        labels=sum(bool(item.answers) for item in items),
        waiting=waiting,
        stop=campaign.reason if campaign.state is CampaignState.STOPPED else "",
        rounds=rounds,
        settings=campaign.settings,
    )


@contextmanager
def open_campaign(
    config: ProjectConfig,
    labels: LabelSet,
    store: Store,
    settings: Settings,
    *,
    make: Callable[[Mapping[str, Any]], Parts],
    oracle: Oracle | None = None,
    observer: Observer | None = None,
    annotator: str = "person",
    fresh: bool = False,
) -> Iterator[Session]:
    """Open the project's campaign, or begin one.

    Args:
        config: The project's configuration.
        labels: The label set.
        store: The project's store, open for writing.
        settings: What the person asks for.
        make: Makes the moving parts, given the campaign's identity.
        oracle: Answers instead of a person; only what it has gold for is asked then.
        observer: Shown what happens.
        annotator: In whose name answers without a name are recorded.
        fresh: Begin another campaign even though there is one.

    Raises:
        CampaignError: The project has no documents, or gold of types that the label set does not have.
        StoreError: A newer release made the campaign.
    """
    watcher = observer or Silent()
    if not store.document_count():
        raise CampaignError(
            "the pool is empty: the project has no documents",
            f"read some in: quorum import FILE --project {config.root}",
        )
    what = campaign_identity(config, labels)
    known = None if fresh else store.campaign()
    if known is None:
        if next(store.unlabelled(0), None) is None:
            raise CampaignError(
                "the pool is empty: every document of the project has gold", "import documents without --gold"
            )
        store.save_label_set(labels)
        known = store.campaign(store.start_campaign(plain_settings(settings), what))
        assert known is not None
    changed = tuple(name for key, name in CONCERNS.items() if known.identity.get(key) != what[key])
    if changed:
        watcher.note(f"changed since the last round: {', '.join(changed)}")
        watcher.note("figures of earlier rounds are not compared with those from now on")
    lost = _lost_labels(store, labels) if "the label set" in changed else {}
    if lost:
        named = ", ".join(f"{label} ({count})" for label, count in sorted(lost.items()))
        watcher.note(f"gold of types that the label set does not have any more is not shown to the models: {named}")
    parts = make(what)
    services = Services(
        store=store,
        labels=labels,
        settings=settings,
        identity=what,
        chooser=parts.chooser,
        indexer=parts.indexer,
        predictor=parts.predictor,
        trainer=parts.trainer if settings.train_every else None,
        eligible=None if oracle is None else oracle.gold.keys(),
        strict=oracle is not None,
        annotator=oracle.annotator if oracle else annotator,
        observer=watcher,
    )
    with contextlib.closing(_checkpoints(config.store_path.parent / CHECKPOINTS, watcher)) as connection:
        from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
        from langgraph.checkpoint.sqlite import SqliteSaver

        # Nothing but plain values is ever in it, so nothing else may come out of it.
        saver = SqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
        session = Session(services, saver, known, changed)
        session._write(known.state, known.reason)
        yield session


@dataclass(frozen=True, slots=True)
class Parts:
    """The moving parts of a campaign."""

    chooser: Chooser
    indexer: Indexer
    predictor: Predictor
    trainer: Trainer | None = None


def _checkpoints(path: Path, observer: Observer) -> sqlite3.Connection:
    """The checkpoints' file; one that is damaged is put aside, because the store knows enough to go on."""
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        if connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",):
            return connection
    except sqlite3.DatabaseError:
        pass  # what follows mends it
    connection.close()
    for suffix in ("", "-wal", "-shm"):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.replace(path.with_name(f"{path.name}{suffix}.damaged"))
    observer.note(f"{path.name} was damaged and is put aside; the campaign goes on from the store")
    return sqlite3.connect(path, check_same_thread=False)


def _lost_labels(store: Store, labels: LabelSet) -> dict[str, int]:
    lost: dict[str, int] = {}
    for _, gold in store.iter_gold():
        for span in gold.spans:
            if span.label not in labels.names:
                lost[span.label] = lost.get(span.label, 0) + 1
    return lost


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    return f"{whole}s" if whole < 60 else f"{whole // 60}m {whole % 60:02d}s"


__all__ = ["Parts", "Session", "Status", "open_campaign", "settings_for", "settings_of", "status_of"]
