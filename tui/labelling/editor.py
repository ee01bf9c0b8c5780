"""What is on the labelling screen at one moment: a value, and the values that follow from it.

An ``Editor`` never changes. Moving gives another editor; deciding gives the
``Decision`` that the store is to keep, and only when the store has it does the
session make an editor of it. Offsets count code points and always stand at the
border of visible characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from tools.annotation import Span
from tools.annotation.prediction import Entity
from tools.store.labelling import HUMAN, SUGGESTION, Decision
from tools.store.ranges import Range, covers, joined, whole, without
from tools.store.records import DocumentState
from tui.labelling import graphemes

_KEPT = ("open", "targets", "_known", "_by_span")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A span that somebody else proposes.

    Attributes:
        span: Where and which type.
        confidence: Probability that it is right, 0 to 1.
        by: The run, as ``run 3``, or another annotator's name.
        entity: Votes and verdict; None for another annotator's.
        demonstrations: Ids of the examples that the models were shown.
        low: Whether the quorum itself turned it down; shown on demand only.
    """

    span: Span
    confidence: float
    by: str
    entity: Entity | None = None
    demonstrations: tuple[str, ...] = ()
    low: bool = False

    @property
    def disagreement(self) -> float:
        """The share of voting members that did not give this type, 0 to 1."""
        votes = self.entity.votes if self.entity else ()
        return sum(vote.label != self.span.label for vote in votes) / len(votes) if votes else 0.0


@dataclass(frozen=True, slots=True)
class Target:
    """What a command works on: a mark, or a suggestion.

    Attributes:
        span: Where and which type.
        own: Whether it is a mark of the annotator's own.
    """

    span: Span
    own: bool


