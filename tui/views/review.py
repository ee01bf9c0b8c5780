"""A review as a screen shows it: documents by how far their versions differ, and the choice between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from agent.campaign.agreement import MODEL, QUORUM, REVIEW, Agreement, Pair, versions
from tools.annotation import Span
from tools.metrics.intervals import Interval
from tools.store import Store, Version

Level = Literal["people", "quorum", "members"]
LEVELS: tuple[Level, ...] = ("people", "quorum", "members")
LEVEL_TEXTS: Mapping[Level, str] = {
    "people": "people only",
    "quorum": "people and the quorum",
    "members": "people, the quorum and each member",
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A document with more than one version.

    Attributes:
        document_id: The document.
        names: Whose versions there are.
        differing: Spans that not all of them have.
        spans: All distinct spans.
        resolved: Whether a reviewer has decided it.
        head: The beginning of its text.
    """

    document_id: str
    names: tuple[str, ...]
    differing: int
    spans: int
    resolved: bool
    head: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A span that somebody has.

    Attributes:
        span: The span.
        holders: Names of the versions that have it.
        group: Number of the place it belongs to: spans that share text are one place.
    """

    span: Span
    holders: frozenset[str]
    group: int


@dataclass(frozen=True, slots=True)
class Mix:
    """What a reviewer has chosen so far; a value, every choice gives another.

    Attributes:
        names: The versions, people first.
        people: Which of them are people's.
        choices: Every span that a version has, in text order.
        keep: For each of them: kept, dropped, or None while undecided.
    """

    names: tuple[str, ...]
    people: tuple[str, ...]
    choices: tuple[Choice, ...]
    keep: tuple[bool | None, ...]

    @property
    def undecided(self) -> tuple[int, ...]:
        """Numbers of the choices that wait."""
        return tuple(number for number, kept in enumerate(self.keep) if kept is None)

    @property
    def decision(self) -> tuple[Span, ...]:
        """The spans that are kept."""
        return tuple(one.span for one, kept in zip(self.choices, self.keep, strict=True) if kept)

    def differs(self, number: int) -> bool:
        """Whether not all versions have a span."""
        return len(self.choices[number].holders) < len(self.names)

    def turned(self, number: int, kept: bool | None = None) -> Mix:
        """A choice kept, dropped, or the other way round than it is (kept, where it was undecided)."""
        new = not self.keep[number] if kept is None else kept
        return replace(self, keep=(*self.keep[:number], new, *self.keep[number + 1 :]))

    def edited(self, kept: Sequence[Span], dropped: Sequence[Span]) -> Mix:
        """The choices with spans of the reviewer's own.

        Args:
            kept: All spans that are kept now; those that no version has become choices of their own.
            dropped: Spans that were turned down; what is named in neither keeps waiting.
        """
        holders = {one.span: one.holders for one in self.choices}
        old = {one.span: state for one, state in zip(self.choices, self.keep, strict=True)}
        own = {span for span, state in old.items() if not holders[span] and state and span not in kept}
        spans = sorted({*holders, *kept} - own, key=_place)
        chosen, turned = set(kept), set(dropped)
        choices = _grouped([(span, holders.get(span, frozenset())) for span in spans])
        keep = (True if s in chosen else False if s in turned or old.get(s) is not None else None for s in spans)
        return replace(self, choices=choices, keep=tuple(keep))

    def taken(self, name: str, group: int | None = None) -> Mix:
        """A version's spans instead of the others', at one place or everywhere."""
        return replace(
            self,
            keep=tuple(
                name in one.holders if group is None or one.group == group else kept
                for one, kept in zip(self.choices, self.keep, strict=True)
            ),
        )


def listed(store: Store, level: Level) -> tuple[Listed, ...]:
    """Documents with at least two versions: undecided disagreements first, the most of it first.

    Args:
        store: Open.
        level: Whose versions count beside the people's.
    """
    resolved = {one.document_id for one in store.resolutions()}
    if level == "people":
        names: Sequence[str] = list(store.shared_documents())
    else:
        names = [document.id for document, _ in store.iter_gold()]
    found = []
    for name in names:
        shown = chosen_versions(versions(store, name), level)
        if len(shown) < 2 or not any(not one.annotator.startswith(MODEL) for one in shown):
            continue
        sets = [set(one.spans) for one in shown]
        every: set[Span] = set().union(*sets)
        differing = sum(not all(span in one for one in sets) for span in every)
        head = " ".join(store.document(name).text[:160].split())
        found.append(Listed(name, tuple(one.annotator for one in shown), differing, len(every), name in resolved, head))
    return tuple(sorted(found, key=lambda one: (one.resolved, -one.differing)))


def chosen_versions(found: Sequence[Version], level: Level) -> tuple[Version, ...]:
    """The versions of a level, people first."""
    return tuple(
        one
        for one in found
        if not one.annotator.startswith(MODEL) or level == "members" or (level == "quorum" and one.annotator == QUORUM)
    )


def mix_of(found: Sequence[Version], decided: Sequence[Span] | None = None, before: Mix | None = None) -> Mix:
    """The choice between versions.

    What all people have is kept and what only models have is dropped to begin with; the rest waits.

    Args:
        found: The versions that lie side by side.
        decided: An earlier resolution to begin from; None for none.
        before: What was chosen already of the same document, with other versions shown.
    """
    people = tuple(one.annotator for one in found if not one.annotator.startswith(MODEL))
    holders: dict[Span, set[str]] = {span: set() for span in decided or ()}
    for one in found:
        for span in one.spans:
            holders.setdefault(span, set()).add(one.annotator)
    known = {} if before is None else {c.span: k for c, k in zip(before.choices, before.keep, strict=True)}
    for span, kept in known.items():
        if kept:
            holders.setdefault(span, set())  # what was taken from a version that is hidden now stays taken
    spans = sorted(holders, key=_place)
    keep: list[bool | None] = []
    for span in spans:
        if span in known:
            keep.append(known[span])
        elif decided is not None:
            keep.append(span in decided)
        else:
            having = sum(name in holders[span] for name in people)
            keep.append(True if having == len(people) > 1 else False if people and not having else None)
    choices = _grouped([(span, frozenset(holders[span])) for span in spans])
    return Mix(tuple(one.annotator for one in found), people, choices, tuple(keep))


def _place(span: Span) -> tuple[int, int, str]:
    """Text order, outer spans first."""
    return span.start, -span.end, span.label


def _grouped(spans: Sequence[tuple[Span, frozenset[str]]]) -> tuple[Choice, ...]:
    """Choices of spans in text order; spans that share text are one place."""
    choices: list[Choice] = []
    group, reach = -1, -1
    for span, holders in spans:
        group += span.start >= reach
        reach = max(reach, span.end)
        choices.append(Choice(span, holders, group))
    return tuple(choices)


def reviewer_for(store: Store, document_id: str, name: str) -> str:
    """Under which name a decision is kept: an annotator's own version of the document is never overwritten by it.

    Raises:
        InputError: The document is unknown.
    """
    own = store.gold(document_id, name)
    return name if own is None or own.source == REVIEW else f"{name}:review"


def shown_name(name: str) -> str:
    """A version's name as a person reads it."""
    return name.removeprefix(MODEL)


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """A type: span F1 and Krippendorff's alpha of two, with their 95 % intervals."""

    name: str
    f1: Interval | None
    alpha: float | None
    alpha_interval: Interval | None


def agreement_rows(pair: Pair) -> tuple[AgreementRow, ...]:
    """All types together, borders alone, then each type."""
    rows = [
        AgreementRow("all types", pair.f1.f1, pair.alpha.all, pair.alpha.interval),
        AgreementRow("borders alone", pair.f1.boundaries, None, None),
    ]
    for label, interval in pair.f1.by_label.items():
        rows.append(
            AgreementRow(label, interval, pair.alpha.by_label.get(label), pair.alpha.label_intervals.get(label))
        )
    return tuple(rows)


def together(found: Agreement) -> str:
    """Alpha of all people, and of people with the quorum, in a line."""
    said = []
    for who, one in (("people", found.people), ("with the quorum", found.everyone)):
        if one is not None and one.all is not None:
            ends = f" ({one.interval.low:.2f}-{one.interval.high:.2f})" if one.interval else ""
            said.append(f"{who} {one.all:.2f}{ends} on {one.documents:,}")
    return ("alpha: " + "; ".join(said)) if said else "no document has been finished by two people yet"
