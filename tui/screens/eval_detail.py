"""A document of an evaluation as lines: gold and prediction, errors, votes, and every question with its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len
from rich.style import Style

from evals.browse import Case
from evals.records import CandidateRow, PassDocument, PredictedRow, PromptText, SpanRow, StepRow
from tui.labelling.layout import Layout, safe
from tui.theme import Palette
from tui.widgets.lines import Piece

SIDE_BY_SIDE = 110
_SIGNS = {"right": "✓", "type": "≠", "boundary": "↔", "extra": "+", "missed": "missed"}
Line = list[Piece]
Mark = tuple[SpanRow, str, float | None]
"""A span, how it stands to the other side, and its confidence."""


@dataclass(frozen=True, slots=True)
class Detail:
    """A line, and the question that Enter shows the prompt of."""

    pieces: Line
    step: StepRow | None = None


def detail(
    case: Case, document: PassDocument | None, labels: Sequence[str], palette: Palette, width: int, *, before: bool
) -> list[Detail]:
    """All lines about a document.

    Args:
        case: What the cell made of it.
        document: Its text, questions and answers; None where they were not kept.
        labels: Types in the order of their colours.
        palette: The colours.
        width: Of the screen, in cells.
        before: Show what the baseline decided, too.
    """
    plain, bold = palette.plain(), palette.plain() + Style(bold=True)
    lines: list[Line] = []
    if document is None:
        lines.append([("The text was not kept: this log is a baseline.", palette.faded())])
    gold = [(span, _standing(span, [_row(p) for p in case.predicted], mine=False)) for span in case.gold]
    guess = [((p.start, p.end, p.label), p.confidence) for p in case.predicted]
    right: list[Mark] = [(span, _standing(span, case.gold, mine=True), c) for span, c in guess]
    sides: list[tuple[str, list[Mark]]] = [("gold", [(s, how, None) for s, how in gold]), ("prediction", right)]
    if before and case.before is not None:
        old = [((p.start, p.end, p.label), p.confidence) for p in case.before]
        sides.append(("baseline", [(s, _standing(s, case.gold, mine=True), c) for s, c in old]))
    lines += _sides(sides, document, labels, palette, width)
    lines.append([("", plain)])
    lines.append([(f"Errors ({len(case.faults)})" if case.faults else "No errors", bold)])
    text = document.text if document is not None else None
    for fault in case.faults:
        said = " → ".join(
            ", ".join(f"“{_words(text, span)}” {span[2]}" for span in side)
            for side in (fault.gold, fault.predicted)
            if side
        )
        by = f"   charged to {', '.join(fault.steps)}" if fault.steps else ""
        lines.append([(f"  {fault.kind:<11} ", bold), (said, plain), (by, palette.faded())])
    found = [Detail(line) for line in lines]
    if document is not None:
        found += _asked(case, document, palette)
    return [fitting for one in found for fitting in _fitting(one, palette, width)]


def _fitting(one: Detail, palette: Palette, width: int) -> list[Detail]:
    """A line that is too long goes on below, set in; questions stay one line each: Enter shows all of them."""
    if one.step is not None or sum(cell_len(safe(text)) for text, _ in one.pieces) <= width:
        return [one]
    rows = _wrapped(one.pieces, width - 6)
    return [Detail(row if n == 0 else [("      ", palette.plain()), *row]) for n, row in enumerate(rows)]


def _row(p: PredictedRow) -> SpanRow:
    return p.start, p.end, p.label


def _words(text: str | None, span: SpanRow) -> str:
    return f"{span[0]}-{span[1]}" if text is None else " ".join(text[span[0] : span[1]].split())


def _standing(span: SpanRow, others: Sequence[SpanRow], *, mine: bool) -> str:
    if span in others:
        return "right"
    if any(other[:2] == span[:2] for other in others):
        return "type"
    if any(other[0] < span[1] and span[0] < other[1] for other in others):
        return "boundary"
    return "extra" if mine else "missed"


def _sides(
    sides: Sequence[tuple[str, Sequence[Mark]]],
    document: PassDocument | None,
    labels: Sequence[str],
    palette: Palette,
    width: int,
) -> list[Line]:
    beside = width >= SIDE_BY_SIDE
    column = (width - 3) // len(sides) - 3 if beside else width - 4
    heads: list[Line] = []
    blocks: list[list[Line]] = []
    for name, marks in sides:
        heads.append([(name, palette.faded() + Style(bold=True))])
        if document is None:
            listed = [f"{label} {a}-{b} {_SIGNS[how]}" for (a, b, label), how, _ in marks] or ["nothing"]
            blocks.append([[(one, palette.plain())] for one in listed])
        else:
            blocks.append(marked(document.text, marks, labels, palette, column))
    if not beside:
        lines: list[Line] = []
        for head, block in zip(heads, blocks, strict=True):
            lines += [head, *([("  ", palette.plain()), *line] for line in block)]
        return lines
    whole = [[head, *block] for head, block in zip(heads, blocks, strict=True)]
    joined: list[Line] = []
    for row in zip_longest(*whole, fillvalue=[]):
        line: Line = []
        for cells in row:
            used = sum(cell_len(safe(text)) for text, _ in cells)
            line += [*cells, (" " * max(0, column + 3 - used), palette.plain())]
        joined.append(line)
    return joined


def marked(
    text: str,
    marks: Sequence[Mark],
    labels: Sequence[str],
    palette: Palette,
    width: int,
) -> list[Line]:
    """A text with its spans in brackets, each followed by its type, how it stands and its confidence.

    Args:
        text: The document's.
        marks: Spans, how each stands to the other side, and its confidence.
        labels: Types in the order of their colours.
        palette: The colours.
        width: Cells a line may take.
    """
    inside = [mark for mark in marks if mark[0][1] <= len(text)]
    cuts = sorted({0, len(text), *(a for (a, _, _), _, _ in inside), *(b for (_, b, _), _, _ in inside)})
    parts: list[Piece] = []
    for at, cut in enumerate(cuts):
        for span, how, confidence in sorted((m for m in inside if m[0][1] == cut), key=lambda m: -m[0][0]):
            number = labels.index(span[2]) if span[2] in labels else 0
            sure = "" if confidence is None else f" {confidence:.2f}"
            parts.append((f"]{span[2]} {_SIGNS[how]}{sure}", _style(palette, number, how)))
        for span, how, _ in sorted((m for m in inside if m[0][0] == cut), key=lambda m: -m[0][1]):
            number = labels.index(span[2]) if span[2] in labels else 0
            parts.append(("[", _style(palette, number, how)))
        if at + 1 < len(cuts):
            under = [m for m in inside if m[0][0] <= cut and cuts[at + 1] <= m[0][1]]
            style = palette.plain()
            if under:
                (_, _, label), how, _ = min(under, key=lambda m: m[0][1] - m[0][0])
                number = labels.index(label) if label in labels else 0
                style = _style(palette, number, how)
            parts.append((text[cut : cuts[at + 1]], style))
    return _wrapped(parts, width)


def _style(palette: Palette, number: int, how: str) -> Style:
    return palette.of_type(number, own=how == "right") + Style(underline=how != "right")


def _wrapped(parts: Sequence[Piece], width: int) -> list[Line]:
    """Pieces cut into lines at blanks, as the labelling screen cuts its texts."""
    whole = "".join(text for text, _ in parts)
    layout = Layout(whole, width)
    borders: list[tuple[int, int, Style]] = []
    at = 0
    for text, style in parts:
        borders.append((at, at + len(text), style))
        at += len(text)
    lines: list[Line] = []
    for block in range(layout.blocks):
        for row in layout.rows(block):
            line = [
                (row.text(max(a, row.start), min(b, row.end)), style)
                for a, b, style in borders
                if a < row.end and row.start < b
            ]
            lines.append(line)
    return lines


def _asked(case: Case, document: PassDocument, palette: Palette) -> list[Detail]:
    plain, bold, faded = palette.plain(), palette.plain() + Style(bold=True), palette.faded()
    accepted = {(p.start, p.end): p for p in case.predicted}
    lines: list[Line] = [[("", plain)], [(f"Candidates ({len(document.candidates)})", bold)]]
    for one in sorted(document.candidates, key=lambda c: c.span):
        decided = accepted.get((one.span[0], one.span[1]))
        verdict = "turned down" if decided is None else f"accepted as {decided.label}, {decided.confidence:.2f}"
        said = "" if one.verdict is None else f"   verifier yes {one.verdict:.2f}"
        lines.append([(f"  {_words(document.text, one.span)}", bold), (f"   {verdict}{said}", plain)])
        lines.append([(f"    proposed by {', '.join(one.proposers) or 'nobody'};  {_votes(one)}", faded)])
    if document.ungrounded:
        lines.append([(f"  written, not in the text: {', '.join(document.ungrounded)}", plain)])
    if document.reason:
        lines.append([(f"  {document.outcome}: {document.reason}", plain)])
    if document.demonstrations:
        lines.append([(f"  shown: {', '.join(document.demonstrations)}", faded)])
    lines += [[("", plain)], [(f"Asked and answered ({len(document.steps)}); Enter shows the prompt", bold)]]
    found = [Detail(line) for line in lines]
    for step in document.steps:
        about = f"“{_words(document.text, step.about)}”" if step.about else ""
        answer = f"failed: {step.failure}" if step.failure else " | ".join(step.answer.split("\n")).strip(" |") or "-"
        found.append(
            Detail(
                [
                    (f"  {step.step:<15} {step.member:<8} ", plain),
                    (f"{about} " if about else "", faded),
                    ("→ ", faded),
                    (answer, bold),
                    (_sure(step), faded),
                ],
                step,
            )
        )
    return found


def _votes(one: CandidateRow) -> str:
    return ", ".join(f"{vote.member}: {vote.label or 'none'} {vote.probability:.2f}" for vote in one.votes) or "no vote"


def _sure(step: StepRow) -> str:
    from math import exp

    return "   " + ", ".join(f"{text.strip() or '?'} {exp(p):.2f}" for text, p in step.alternatives[:4])


def prompt_lines(step: StepRow, prompt: PromptText | None, palette: Palette, width: int) -> list[Line]:
    """A question as the member read it, its answer, and what it took.

    Args:
        step: The question.
        prompt: Its text; None where it was not kept.
        palette: The colours.
        width: Cells a line may take.
    """
    plain, bold, faded = palette.plain(), palette.plain() + Style(bold=True), palette.faded()
    prompt_tokens, cached, written = step.tokens
    lines: list[Line] = [
        [(f"{step.step}, asked of {step.member}", bold)],
        [
            (
                f"{prompt_tokens:,} tokens read ({cached:,} from the prefix cache), {written:,} written, "
                + ("from the response cache" if step.from_cache else f"{step.seconds:.2f} s"),
                faded,
            )
        ],
    ]
    for role, text in prompt.messages if prompt is not None else (("", "The prompt was not kept."),):
        lines += [[("", plain)], [(role, bold)], *_wrapped([(text, plain)], width)]
    lines += [[("", plain)], [("answer", bold)], *_wrapped([(step.failure or step.answer or "-", plain)], width)]
    return lines