@dataclass(frozen=True)
class Editor:
    """A document, what was decided about it, and where the person is.

    Attributes:
        text: The document's text.
        decision: What was decided, as the store holds it.
        suggestions: All that is proposed, in text order.
        cursor: Offset of the character the cursor is on; the text's length at its end.
        anchor: Where the selection began; None without one.
        at_start: Whether grow, shrink and extending move the front end.
        focus: A span chosen by stepping; None takes the innermost one under the cursor.
        show_low: Whether suggestions that the quorum turned down are shown, too.
        scope: The part of the document that is asked; None for all of it. Marks may be anywhere.
    """

    text: str
    decision: Decision = field(default_factory=Decision)
    suggestions: tuple[Suggestion, ...] = ()
    cursor: int = 0
    anchor: int | None = None
    at_start: bool = False
    focus: Target | None = None
    show_low: bool = False
    scope: Range | None = None

    def with_(self, **changes: Any) -> Editor:
        """The editor with some fields changed; what was worked out about its spans goes along where it still holds."""
        new = replace(self, **changes)
        if not changes.keys() & {"decision", "suggestions", "show_low", "text", "scope"}:
            new.__dict__.update({name: self.__dict__[name] for name in _KEPT if name in self.__dict__})
        return new

    # -- what there is ------------------------------------------------------------------------------------------

    @cached_property
    def open(self) -> tuple[Suggestion, ...]:
        """The suggestions that wait for a decision, in text order."""
        if self.done:
            return ()
        settled = {*self.decision.spans, *self.decision.rejected}
        shown = (s for s in self.suggestions if s.span not in settled and (self.show_low or not s.low))
        if self.scope is not None:
            shown = (s for s in shown if self._asked(s.span))
        return tuple({s.span: s for s in shown}.values())

    @property
    def done(self) -> bool:
        """Whether what is asked is finished."""
        if self.decision.state is DocumentState.DONE:
            return True
        return self.scope is not None and covers(self.decision.ranges, self.scope)

    @property
    def marks(self) -> tuple[Span, ...]:
        """The marks in what is asked, in text order."""
        return tuple(span for span in self.decision.spans if self._asked(span))

    def _asked(self, span: Span) -> bool:
        return self.scope is None or (self.scope[0] <= span.start and span.end <= self.scope[1])

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """Marks and open suggestions in text order, outer ones first."""
        found = [Target(span, True) for span in self.decision.spans]
        found += [Target(suggestion.span, False) for suggestion in self.open]
        return tuple(sorted(found, key=lambda t: (t.span.start, -t.span.end, t.span.label, t.own)))

    @property
    def selection(self) -> tuple[int, int] | None:
        """The selected range, the character under the cursor included."""
        if self.anchor is None:
            return None
        low, high = sorted((self.anchor, self.cursor))
        end = graphemes.cluster_end(self.text, high)
        return (low, end) if end > low else None

    @cached_property
    def target(self) -> Target | None:
        """What a command would work on: the focus, or the innermost span under the cursor."""
        if self.focus is not None and self.focus in self._known:
            return self.focus
        here = [t for t in self.targets if t.span.start <= self.cursor < t.span.end]
        return min(here, key=lambda t: (len(t.span), t.own, t.span), default=None)

    @cached_property
    def _known(self) -> frozenset[Target]:
        return frozenset(self.targets)

    @cached_property
    def _by_span(self) -> dict[Span, Suggestion]:
        return {suggestion.span: suggestion for suggestion in self.suggestions}

    def suggestion(self, span: Span) -> Suggestion | None:
        """The suggestion of a span."""
        return self._by_span.get(span)

    def origin(self, span: Span) -> Suggestion | None:
        """The suggestion behind a span: itself, one of its place under another type, or one that overlaps it."""
        place = (span.start, span.end)
        near = [s for s in self.suggestions if s.span.overlaps(span)]
        same = (s for s in near if (s.span.start, s.span.end) == place)
        return self.suggestion(span) or next(same, None) or next(iter(near), None)

    # -- moving -------------------------------------------------------------------------------------------------

    def moved(self, cursor: int, *, extend: bool = False) -> Editor:
        """The cursor elsewhere; a selection stays while it is being made or extended."""
        cursor = graphemes.snap(self.text, max(0, min(cursor, len(self.text))))
        anchor = self.anchor
        if extend and anchor is None:
            anchor = self.cursor
        return self.with_(cursor=cursor, anchor=anchor, focus=None)

    def step(self, move: Callable[[str, int], int], *, extend: bool = False) -> Editor:
        """Move by a function of ``graphemes``."""
        return self.moved(move(self.text, self.cursor), extend=extend)

    def selecting(self) -> Editor:
        """Begin a selection at the cursor, or give it up."""
        return self.with_(anchor=self.cursor if self.anchor is None else None, focus=None)

    def swapped(self) -> Editor:
        """The other end: of the selection, or of what grow and shrink work on."""
        if self.anchor is not None:
            return self.with_(cursor=self.anchor, anchor=self.cursor)
        return self.with_(at_start=not self.at_start)

    def cleared(self) -> Editor:
        """Without selection and focus."""
        return self.with_(anchor=None, focus=None, at_start=False)

    def focused(self, target: Target) -> Editor:
        """The cursor on a span, and commands working on it."""
        return self.with_(cursor=target.span.start, anchor=None, at_start=False, focus=target)

    def to_target(self, by: int, *, own: bool | None = None) -> Editor:
        """To the next or previous span.

        Args:
            by: 1 or -1.
            own: Only marks, or only suggestions; None for suggestions as long as
                any waits, then marks.
        """
        wanted = [t for t in self.targets if own is None or t.own is own]
        if own is None and any(not t.own for t in wanted):
            wanted = [t for t in wanted if not t.own]
        if not wanted:
            return self
        if self.focus in wanted:
            return self.focused(wanted[(wanted.index(self.focus) + by) % len(wanted)])
        ahead = [t for t in wanted if (t.span.start >= self.cursor if by > 0 else t.span.start < self.cursor)]
        return self.focused((ahead or wanted)[0 if by > 0 else -1])

    def after_deciding(self, decision: Decision, at: Span | None = None) -> Editor:
        """The editor with another decision; the cursor goes on to the next open suggestion behind a span."""
        new = self.with_(decision=decision, anchor=None, focus=None, at_start=False)
        if at is None:
            return new
        waiting = [Target(s.span, False) for s in new.open]
        behind = [t for t in waiting if (t.span.start, -t.span.end, t.span.label) > (at.start, -at.end, at.label)]
        following = (behind or waiting)[:1]
        return new.focused(following[0]) if following else new.with_(cursor=at.start)

    # -- deciding: each gives what the store is to keep, or None where there is nothing to do --------------------

    def range_to_mark(self) -> tuple[int, int] | None:
        """What a type's key would mark: the selection without blanks at its ends, or the word under the cursor."""
        chosen = self.selection or graphemes.word_at(self.text, self.cursor)
        if chosen is None:
            return None
        piece = self.text[chosen[0] : chosen[1]]
        start = chosen[0] + len(piece) - len(piece.lstrip())
        end = chosen[1] - (len(piece) - len(piece.rstrip()))
        return (start, end) if start < end else None

    def typed(self, label: str) -> tuple[str, Decision, Span] | None:
        """A type's key: mark the selection, retype what is under the cursor, or mark the word there."""
        if self.selection is None and (target := self.target) is not None:
            span = target.span.with_label(label)
            if target.own and span == target.span:
                return None
            what = "retype" if target.own or span != target.span else "accept"
            source = HUMAN if target.own or span != target.span else SUGGESTION
            return what, self._with(cut=[target], add=[(span, source)]), span
        chosen = self.range_to_mark()
        if chosen is None:
            return None
        span = Span(*chosen, label)
        return None if span in self.decision.spans else ("mark", self._with(add=[(span, HUMAN)]), span)

    def accepted(self, target: Target) -> Decision | None:
        """A suggestion taken over as it is."""
        return None if target.own else self._with(add=[(target.span, SUGGESTION)])

    def removed(self, target: Target) -> Decision:
        """A suggestion turned down, or a mark deleted (and so turned down, if it was suggested)."""
        return self._with(cut=[target])

    def resized(
        self, target: Target, unit: Callable[[str, int], int], *, outward: bool
    ) -> tuple[Decision, Span] | None:
        """One end of a span moved; a suggestion becomes a mark by it.

        Args:
            target: The span.
            unit: A function of ``graphemes`` that goes in the direction the end moves.
            outward: Whether the span grows.
        """
        span, text = target.span, self.text
        old = at = span.start if self.at_start else span.end
        while True:
            following = graphemes.snap(text, unit(text, at))
            # A blank alone is nothing to add: the character behind it comes with it.
            blank = outward and not text[min(old, following) : max(old, following)].strip()
            if following == at or not blank:
                break
            at = following
        if blank:
            return None
        start, end = (following, span.end) if self.at_start else (span.start, following)
        return self._ends(target, start, end)

    def shifted(self, target: Target, unit: Callable[[str, int], int]) -> tuple[Decision, Span] | None:
        """The whole span moved by a step of ``graphemes`` at both ends."""
        return self._ends(target, unit(self.text, target.span.start), unit(self.text, target.span.end))

    def _ends(self, target: Target, start: int, end: int) -> tuple[Decision, Span] | None:
        if not 0 <= start < end <= len(self.text) or (start, end) == (target.span.start, target.span.end):
            return None
        span = Span(start, end, target.span.label)
        return self._with(cut=[target], add=[(span, HUMAN)]), span

    def split(self, target: Target) -> tuple[Decision, Span] | None:
        """A span cut in two before the cursor, blanks between the halves left out."""
        span, at = target.span, self.cursor
        left = self.text[span.start : at].rstrip()
        right = self.text[at : span.end]
        skipped = len(right) - len(right.lstrip())
        if not left or not right.strip() or not span.start < at < span.end:
            return None
        halves = Span(span.start, span.start + len(left), span.label), Span(at + skipped, span.end, span.label)
        return self._with(cut=[target], add=[(half, HUMAN) for half in halves]), halves[1]

    def merged(self, target: Target) -> tuple[Decision, Span] | None:
        """A span joined with the next one of its type (or the nearest before it)."""
        own = [t for t in self.targets if t.span.label == target.span.label and t != target]
        behind = [t for t in own if t.span.start >= target.span.start]
        other = behind[0] if behind else own[-1] if own else None
        if other is None:
            return None
        span = Span(min(target.span.start, other.span.start), max(target.span.end, other.span.end), target.span.label)
        return self._with(cut=[target, other], add=[(span, HUMAN)]), span

    def with_all(self, suggestions: Iterable[Suggestion]) -> Decision:
        """Several suggestions taken over at once."""
        return self._with(add=[(s.span, SUGGESTION) for s in suggestions])

    def with_marks(self, spans: Iterable[Span]) -> Decision:
        """Several marks added at once."""
        return self._with(add=[(span, HUMAN) for span in spans])

    def ended(self, state: DocumentState) -> Decision:
        """The document (or what is asked of it) finished: what still waits is turned down."""
        turned = {*self.decision.rejected, *(s.span for s in self.open if not s.low)}
        ranges = self.decision.ranges
        if self.scope is not None and state is DocumentState.DONE:
            ranges = joined([*ranges, self.scope])
            state = DocumentState.DONE if whole(ranges, self.text) else DocumentState.IN_PROGRESS
        return replace(self.decision, state=state, rejected=tuple(sorted(turned)), skipped=False, ranges=ranges)

    def emptied(self) -> Decision:
        """The document (or what is asked of it) finished with nothing in it."""
        mine = set(self.marks)
        kept = tuple(mark for mark in self.decision.marks if mark[0] not in mine)
        return replace(self.ended(DocumentState.DONE), marks=kept)

    def _with(self, cut: Iterable[Target] = (), add: Iterable[tuple[Span, str]] = ()) -> Decision:
        marks, rejected = dict(self.decision.marks), set(self.decision.rejected)
        proposed = {s.span for s in self.suggestions}
        for target in cut:
            marks.pop(target.span, None)
            if target.span in proposed:
                rejected.add(target.span)
        for span, source in add:
            marks.setdefault(span, source)
            rejected.discard(span)
        # Who changes what was finished finishes it again, like a whole document.
        ranges = self.decision.ranges if self.scope is None else without(self.decision.ranges, [self.scope])
        state = DocumentState.FLAGGED if self.decision.state is DocumentState.FLAGGED else DocumentState.IN_PROGRESS
        return replace(
            self.decision,
            state=state,
            marks=tuple(sorted(marks.items())),
            rejected=tuple(sorted(rejected)),
            skipped=False,
            ranges=ranges,
        )
