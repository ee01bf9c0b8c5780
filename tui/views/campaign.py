"""A campaign as a screen shows it: figures read off the store, and sentences made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.campaign.assessing import curve_points
from agent.campaign.driver import Status, status_of
from agent.campaign.labelling import RUN_KIND
from tools.store import Item, Round, Store, Visit
from tools.store.ranges import inside
from tui.views.curve import Curve, Mark
from tui.views.reasons import reason_line


@dataclass(frozen=True, slots=True)
class TypeRow:
    """A type on the audit documents: F1, the ends of its 95 % interval (None where nobody computed it), gold spans."""

    name: str
    f1: float
    low: float | None
    high: float | None
    support: int


@dataclass(frozen=True, slots=True)
class RoundRow:
    """A round; figures are None before it was assessed, or without models."""

    number: int
    state: str
    items: int
    labels: int | None
    audit: int | None
    f1: float | None
    low: float | None
    high: float | None
    precision: float | None
    recall: float | None
    seconds: float | None
    same: bool


@dataclass(frozen=True, slots=True)
class ItemRow:
    """A document of a batch.

    Attributes:
        item: As the store has it.
        state: ``waits``, ``done: ada``, ``set aside``, ``in hand: bo``.
        why: Why it was chosen, in a line.
        head: The beginning of its text.
    """

    item: Item
    state: str
    why: str
    head: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What the campaign has cost so far.

    Attributes:
        documents: Answers whose time was measured.
        spans: Spans in them.
        seconds: What they took.
        requests: To the models.
        tokens_in: Prompt tokens.
        tokens_out: Output tokens.
        machine: Seconds of the machine's part of the rounds.
    """

    documents: int = 0
    spans: int = 0
    seconds: float = 0.0
    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    machine: float = 0.0

    @property
    def per_span(self) -> float | None:
        """Seconds a span; None where nothing was measured."""
        return self.seconds / self.spans if self.spans else None

    @property
    def per_document(self) -> float | None:
        """Seconds a document; None as above."""
        return self.seconds / self.documents if self.documents else None


@dataclass(frozen=True, slots=True)
class CampaignView:
    """All that the screen shows of a campaign but the batches.

    Attributes:
        status: As the driver tells it.
        rounds: Every round.
        types: Per type, the most frequent first; of the last round with figures.
        measured: That round; None before there is one.
        curve: The learning curve; None before a round has figures.
        outlook: What more labels would bring, in a sentence; empty before a round was assessed.
        cost: Time and tokens.
        audit: Audit documents answered, and asked.
        aside: Documents set aside.
        spans: Spans in the labelled documents.
        hands: Who has how many documents in hand.
    """

    status: Status
    rounds: tuple[RoundRow, ...]
    types: tuple[TypeRow, ...]
    measured: RoundRow | None
    curve: Curve | None
    outlook: str
    cost: Cost
    audit: tuple[int, int]
    aside: int
    spans: int
    hands: Mapping[str, int]

    @property
    def budget(self) -> int:
        """The most labels."""
        return int(_rule(self.status).get("budget") or 0)

    def headline(self) -> str:
        """How far it is, in a line."""
        status = self.status
        parts = [f"{status.labels:,} of {self.budget:,} labelled", f"{self.spans:,} spans"]
        parts.append(f"audit {self.audit[0]} of {self.audit[1]}")
        if self.aside:
            parts.append(f"{self.aside} set aside")
        if status.waiting:
            parts.append(f"{len(status.waiting)} wait")
        if self.hands:
            parts.append("in hand " + ", ".join(f"{who} {count}" for who, count in self.hands.items()))
        return " \u00b7 ".join(parts)

    def figures(self) -> str:
        """F1 with its interval, in a line."""
        one = self.measured
        if one is None or one.f1 is None or one.low is None or one.high is None:
            return "not known yet: no round with answered audit documents has been measured"
        return (
            f"{one.f1:.3f} ({one.low:.3f} to {one.high:.3f}) on {_documents(one.audit or 0, 'audit document')};"
            f" precision {one.precision:.2f}, recall {one.recall:.2f}"
        )

    def rule(self) -> str:
        """When it stops, and how far that is."""
        if self.status.stop:
            return f"stopped after {_documents(self.status.labels, 'label')}: {self.status.reason}"
        rule = _rule(self.status)
        left = max(0, self.budget - self.status.labels)
        said = [f"at {self.budget:,} labels ({left:,} to go)"]
        if (target := rule.get("target_f1")) is not None:
            low = self.measured.low if self.measured else None
            said.append(f"when F1 surely is {target:g} (lower end {'not known' if low is None else f'now {low:.3f}'})")
        if (gain := rule.get("min_gain")) is not None:
            said.append(f"when a batch adds less than {gain:g}")
        return "stops " + ", or ".join(said)

    def spent(self) -> str:
        """What it cost, in a line."""
        cost = self.cost
        said = []
        if cost.per_document is not None:
            each = f"{cost.per_span:.1f} s a span, " if cost.per_span is not None else ""
            said.append(f"{each}{cost.per_document:.1f} s a document, {duration(cost.seconds)} of reading")
        else:
            said.append("no person's time measured")
        if cost.requests:
            tokens = f"{short(cost.tokens_in)} tokens in, {short(cost.tokens_out)} out"
            said.append(f"models {duration(cost.machine)}, {tokens}")
        return " \u00b7 ".join(said)

    def next(self) -> str:
        """What comes next, in a line."""
        if self.status.waiting:
            return f"{_documents(len(self.status.waiting), 'document')} of round {self.status.round} to label"
        if self.status.stop:
            return "quorum extract labels the rest; a higher --budget or target goes on"
        return "the machine's turn: quorum run"


