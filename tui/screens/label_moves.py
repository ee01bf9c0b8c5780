"""Moving, selecting, and changing where a span begins and ends.

What a command is for is said once, in the table of ``tui/keymap.py``.
"""

# ruff: noqa: D102

from __future__ import annotations

from tui.labelling import graphemes
from tui.screens.label_base import CommandBase, Move


class Moves(CommandBase):
    """Commands that move the cursor, select, and change spans."""

    # -- move ---------------------------------------------------------------------------------------------------

    def do_left(self) -> None:
        self._step(graphemes.previous_cluster)

    def do_right(self) -> None:
        self._step(graphemes.next_cluster)

    def do_up(self) -> None:
        self._vertical(-1)

    def do_down(self) -> None:
        self._vertical(1)

    def do_word_right(self) -> None:
        self._step(graphemes.word_end if self.editor.anchor is not None else graphemes.next_word)

    def do_word_left(self) -> None:
        self._step(graphemes.previous_word)

    def do_word_end(self) -> None:
        self._step(graphemes.word_end)

    def do_sentence_right(self) -> None:
        self._step(graphemes.next_sentence)

    def do_sentence_left(self) -> None:
        self._step(graphemes.previous_sentence)

    def do_row_start(self) -> None:
        self.editor = self.editor.moved(self.view.row_border(end=False))

    def do_row_end(self) -> None:
        self.editor = self.editor.moved(self.view.row_border(end=True))

    def do_page_down(self) -> None:
        self._vertical(self.view.page)

    def do_page_up(self) -> None:
        self._vertical(-self.view.page)

    def do_document_start(self) -> None:
        self.editor = self.editor.moved(0)

    def do_document_end(self) -> None:
        self.editor = self.editor.moved(len(self.editor.text))

    def _to(self, by: int, own: bool | None) -> None:
        self.editor = self.editor.to_target(by, own=own)
        if not any(own is None or t.own is own for t in self.editor.targets):
            self.say("nothing is marked yet" if own else "nothing is marked or suggested here")

    def do_next_suggestion(self) -> None:
        self._to(1, None)

    def do_previous_suggestion(self) -> None:
        self._to(-1, None)

    def do_next_mark(self) -> None:
        self._to(1, True)

    def do_previous_mark(self) -> None:
        self._to(-1, True)

    # -- select -------------------------------------------------------------------------------------------------

    def do_select(self) -> None:
        self.editor = self.editor.selecting()

    def do_swap_end(self) -> None:
        self.editor = self.editor.swapped()
        if self.editor.anchor is None:
            self.say(f"longer and shorter work on the {'front' if self.editor.at_start else 'rear'} end")

    def do_extend_left(self) -> None:
        self._step(graphemes.previous_cluster, extend=True)

    def do_extend_right(self) -> None:
        self._step(graphemes.next_cluster, extend=True)

    def do_extend_up(self) -> None:
        self._vertical(-1, extend=True)

    def do_extend_down(self) -> None:
        self._vertical(1, extend=True)

    def do_extend_word_right(self) -> None:
        self._step(graphemes.word_end, extend=True)

    def do_extend_word_left(self) -> None:
        self._step(graphemes.previous_word, extend=True)

    def do_cancel(self) -> None:
        self.chord = None
        self.hits, self.needle = [], ""
        self.editor = self.editor.cleared()

    # -- change a span ------------------------------------------------------------------------------------------

    def _resize(self, *, outward: bool, word: bool) -> None:
        if (target := self._target()) is None:
            return
        ahead = outward is not self.editor.at_start
        unit: Move = graphemes.next_cluster if ahead else graphemes.previous_cluster
        if word and self.editor.at_start:
            unit = graphemes.next_word if ahead else graphemes.previous_word
        elif word:
            unit = _end_on if ahead else _end_back
        done = self.editor.resized(target, unit, outward=outward)
        self._decide("longer" if outward else "shorter", done, "now", otherwise="it cannot go further")

    def do_grow(self) -> None:
        self._resize(outward=True, word=False)

    def do_shrink(self) -> None:
        self._resize(outward=False, word=False)

    def do_grow_word(self) -> None:
        self._resize(outward=True, word=True)

    def do_shrink_word(self) -> None:
        self._resize(outward=False, word=True)

    def do_move_left(self) -> None:
        if target := self._target():
            done = self.editor.shifted(target, graphemes.previous_cluster)
            self._decide("move", done, "now", otherwise="it cannot go further")

    def do_move_right(self) -> None:
        if target := self._target():
            done = self.editor.shifted(target, graphemes.next_cluster)
            self._decide("move", done, "now", otherwise="it cannot go further")

    def do_split(self) -> None:
        if target := self._target():
            where = "put the cursor inside the span, behind its first character"
            self._decide("split", self.editor.split(target), "split before", otherwise=where)

    def do_merge(self) -> None:
        if target := self._target():
            self._decide("merge", self.editor.merged(target), "joined", otherwise=f"no other {target.span.label} here")


def _end_on(text: str, end: int) -> int:
    """From the end of a span to the end of the next word."""
    return graphemes.cluster_end(text, graphemes.word_end(text, graphemes.previous_cluster(text, end)))


def _end_back(text: str, end: int) -> int:
    """From the end of a span to the end of the word before its last."""
    start = graphemes.previous_word(text, end)
    return len(text[:start].rstrip())
