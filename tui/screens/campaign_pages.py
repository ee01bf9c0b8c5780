"""The campaign screen's tables and pages as lines: types, rounds, why a document was chosen, what figures mean."""

from __future__ import annotations

import textwrap

from tui.theme import Palette
from tui.views.campaign import CampaignView, ItemRow, TypeRow, duration
from tui.views.reasons import reason_details
from tui.widgets.lines import Piece, cut, wrapped

_BAR = 30


def type_lines(
    view: CampaignView, palette: Palette, height: int = 10**6, *, wide: bool = False, more: str = ""
) -> list[list[Piece]]:
    """F1 by type.

    Args:
        view: The campaign.
        palette: The colours.
        height: The most lines.
        wide: Whether there is room for bars.
        more: The key that shows all of them.
    """
    plain, faded, bold = palette.plain(), palette.faded(), palette.bold()
    rows = view.types
    lines: list[list[Piece]] = [[(f"{'type':<14} {'F1':>4}  {'95 %':<9} {'gold':>4}", bold)]]
    if not rows:
        return [*lines, [("no type has been measured yet", faded)]]
    shown = rows if len(rows) + 1 <= height else rows[: height - 2]
    for row in shown:
        ends = "" if row.low is None or row.high is None else f"{_two(row.low)}-{_two(row.high)}"
        line: list[Piece] = [(cut(row.name, 14) + " ", plain), (f"{_two(row.f1):>4}", bold)]
        line.append((f"  {ends:<9} {row.support:>4}", plain))
        if wide:
            line.append(("  " + _bar(row), faded))
        lines.append(line)
    if len(shown) < len(rows):
        lines.append([(f"{len(rows) - len(shown)} more: {more}", faded)])
    if wide:
        lines += [
            [("", plain)],
            [("F1 on the audit documents, strict; the bar is its 95 % interval.", faded)],
        ]
    return lines


def _two(value: float) -> str:
    return "1.0" if value >= 0.995 else f"{value:.2f}".removeprefix("0")


def _bar(row: TypeRow) -> str:
    cells = ["\u00b7"] * (_BAR + 1)
    if row.low is not None and row.high is not None:
        for place in range(round(row.low * _BAR), round(row.high * _BAR) + 1):
            cells[place] = "\u2500"
    cells[round(row.f1 * _BAR)] = "\u25cf"
    return "".join(cells)


def round_lines(view: CampaignView, palette: Palette) -> list[list[Piece]]:
    """All rounds, the latest first."""
    plain, faded, bold = palette.plain(), palette.faded(), palette.bold()
    heads = f"{'round':>5} {'asked':>5} {'labels':>6} {'audit':>5}  {'F1':<22} {'prec.':>5} {'recall':>6}  time"
    lines: list[list[Piece]] = [[(heads, bold)]]
    for row in reversed(view.rounds):
        said = f"{row.number:>5} {row.items:>5} {row.labels or '':>6} {row.audit or '':>5}  "
        if row.f1 is None or row.low is None or row.high is None:
            said += f"{row.state if row.labels is None else 'not known':<22} {'':>5} {'':>6}  "
        else:
            ends = f"{row.f1:.3f} ({row.low:.3f}-{row.high:.3f})"
            said += f"{ends:<22} {row.precision:>5.3f} {row.recall:>6.3f}  "
        said += duration(row.seconds) if row.seconds is not None else ""
        lines.append([(said, plain), ("" if row.same else "  other settings", faded)])
    return lines


def why_lines(row: ItemRow, palette: Palette, width: int) -> list[list[Piece]]:
    """All that is known of an item."""
    plain, bold = palette.plain(), palette.bold()
    item = row.item
    wanted = "one answer" if item.wanted == 1 else f"{item.wanted} annotators"
    stands = f"round {item.round}, place {item.position + 1}, wants {wanted}: {row.state}"
    lines: list[list[Piece]] = [[(stands, plain)]]
    if item.audit:
        said = "For the audit: drawn at random, labelled without suggestions, never shown to the models."
        lines += wrapped(said, width, plain)
    lines += [[("", plain)], [("What the selection noted", bold)]]
    for name, value in reason_details(item.reason):
        for place, line in enumerate(textwrap.wrap(value, max(20, width - 30)) or [""]):
            lines.append([(f"  {'' if place else name:<27} ", palette.faded()), (line, plain)])
    if not item.reason:
        lines.append([("  nothing", plain)])
    lines += [[("", plain)], [("Its text begins", bold)]]
    lines += wrapped(row.head, width, plain, "  ")
    return lines


def outlook_lines(view: CampaignView, palette: Palette, width: int) -> list[list[Piece]]:
    """The figures in whole sentences, and what they rest on."""
    plain, bold = palette.plain(), palette.bold()
    parts = (
        ("F1 now", view.figures()),
        ("More labels", view.outlook or "No round has been measured yet."),
        ("When it stops", view.rule()),
        ("Cost", view.spent()),
        (
            "What they rest on",
            "F1 is estimated on audit documents only: drawn at random, never shown to the models, never trained on. "
            "Its interval (95 %) comes from drawing the documents again. What more labels would bring is a curve "
            "through the rounds; in brackets, and shaded in the picture, the band that holds eight in ten draws. "
            "Rounds under other settings are drawn hollow and left out of the curve.",
        ),
    )
    lines: list[list[Piece]] = []
    for name, text in parts:
        lines += [[(name, bold)], *wrapped(text, width, plain, "  "), [("", plain)]]
    return lines[:-1]