def campaign_view(store: Store) -> CampaignView | None:
    """The latest campaign; None where there is none."""
    campaign = store.campaign()
    if campaign is None:
        return None
    status = status_of(store, campaign)
    items, visits = store.items(campaign.id), store.visits(campaign.id)
    rounds = tuple(_round(one, items, status.rounds) for one in status.rounds)
    measured = next((one for one in reversed(rounds) if one.f1 is not None), None)
    report = next((one.report for one in reversed(status.rounds) if one.report.get("outlook")), {})
    hands: dict[str, int] = {}
    asked = {item.document_id for item in items}
    for lease in store.leases():
        if lease.document_id in asked:
            hands[lease.annotator] = hands.get(lease.annotator, 0) + 1
    answered = [item for item in items if item.answers]
    return CampaignView(
        status=status,
        rounds=rounds,
        types=_types(status.rounds, measured),
        measured=measured,
        curve=_curve(status, rounds),
        outlook=str(report["outlook"]["sentence"]) if report else "",
        cost=_cost(store, campaign.id, visits, status.rounds),
        audit=(sum(item.audit for item in answered), sum(item.audit for item in items)),
        aside=sum(bool(item.skips) and not item.answers for item in items),
        spans=sum(
            len(gold.spans if item.part is None else inside(gold.spans, (item.part,)))
            for item in answered
            if (gold := store.gold(item.document_id)) is not None
        ),
        hands=hands,
    )


def fingerprint(store: Store) -> tuple[object, ...]:
    """What tells, cheaply, whether ``campaign_view`` would give something else."""
    campaign = store.campaign()
    if campaign is None:
        return ()
    rounds = [(one.number, one.state, one.run, len(one.report)) for one in store.rounds(campaign.id)]
    answers = [(item.answers, item.skips) for item in store.items(campaign.id)]
    leases = [(lease.document_id, lease.annotator) for lease in store.leases()]
    return (campaign.id, campaign.state, campaign.reason, campaign.settings, rounds, answers, leases)


def batch_of(store: Store, campaign: int, number: int) -> tuple[ItemRow, ...]:
    """A round's batch, in order, with who has done what."""
    leases: dict[str, list[str]] = {}
    for lease in store.leases():
        leases.setdefault(lease.document_id, []).append(lease.annotator)
    rows = []
    for item in store.items(campaign, number):
        gold = store.gold(item.document_id) if item.answers else None
        done = gold.annotator if gold is not None else ""
        if item.answers:
            state = f"done: {done}" + (f" +{item.answers - 1}" if item.answers > 1 else "")
        elif item.skips:
            state = "set aside"
        else:
            state = f"in hand: {', '.join(who)}" if (who := leases.get(item.document_id)) else "waits"
        begin = 0 if item.part is None else item.part[0]
        head = " ".join(store.document(item.document_id).text[begin : begin + 300].split())
        rows.append(ItemRow(item, state, reason_line(item.reason), head))
    return tuple(rows)


