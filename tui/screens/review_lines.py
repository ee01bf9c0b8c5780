"""The review screens' tables as lines: agreement by type, and the spans that versions differ in."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import set_cell_size
from rich.style import Style

from agent.campaign.agreement import Agreement
from tools.metrics.intervals import Interval
from tui.theme import Palette
from tui.views.review import Mix, agreement_rows, shown_name, together
from tui.widgets.lines import Piece, cut

_NAME = 7


def agreement_lines(found: Agreement | None, pair: int, palette: Palette, height: int) -> list[list[Piece]]:
    """How far two agree, by type.

    Args:
        found: The figures; None while they are worked out.
        pair: Which two.
        palette: The colours.
        height: The most lines.
    """
    plain, faded, bold = palette.plain(), palette.faded(), palette.bold()
    if found is None:
        return [[(" agreement is being worked out", faded)]]
    if not found.pairs:
        return [[(" agreement can be told when two have labelled the same document", faded)]]
    one = found.pairs[pair % len(found.pairs)]
    which = f"  ({pair % len(found.pairs) + 1} of {len(found.pairs)} pairs)" if len(found.pairs) > 1 else ""
    documents = f"  {one.f1.documents} document{'s' if one.f1.documents != 1 else ''}"
    lines: list[list[Piece]] = [
        [(f" {shown_name(one.one)} and {shown_name(one.other)}", bold), (documents + which, plain)],
        [(f" {'type':<18} {'span F1':>7}  {'95 %':<14} {'alpha':>6}  {'95 %':<14}", faded)],
    ]
    rows = agreement_rows(one)
    room = height - 3
    for row in rows if len(rows) <= room else rows[: room - 1]:
        f1 = f"{row.f1.point:.3f}" if row.f1 else ""
        alpha = f"{row.alpha:.3f}" if row.alpha is not None else ""
        lines.append(
            [
                (f" {set_cell_size(row.name, 18)} {f1:>7}  ", plain),
                (f"{_ends(row.f1):<14}", faded),
                (f" {alpha:>6}  ", plain),
                (f"{_ends(row.alpha_interval):<14}", faded),
            ]
        )
    if len(rows) > room:
        lines.append([(f" {len(rows) - room + 1} more types: quorum agreement --json", faded)])
    decided = f"; {found.resolutions} decided in review, not counted" if found.resolutions else ""
    lines.append([(f" {together(found)}{decided}", plain)])
    return lines


def _ends(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.3f}-{interval.high:.3f}"


def span_head(mix: Mix, width: int, palette: Palette) -> list[Piece]:
    """The heading over the spans: whose column is whose."""
    mention, kind = _widths(mix, width)
    strip = palette.strip()
    pieces: list[Piece] = [(f"   {'decision':<9}  {set_cell_size('mention', mention)} ", strip)]
    pieces.append((f"{set_cell_size('type', kind)} ", strip))
    for number, name in enumerate(mix.names, 1):
        pieces.append((f"{number}", palette.key() if number < 10 else strip))
        pieces.append((f" {set_cell_size(shown_name(name), _NAME - 1)} ", strip))
    return pieces


def span_row(
    mix: Mix, place: int, shown: Sequence[int], text: str, width: int, palette: Palette, kind_style: Style
) -> list[Piece]:
    """A span: what was decided, where it is, who has it; a bracket joins those that share text.

    Args:
        mix: The choices.
        place: The row's number.
        shown: The choices that are listed, by row.
        text: The document's text.
        width: Cells there are.
        palette: The colours.
        kind_style: How the type is shown.
    """
    number = shown[place]
    mention, kind = _widths(mix, width)
    one, kept = mix.choices[number], mix.keep[number]
    state = "? decide" if kept is None else "\u2713 keep" if kept else "\u00d7 drop"
    words = " ".join(one.span.text_in(text).split())
    before = place > 0 and mix.choices[shown[place - 1]].group == one.group
    after = place + 1 < len(shown) and mix.choices[shown[place + 1]].group == one.group
    sign = "\u2502" if before and after else "\u2514" if before else "\u250c" if after else " "
    plain, faded = palette.plain(), palette.faded()
    pieces: list[Piece] = [
        (f" {state:<9}", plain + Style(bold=kept is None)),
        (f"{sign} ", faded),
        (f"{cut(words, mention)} ", plain if mix.differs(number) else faded),
        (f"{set_cell_size(one.span.label, kind)} ", kind_style),
    ]
    pieces += [
        (f"{chr(0x2713) if name in one.holders else chr(0xB7):<{_NAME + 2}}", plain if name in one.holders else faded)
        for name in mix.names
    ]
    return pieces


def _widths(mix: Mix, width: int) -> tuple[int, int]:
    """Cells for a mention and for its type."""
    left = max(20, width - 15 - (_NAME + 2) * len(mix.names))
    kind = min(14, left // 3)
    return max(8, min(50, left - kind - 2)), kind
