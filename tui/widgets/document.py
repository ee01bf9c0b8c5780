"""The document with its spans: rows of text, and beneath each row the brackets of what lies in it.

Only what is on the screen is laid out and painted, and of that only lines that
changed, so that a key costs the same in a sentence and in a megabyte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.labelling import graphemes
from tui.labelling.editor import Editor, Target
from tui.labelling.lanes import Lanes, Placed, bracket
from tui.labelling.layout import Layout, Row
from tui.theme import REVERSE, Palette

Place = tuple[int, int]
_MARGIN = 2


@dataclass(frozen=True, slots=True)
class Kind:
    """How the spans of a type are shown: its number among the types, and its key."""

    number: int
    key: str


class DocumentView(Widget, can_focus=True):
    """A document, its cursor and its spans.

    Args:
        id: As every widget's.
    """

    class Clicked(Message):
        """A person clicked on a character.

        Attributes:
            offset: Its offset.
        """

        def __init__(self, offset: int) -> None:
            super().__init__()
            self.offset = offset

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._editor = Editor("")
        self._palette: Palette | None = None
        self._kinds: Mapping[str, Kind] = {}
        self._hits: Sequence[tuple[int, int]] = ()
        self._hints: Mapping[int, str] = {}
        self._layout = Layout("", 2)
        self._lanes = Lanes([])
        self._lanes_of: tuple[Target, ...] | None = None
        self._top: Place = (0, 0)
        self._goal: int | None = None
        self._strips: list[Strip] = []
        self._places: list[Place] = []

    def show(
        self,
        editor: Editor,
        palette: Palette,
        kinds: Mapping[str, Kind],
        hits: Sequence[tuple[int, int]] = (),
        hints: Mapping[int, str] | None = None,
    ) -> None:
        """Show an editor; only lines that differ are painted again.

        Args:
            editor: What to show.
            palette: In which colours.
            kinds: How each type looks.
            hits: Places that a search found, in order.
            hints: Letters to show over the text, by the offset they stand at.
        """
        if editor.text is not self._editor.text:
            self._top, self._goal = (0, 0), None
        self._editor, self._palette, self._kinds, self._hits = editor, palette, kinds, hits
        self._hints = hints or {}
        self._paint()

    def on_resize(self) -> None:
        """Lay out anew."""
        self._paint()

    # -- moving by rows -----------------------------------------------------------------------------------------

    def vertical(self, by: int) -> int:
        """The offset some rows below (or above, by a negative number), in the same column."""
        offset = self._editor.cursor
        place = self._layout.locate(offset)
        column = self._layout.row(place).column(offset) if self._goal is None else self._goal
        for _ in range(abs(by)):
            following = self._layout.after(place) if by > 0 else self._layout.before(place)
            if following is None:
                return len(self._editor.text) if by > 0 else 0
            place = following
        self._goal = column
        return self._layout.row(place).offset(column)

    def forget_column(self) -> None:
        """The next step up or down starts from the cursor's own column."""
        self._goal = None

    def row_border(self, *, end: bool) -> int:
        """The beginning of the cursor's row, or its last character."""
        row = self._layout.row(self._layout.locate(self._editor.cursor))
        if not end:
            return row.start
        return row.end if row.last else graphemes.previous_cluster(self._editor.text, row.end)

    @property
    def page(self) -> int:
        """Rows of text that a step by a page goes."""
        full = len(self._places) >= self.size.height
        return max(1, len(set(self._places)) - 1 if full else self.size.height)

    # -- painting -----------------------------------------------------------------------------------------------

    def _paint(self) -> None:
        width, height = self.size
        if self._palette is None or not width or not height:
            return
        inner = width - _MARGIN - 1
        if self._layout.text is not self._editor.text or self._layout.width != max(2, inner):
            here = self._layout.row(self._top).start if self._layout.text is self._editor.text else 0
            self._layout = Layout(self._editor.text, inner)
            self._top = self._layout.locate(here)
        if self._lanes_of is not self._editor.targets:
            self._lanes_of = self._editor.targets
            self._lanes = Lanes([self._described(target) for target in self._lanes_of])
        self._scroll(height)
        old = self._strips
        self._strips, self._places = [], []
        place: Place | None = self._top
        while place is not None and len(self._strips) < height:
            lines = self._row_lines(self._layout.row(place), width)
            self._strips += lines
            self._places += [place] * len(lines)
            place = self._layout.after(place)
        blank = Strip.blank(width, self._palette.plain())
        self._strips = (self._strips + [blank] * height)[:height]
        changed = [y for y in range(height) if y >= len(old) or old[y] != self._strips[y]]
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def _described(self, target: Target) -> tuple[Target, str, str]:
        name, kind = target.span.label, self._kinds.get(target.span.label)
        title = name
        if not target.own and (found := self._editor.suggestion(target.span)) is not None:
            title = f"{name} {found.confidence:.0%}" if found.entity else f"{name} @{found.by}"
        return target, title, kind.key if kind and kind.key else name[:1]

    def _height(self, place: Place) -> int:
        row = self._layout.row(place)
        return 1 + max((p.lane + 1 for p in self._in_row(row)), default=0)

    def _in_row(self, row: Row) -> list[Placed]:
        return self._lanes.between(row.start, row.end) if row.end > row.start else []

    def _scroll(self, height: int) -> None:
        """Move the top so that the cursor's row is seen with its brackets, and a row around it where there is room."""
        cursor = self._layout.locate(self._editor.cursor)
        if cursor <= self._top:
            self._top = self._layout.before(cursor) or cursor if cursor < self._top else self._top
            if self._height(self._top) + self._height(cursor) > height:
                self._top = cursor
            return
        used, place = 0, self._top
        if cursor[0] - self._top[0] <= height:
            following: Place | None = place
            while following is not None and used <= height:
                used += self._height(following)
                if following == cursor and used <= height:
                    return
                following = self._layout.after(following)
        place, used = cursor, self._height(cursor)
        ahead = self._layout.after(cursor)
        if ahead is not None and used + self._height(ahead) <= height:
            used += self._height(ahead)
        while (above := self._layout.before(place)) is not None and used + self._height(above) <= height:
            place = above
            used += self._height(above)
        self._top = place

    def _row_lines(self, row: Row, width: int) -> list[Strip]:
        placed = self._in_row(row)
        lines = [self._text_line(row, placed, width)]
        for lane in range(max((p.lane + 1 for p in placed), default=0)):
            lines.append(self._lane_line(row, [p for p in placed if p.lane == lane], width))
        return lines

    def _text_line(self, row: Row, placed: Sequence[Placed], width: int) -> Strip:
        palette, editor = self._colours, self._editor
        chosen = editor.selection or (0, 0)
        cursor, behind = editor.cursor, graphemes.cluster_end(editor.text, editor.cursor)
        hits = [hit for hit in self._hits if hit[0] < row.end and row.start < hit[1]]
        asked = editor.scope or (0, len(editor.text))
        cuts = {row.start, row.end, *chosen, *asked, cursor, behind}
        cuts.update(at for p in placed for at in (p.target.span.start, p.target.span.end))
        cuts.update(at for hit in hits for at in hit)
        covered = self._covered(row) if self._hints else {}
        cuts.update(at for start, (end, _) in covered.items() for at in (start, end))
        hidden = row.start
        ordered = sorted(cut for cut in cuts if row.start <= cut <= row.end)
        segments = [Segment(" " * _MARGIN, palette.plain())]
        for first, last in pairwise(ordered):
            if first in covered:
                hidden, letters = covered[first]
                segments.append(Segment(letters, palette.hint()))
            if first < hidden:
                continue
            style = palette.plain() if asked[0] <= first < asked[1] else palette.faded()
            over = [p for p in placed if p.target.span.start <= first < p.target.span.end]
            if over:
                style = self._style(min(over, key=lambda p: len(p.target.span)).target)
            if any(hit[0] <= first < hit[1] for hit in hits):
                style += palette.found()
            if chosen[0] <= first < chosen[1]:
                style += palette.selected()
            if first == cursor:
                style += REVERSE
            segments.append(Segment(row.text(first, last), style))
        if row.last and cursor == row.end:
            segments.append(Segment(" ", palette.plain() + REVERSE))
        return Strip(segments).adjust_cell_length(width, palette.plain())

    def _covered(self, row: Row) -> dict[int, tuple[int, str]]:
        """Where letters lie over the text of a row: from which offset to which, and what is shown there."""
        covered: dict[int, tuple[int, str]] = {}
        behind = row.start
        for at in sorted(at for at in self._hints if row.start <= at < row.end):
            letters, first = self._hints[at], row.column(at)
            end = at
            while end < row.end and row.column_behind(end) < first + len(letters):
                end = graphemes.cluster_end(self._editor.text, end)
            width = row.column_behind(end) - first
            if at >= behind and len(letters) <= width:
                covered[at] = end, letters.ljust(width)
                behind = end
        return covered

    def _lane_line(self, row: Row, placed: Sequence[Placed], width: int) -> Strip:
        plain = self._colours.plain()
        at, segments = 0, [Segment(" " * _MARGIN, plain)]
        for one in placed:
            span = one.target.span
            opens, closes = span.start >= row.start, span.end <= row.end
            first = row.column(max(span.start, row.start))
            last = row.column_behind(min(span.end, row.end))
            if last <= first or first < at:
                continue
            style = self._style(one.target)
            if one.target == self._editor.target:
                style += REVERSE
            segments.append(Segment(" " * (first - at), plain))
            segments.append(Segment(bracket(last - first, one, opens=opens, closes=closes), style))
            at = last
        return Strip([s for s in segments if s.text]).adjust_cell_length(width, plain)

    def _style(self, target: Target) -> Style:
        kind = self._kinds.get(target.span.label)
        return self._colours.of_type(kind.number if kind else 7, own=target.own)

    @property
    def _colours(self) -> Palette:
        assert self._palette is not None  # nothing is painted before the first ``show``
        return self._palette

    def render_line(self, y: int) -> Strip:
        """The line at a height."""
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)

    @property
    def plain(self) -> str:
        """What is shown, as text."""
        return "\n".join(strip.text.rstrip() for strip in self._strips)

    @property
    def seen(self) -> tuple[int, int]:
        """Offsets of the first character on the screen, and behind the last."""
        if not self._places:
            return 0, 0
        return self._layout.row(self._places[0]).start, self._layout.row(self._places[-1]).end

    @property
    def progress(self) -> float:
        """How far down the document the screen is, 0 to 1."""
        if not self._places or not self._editor.text:
            return 1.0
        last = self._layout.row(self._places[-1])
        return min(1.0, last.end / len(self._editor.text))

    # -- the mouse, for those who have one ------------------------------------------------------------------------

    def on_click(self, event: events.Click) -> None:
        """To the character that was clicked on."""
        if event.y < len(self._places):
            row = self._layout.row(self._places[event.y])
            self.post_message(self.Clicked(row.offset(max(0, event.x - _MARGIN))))

    def on_mouse_scroll_down(self) -> None:
        """Three rows down."""
        self.post_message(self.Clicked(self.vertical(3)))

    def on_mouse_scroll_up(self) -> None:
        """Three rows up."""
        self.post_message(self.Clicked(self.vertical(-3)))