def _rule(status: Status) -> Mapping[str, Any]:
    found = status.settings.get("rule", {})
    return found if isinstance(found, Mapping) else {}


def _round(one: Round, items: Sequence[Item], rounds: Sequence[Round]) -> RoundRow:
    report = one.report
    low, high = report.get("f1_interval") or (None, None)
    return RoundRow(
        number=one.number,
        state=one.state.value,
        items=sum(item.round == one.number for item in items),
        labels=report.get("labels"),
        audit=report.get("audit_documents"),
        f1=report.get("f1"),
        low=low,
        high=high,
        precision=report.get("precision"),
        recall=report.get("recall"),
        seconds=report.get("seconds"),
        same=dict(one.identity) == dict(rounds[-1].identity),
    )


def _types(rounds: Sequence[Round], measured: RoundRow | None) -> tuple[TypeRow, ...]:
    if measured is None:
        return ()
    report = next(one.report for one in rounds if one.number == measured.number)
    rows = []
    for name, one in report.get("by_label", {}).items():
        low, high = one.get("f1_interval") or (None, None)
        rows.append(TypeRow(name, one["f1"], low, high, one["support"]))
    return tuple(sorted(rows, key=lambda row: (-row.support, row.name)))


def _curve(status: Status, rounds: Sequence[RoundRow]) -> Curve | None:
    """The rounds as marks; where the outlook can tell, what was expected and is to be expected with its band."""
    marks = tuple(
        Mark(one.labels, one.f1, one.low, one.high, one.same)
        for one in rounds
        if one.labels and one.f1 is not None and one.low is not None and one.high is not None
    )
    if not marks:
        return None
    last = next(one for one in reversed(status.rounds) if one.report.get("f1") is not None)
    seen = last.report["outlook"]
    here = marks[-1].labels
    budget = int(_rule(status).get("budget") or 0)
    further = int(seen["further"]["labels"]) if seen.get("known") else max(here, int(status.settings.get("batch", 1)))
    end = here + min(further, here)
    if not seen.get("known") and budget > here:
        end = min(end, budget)
    points = curve_points(status.rounds, last.identity, last.number + 1) if seen.get("known") else []
    return Curve(marks, end, _rule(status).get("target_f1"), tuple(points), int(status.settings.get("seed", 0)))


def _cost(store: Store, campaign: int, visits: Sequence[Visit], rounds: Sequence[Round]) -> Cost:
    measured = [visit for visit in visits if visit.seconds is not None and not visit.skipped]
    spans = 0
    for visit in measured:
        gold = store.gold(visit.document_id, visit.annotator)
        if gold is not None:
            spans += len(gold.spans if visit.part is None else inside(gold.spans, (visit.part,)))
    totals = {"requests": 0.0, "prompt_tokens": 0.0, "output_tokens": 0.0}
    for run in store.runs():
        if run.kind == RUN_KIND and run.config.get("campaign") == campaign:
            for amounts in store.usage(run.id).values():
                for name in totals:
                    totals[name] += amounts.get(name, 0)
    return Cost(
        documents=len(measured),
        spans=spans,
        seconds=sum(visit.seconds or 0.0 for visit in measured),
        requests=int(totals["requests"]),
        tokens_in=int(totals["prompt_tokens"]),
        tokens_out=int(totals["output_tokens"]),
        machine=sum(float(one.report.get("seconds", 0.0)) for one in rounds),
    )


def duration(seconds: float) -> str:
    """``42 s``, ``3 m 05 s``, ``2 h 10 m``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} m {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} m"


def short(number: float) -> str:
    """``950``, ``12.3 k``, ``4.1 M``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:.0f}"


def _documents(count: int, one: str) -> str:
    return f"{count:,} {one if count == 1 else one + 's'}"
