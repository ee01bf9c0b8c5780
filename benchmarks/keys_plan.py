"""Which keys a sensible annotator would press to turn what the labelling screen shows into gold.

The planner knows the gold, sees what the screen sees (an ``Editor``), and looks for the shortest way with the keys of
the default preset: one search for each span, over the editor's own functions, in text order. What to do
with suggestions is worked out in several ways and the cheapest taken: put the wrong ones right and accept the rest
with the document (``all_and_done``), accept the right ones and leave the rest to ``done``, accept all above a
confidence first, or wipe the lot with ``nothing`` where there is nothing to mark.

A person is slower with their eyes and less exact with their fingers; both sides of a comparison get the same help.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import chain, count

from tools.annotation import Span
from tui.keymap import Keymap
from tui.labelling import graphemes
from tui.labelling.editor import Editor, Suggestion
from tui.labelling.hints import hints_for
from tui.labelling.layout import Layout
from tui.labelling.session import settled
from tui.screens.label_moves import _end_back, _end_on

_MOST_STATES = 60_000
# Rows of text that are on a screen of 24 lines whatever brackets lie between them: letters to jump by are on it, too.
_ROWS = 7
Move = Callable[[str, int], int]
_MOVES: dict[str, Move] = {
    "word_right": graphemes.next_word,
    "word_left": graphemes.previous_word,
    "word_end": graphemes.word_end,
    "right": graphemes.next_cluster,
    "left": graphemes.previous_cluster,
    "sentence_right": graphemes.next_sentence,
    "sentence_left": graphemes.previous_sentence,
    "document_start": lambda text, at: 0,
    "document_end": lambda text, at: len(text),
}
_EXTENDING: dict[str, Move] = {
    "extend_word_right": graphemes.word_end,
    "extend_word_left": graphemes.previous_word,
    "extend_right": graphemes.next_cluster,
    "extend_left": graphemes.previous_cluster,
}


@dataclass(frozen=True, slots=True)
class State:
    """An editor, and the column that steps up and down keep to."""

    editor: Editor
    column: int | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """What tells two states apart."""
        e = self.editor
        return (e.cursor, e.anchor, e.at_start, e.focus, e.decision.marks, e.decision.rejected, self.column)


class Planner:
    """Plans the keys of one document.

    Args:
        keymap: Which key is which command.
        width: Columns of text in a row of the screen.
    """

    def __init__(self, keymap: Keymap, width: int) -> None:
        self._keymap, self._width = keymap, width
        self._layout = Layout("", width)

    def plan(self, editor: Editor, gold: frozenset[Span]) -> list[str]:
        """The keys, to be pressed one after the other; the last one finishes the document.

        Raises:
            RuntimeError: The gold cannot be reached by the keys that the planner knows.
        """
        if self._layout.text is not editor.text:
            self._layout = Layout(editor.text, self._width)
        ways = [way for way in self._ways(editor, gold) if way is not None]
        if not ways:
            raise RuntimeError(f"no way to {sorted(gold)} was found")
        return min(ways, key=len)

    # -- the ways -----------------------------------------------------------------------------------------------

    def _ways(self, editor: Editor, gold: frozenset[Span]) -> Iterator[list[str] | None]:
        waiting = tuple(s for s in editor.open if not s.low)
        if not gold:
            yield self._key("nothing")
            return
        yield self._leaving([], State(editor), gold)
        if waiting:
            yield self._taking([], State(editor), gold)
        if any(s.low and s.span in gold for s in editor.suggestions):
            # What the quorum itself turned down holds something that is right: shown, it can be accepted.
            all_shown = State(editor.with_(show_low=True))
            yield self._leaving(self._key("low"), all_shown, gold)
            if waiting:
                yield self._taking(self._key("low"), all_shown, gold)
            for keys, bound in self._thresholds(waiting):
                chosen = [s for s in waiting if s.confidence >= bound]
                taken = editor.after_deciding(editor.with_all(chosen)) if chosen else None
                if taken is not None and len(chosen) > 1:
                    yield self._leaving(keys, State(taken), gold)

    def _leaving(self, keys: list[str], state: State, gold: frozenset[Span]) -> list[str] | None:
        """Mark and accept what is right, delete marks that are wrong; what still waits is turned down at the end."""
        wrong = [span for span in state.editor.decision.spans if span not in gold]
        return self._through(keys, state, gold, wrong, "done")

    def _taking(self, keys: list[str], state: State, gold: frozenset[Span]) -> list[str] | None:
        """Put right what is wrong, and take the rest with the document."""
        waiting = {s.span for s in state.editor.open if not s.low}
        wrong = sorted(waiting - gold)
        return self._through(keys, state, gold - waiting, wrong, "all_and_done")

    def _through(
        self, keys: list[str], state: State, gold: frozenset[Span], wrong: list[Span], end: str
    ) -> list[str] | None:
        found = list(keys)
        tasks = sorted([*((span, True) for span in gold), *((span, False) for span in wrong)])
        # A wrong span that overlaps one to be marked is made into it where that is shorter: mark first.
        tasks.sort(key=lambda task: (task[0].start, not task[1]))
        for span, there in tasks:
            keep = frozenset(gold) if end == "done" else gold | {s.span for s in state.editor.open}
            done = self._reach(state, span, there, keep)
            if done is None:
                return None
            steps, state = done
            found += steps
        return found + self._key(end)

    def _thresholds(self, waiting: tuple[Suggestion, ...]) -> Iterator[tuple[list[str], float]]:
        """The keys to accept all above a confidence, for each that can be typed in two figures."""
        if len(waiting) < 3:
            return
        for percent in sorted({int(s.confidence * 100) for s in waiting} | {90}):
            if percent >= 10:
                typed = [] if percent == 90 else list(str(percent))
                yield [*self._key("accept_above"), *typed, "enter"], percent / 100

    # -- one span -----------------------------------------------------------------------------------------------

    def _reach(self, state: State, span: Span, there: bool, keep: frozenset[Span]) -> tuple[list[str], State] | None:
        """The shortest way to a state where a span is marked, or neither marked nor suggested, and nothing is lost.

        Args:
            state: Where to begin.
            span: What it is about.
            there: Whether it is to be marked; else it is to be gone.
            keep: Spans that must stay as they are.
        """

        def reached(editor: Editor) -> bool:
            if there:
                return span in editor.decision.spans
            return all(target.span != span for target in editor.targets)

        if reached(state.editor):
            return [], state
        before = frozenset(state.editor.decision.spans) & keep
        open_before = frozenset(s.span for s in state.editor.open) & keep
        came: dict[tuple[object, ...], tuple[State | None, list[str], int]] = {state.key: (None, [], 0)}
        turn = count()  # of equal costs, who came first
        queue: list[tuple[int, int, State]] = [(0, next(turn), state)]
        while queue:
            cost, _, here = heappop(queue)
            if reached(here.editor):
                return self._back(came, here), here
            if len(came) > _MOST_STATES:
                return None
            if came[here.key][2] < cost:
                continue
            steps = self._next(here, span, there)
            for keys, following in steps if here is not state else chain(steps, self._jumps(here, span)):
                total = cost + len(keys)
                if following.key in came and came[following.key][2] <= total:
                    continue
                marks = frozenset(following.editor.decision.spans)
                lost = (before | open_before) - marks - {s.span for s in following.editor.open}
                if lost - {span}:
                    continue
                came[following.key] = (here, keys, total)
                heappush(queue, (total, next(turn), following))
        return None

    def _jumps(self, state: State, span: Span) -> Iterator[tuple[list[str], State]]:
        """The letters that jump to where a span, or something that overlaps it, begins; where all is on the screen."""
        editor = state.editor
        place: tuple[int, int] | None = (0, 0)
        for _ in range(_ROWS):
            place = self._layout.after(place) if place is not None else None
        if place is not None:
            return
        for letters, hint in hints_for(editor, 0, len(editor.text)).items():
            near = span.start <= hint.at < span.end or (hint.target is not None and hint.target.span.overlaps(span))
            if near:
                landed = editor.focused(hint.target) if hint.target and editor.anchor is None else editor.moved(hint.at)
                yield [*self._key("jump"), *letters], State(landed)

    def _back(self, came: dict[tuple[object, ...], tuple[State | None, list[str], int]], end: State) -> list[str]:
        steps: list[list[str]] = []
        at: State | None = end
        while at is not None:
            at, keys, _ = came[at.key]
            steps.append(keys)
        return [key for keys in reversed(steps) for key in keys]

    def _next(self, state: State, span: Span, there: bool) -> Iterator[tuple[list[str], State]]:
        """What each key leads to, as far as it can help with a span."""
        editor = state.editor
        target = editor.target
        near = target is not None and target.span.overlaps(span)
        changing = near and target is not None and (target.span != span if target.own else there)
        if target is not None and editor.selection is None:
            yield from self._deciding(editor, target.span, span, there)
        if changing:
            yield from self._resizing(editor)
            yield self._key("swap_end"), State(editor.swapped())
        if there:
            chosen = editor.range_to_mark()
            if chosen is not None and chosen[0] < span.end and span.start < chosen[1]:
                done = editor.typed(span.label)
                if done is not None and (done[2].overlaps(span)):
                    what, decision, at = done
                    yield self._type(span.label), State(settled(editor, decision, at, go_on=what != "mark"))
        yield from self._moving(state, span)

    def _deciding(self, editor: Editor, at: Span, span: Span, there: bool) -> Iterator[tuple[list[str], State]]:
        target = editor.target
        assert target is not None
        if at == span and there and not target.own:
            decision = editor.accepted(target)
            if decision is not None:
                yield self._key("accept"), State(settled(editor, decision, at, go_on=True))
        if at == span and not there:
            yield self._key("reject"), State(settled(editor, editor.removed(target), at, go_on=True))

    def _resizing(self, editor: Editor) -> Iterator[tuple[list[str], State]]:
        target = editor.target
        assert target is not None
        for command, outward, word in (
            ("grow", True, False),
            ("shrink", False, False),
            ("grow_word", True, True),
            ("shrink_word", False, True),
        ):
            ahead = outward is not editor.at_start
            unit: Move = graphemes.next_cluster if ahead else graphemes.previous_cluster
            if word and editor.at_start:
                unit = graphemes.next_word if ahead else graphemes.previous_word
            elif word:
                unit = _end_on if ahead else _end_back
            done = editor.resized(target, unit, outward=outward)
            if done is not None:
                yield self._key(command), State(settled(editor, done[0], done[1], go_on=False))

    def _moving(self, state: State, span: Span) -> Iterator[tuple[list[str], State]]:
        editor = state.editor
        for command, move in _MOVES.items():
            actual = graphemes.word_end if command == "word_right" and editor.anchor is not None else move
            yield self._key(command), State(editor.step(actual))
        if any(not target.own for target in editor.targets):
            for command, by in (("next_suggestion", 1), ("previous_suggestion", -1)):
                yield self._key(command), State(editor.to_target(by))
        if any(target.own for target in editor.targets):
            for command, by in (("next_mark", 1), ("previous_mark", -1)):
                yield self._key(command), State(editor.to_target(by, own=True))
        yield from self._vertical(state)
        inside = span.start <= editor.cursor < span.end
        if editor.anchor is None and inside:
            yield self._key("select"), State(editor.selecting())
        if inside or editor.anchor is not None:
            for command, move in _EXTENDING.items():
                yield self._key(command), State(editor.step(move, extend=True))

    def _vertical(self, state: State) -> Iterator[tuple[list[str], State]]:
        editor, layout = state.editor, self._layout
        place = layout.locate(editor.cursor)
        row = layout.row(place)
        column = row.column(editor.cursor) if state.column is None else state.column
        for command, following in (("down", layout.after(place)), ("up", layout.before(place))):
            if following is None:
                yield self._key(command), State(editor.moved(len(editor.text) if command == "down" else 0))
            else:
                yield self._key(command), State(editor.moved(layout.row(following).offset(column)), column)
        end = row.end if row.last else graphemes.previous_cluster(editor.text, row.end)
        yield self._key("row_end"), State(editor.moved(end))
        yield self._key("row_start"), State(editor.moved(row.start))

    def _key(self, command: str) -> list[str]:
        return [self._keymap.keys_of(command)[0]]

    def _type(self, label: str) -> list[str]:
        key = self._keymap.key_of_type(label)
        return list(key)


__all__ = ["Planner", "State"]
