"""A data set on a page: what to say first, then the table of settings, plots, and tables of errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from evals.browse import Case
from evals.log import RunLog
from evals.pairs import key_of
from evals.points import points, signed
from evals.report import charts
from evals.report.browser import KINDS
from evals.report.curves import curves
from evals.report.parts import Figure, Section, Table
from evals.report.settings import Setting, short, shown
from evals.statistics import Verdict
from tools.annotation import Span
from tools.annotation.visible import visible
from tools.metrics import calibration, taxonomy

_SIGNS = {Verdict.BETTER: "▲ better", Verdict.WORSE: "▼ worse", Verdict.CANNOT_TELL: "≈ cannot tell"}
MOST_CONFUSED = 14
BEARABLE = 0.03
Made = dict[tuple[str, str], list[Case]]


def called(one: Setting, several: bool) -> str:
    """What a setting is called on the page."""
    base = "baseline: " if one.is_base and not several else ""
    return f"{one.letter}: {one.label}" if several else f"{base}{one.label}"


def section_of(
    settings: list[Setting], made: Made, runs: Sequence[RunLog], several: bool
) -> Section:  # fmt: skip
    """All that is said about one data set."""
    ranked = sorted(settings, key=lambda s: -s.f1)
    best = ranked[0]
    base = next((s for s in settings if s.is_base), None)
    ref = best.cell.header.data
    support = int(best.cell.end.figures.get("support", 0))
    # Where the baseline is the best, it stands beside the one that follows it.
    sides = ([base, best] if base is not None and base is not best else ranked[:2])[: len(ranked)]
    names = [_side(s, several, base, best) for s in sides]
    figures = [*_forest(settings, several), *_curves(settings), *_cost(settings, several)]
    figures += _reliability(sides, names)
    figures += _confusion(best, made)
    return Section(
        f"{ref.name}: {ref.documents:,} documents, {support:,} gold spans ({ref.split})",
        tuple(_sentences(ranked, base, several)),
        (_ranking(ranked, several),),
        tuple(figures),
        tuple([*_errors(sides, names, made), *_types(sides, names), *_alone(runs, ref.hash)]),
    )


def _side(one: Setting, several: bool, base: Setting | None, best: Setting) -> str:
    if one is base and not several:
        return "baseline"
    return f"{'best' if one is best else 'baseline' if one is base else 'second'} ({called(one, several)})"


def _sentences(ranked: list[Setting], base: Setting | None, several: bool) -> list[str]:
    best = ranked[0]
    spans = f"95 % interval {points(best.low)} to {points(best.high)}"
    name = "the baseline" if best.is_base and not several else called(best, several)
    found = [f"Best of {len(ranked)}: {name}, F1 {points(best.f1)} ({spans})."]
    tested = [s for s in ranked if s.row is not None and not s.row.same]
    if base is not None and not several:
        own = base.cell.header.settings
        what = ", ".join(f"{short(k)}={shown(v)}" for k, v in own.items())
        found.append(f"The baseline is {what}: F1 {points(base.f1)}, {base.tokens:,.0f} tokens a document.")
    if best.row is not None and not best.row.same:
        row = best.row
        word = {
            Verdict.BETTER: "better than the baseline; that is not luck of the documents",
            Verdict.WORSE: "worse than the baseline",
            Verdict.CANNOT_TELL: "cannot be told from the baseline: the difference may be noise",
        }[row.verdict]
        found.append(
            f"Against its baseline {signed(row.difference)} points ({signed(row.low)} to {signed(row.high)}): {word}."
        )
    counts = Counter(s.row.verdict for s in tested if s.row)
    if tested:
        said = ", ".join(f"{counts[v]} {v}" for v in Verdict if counts[v])
        found.append(f"Of {len(tested)} comparisons: {said}.")
    detectable = sorted(s.row.detectable for s in tested if s.row and s.row.detectable is not None)
    if detectable:
        found.append(
            f"With these documents a true difference of about {points(detectable[len(detectable) // 2])} points would"
            " have been seen four times in five; smaller ones need more documents."
        )
    # Where the baseline finds nothing right, nobody can lose anything, and cheapness says nothing.
    if base is not None and len(ranked) > 1 and base.tokens and base.f1 > 0:
        cheap = [s for s in tested if s.tokens and s.row and s.row.low >= -BEARABLE and s.tokens < 0.95 * base.tokens]
        if cheap:
            least = min(cheap, key=lambda s: s.tokens)
            found.append(
                f"Cheapest that loses no more than {points(BEARABLE)} points for certain: {called(least, several)},"
                f" {least.tokens:,.0f} tokens a document ({least.tokens / base.tokens - 1:+.0%}),"
                f" F1 {points(least.f1)}."
            )
    return found


def _ranking(ranked: list[Setting], several: bool) -> Table:
    rows = []
    for one in ranked:
        row = one.row
        compared = ("", "", "baseline" if one.is_base and not several else "")
        if row is not None and row.same:
            compared = ("0", "", "same cell")
        elif row is not None:
            compared = (
                signed(row.difference), f"{signed(row.low)} to {signed(row.high)}", _SIGNS[row.verdict]
            )  # fmt: skip
        seeds = f" ({len(one.group.cells)} seeds)" if len(one.group.cells) > 1 else ""
        rows.append(
            (
                called(one, several) + seeds, points(one.f1), f"{points(one.low)} to {points(one.high)}",
                points(one.precision), points(one.recall), *compared, f"{one.tokens:,.0f}" if one.tokens else "",
            )
        )  # fmt: skip
    strong = tuple(n for n, one in enumerate(ranked) if one.is_base and not several)
    heads = (
        "setting", "F1", "95 % interval", "precision", "recall", "against baseline", "interval (Holm)", "verdict",
        "tokens/doc",
    )  # fmt: skip
    return Table("Settings, best first, in points of 100", heads, tuple(rows), strong)


def _forest(settings: Sequence[Setting], several: bool) -> list[Figure]:
    rows = [(called(s, several and len({x.letter for x in settings}) > 2), s.row) for s in settings
            if s.row is not None and not s.row.same]  # fmt: skip
    if not rows:
        return []
    rows.sort(key=lambda item: -item[1].difference)
    text = "A line that keeps clear of 0 is a difference that the choice of documents does not explain."
    base = "the baseline" if not several else settings[0].letter
    return [Figure("Differences, with intervals corrected for their number", charts.forest(rows, base), text)]


def _curves(settings: Sequence[Setting]) -> list[Figure]:
    found = []
    for axis, lines in curves(settings):
        text = "Bands are 95 % intervals: of the documents, and of the seeds where there are several."
        found.append(Figure(f"F1 over {axis}", charts.curve(lines, axis), text))
    return found


def _cost(settings: Sequence[Setting], several: bool) -> list[Figure]:
    known = [s for s in settings if s.tokens]
    if len({round(s.tokens) for s in known}) < 2:
        return []
    at = [
        charts.Point(s.tokens, s.f1, s.low, s.high, f"{called(s, several)}: F1 {points(s.f1)}, {s.tokens:,.0f} tokens")
        for s in known
    ]
    front = [not any((o.x, -o.y) < (p.x, -p.y) and o.x <= p.x and o.y >= p.y for o in at) for p in at]
    names = ["baseline" if s.is_base and not several else called(s, several) for s in known]
    text = "The line joins the settings that no cheaper one reaches; whiskers are 95 % intervals."
    return [Figure("Cost against F1", charts.cost(at, front, names), text)]


def _reliability(sides: Sequence[Setting], names: Sequence[str]) -> list[Figure]:
    found = []
    for one, name in zip(sides, names, strict=True):
        judged = [
            (p.confidence, (p.start, p.end, p.label) in set(d.gold)) for d in one.cell.documents() for p in d.predicted
        ]
        if judged:
            found.append((name, calibration([c for c, _ in judged], [right for _, right in judged])))
    if not found:
        return []
    text = "On the dashed diagonal, confidences can be taken at their word. Lines are Wilson's 95 % intervals."
    return [Figure("Reliability of confidences", charts.reliability(found), text)]


def _confusion(best: Setting, made: Made) -> list[Figure]:
    found = made[key_of(best.cell)]
    gold = {case.id: [Span(*row) for row in case.gold] for case in found}
    guess = {case.id: [Span(p.start, p.end, p.label) for p in case.predicted] for case in found}
    table = taxonomy(gold, guess, keep=False).confusion
    sizes: Counter[str] = Counter()
    for (right, said), count in table.items():
        sizes[right] += count
        sizes[said] += count
    labels = [name for name, _ in sizes.most_common() if name][:MOST_CONFUSED]
    if not labels:
        return []
    left = len({name for name in sizes if name}) - len(labels)
    text = "Rows are gold. Spans count together that stand at one place or overlap." + (
        f" {left} rarer types are left out." if left else ""
    )
    return [Figure("Confusion of types, best setting", charts.confusion(dict(table), labels), text)]


def _errors(sides: Sequence[Setting], names: Sequence[str], made: Made) -> list[Table]:
    kinds = [Counter(f.kind for case in made[key_of(s.cell)] for f in case.faults) for s in sides]
    steps = [
        Counter(step for case in made[key_of(s.cell)] for f in case.faults for step in f.steps) for s in sides
    ]  # fmt: skip
    by_kind = tuple(
        (str(k), *(f"{one[k]:,}" for one in kinds)) for k in KINDS if any(one[k] for one in kinds)
    )  # fmt: skip
    by_step = tuple(
        (name, *(f"{one[name]:,}" for one in steps)) for name in dict.fromkeys(n for one in steps for n in one)
    )
    found = [Table("Errors by class", ("class", *names), by_kind)] if by_kind else []
    return found + ([Table("Errors by the step they are charged to", ("step", *names), by_step)] if by_step else [])


_PARTS = (
    ("type", "type", "F1 of each type"),
    ("tree", "type", "F1 of types with all below them"),
    ("length", "length", "F1 by length of the mention"),
    ("seen", "in the pool", "F1 of mentions that demonstrations may have shown, and of others"),
)
_SCHEMES = (
    ("place and type", "f1"), ("place", "boundaries_f1"), ("type, and some of the place", "type_only_f1"),
    ("some of the place counts half", "partial_f1"), ("place and topmost type", "top_f1"),
)  # fmt: skip


def _types(sides: Sequence[Setting], names: Sequence[str]) -> list[Table]:
    figures = [s.cell.end.figures for s in sides]
    found = []
    for part, head, caption in _PARTS:
        keys = dict.fromkeys(
            k.removeprefix(f"{part}_f1/") for one in figures for k in one if k.startswith(f"{part}_f1/")
        )
        rows = tuple(
            (
                visible(name),
                *(points(one[f"{part}_f1/{name}"]) if f"{part}_f1/{name}" in one else "" for one in figures),
                f"{max(one.get(f'{part}_support/{name}', 0) for one in figures):,.0f}",
            )
            for name in keys
        )
        if rows:
            found.append(Table(caption, (head, *names, "gold spans"), rows))
    loose = [(what, key) for what, key in _SCHEMES if any(key in one for one in figures)]
    if loose:
        rows = tuple((what, *(points(one[key]) if key in one else "" for one in figures)) for what, key in loose)
        found.append(Table("F1 by what has to be right", ("scheme", *names), rows))
    return found


def _alone(runs: Sequence[RunLog], data_hash: str) -> list[Table]:
    rows = []
    for run in runs:
        for cell in run.cells:
            head, f = cell.header, cell.end.figures
            if cell.end.state != "done" or head.data.hash != data_hash or head.kind == "end_to_end":
                continue
            told = ", ".join(f"{_plain(k)} {v:.3f}" for k, v in f.items() if k != "support")
            rows.append((head.kind.removeprefix("oracle_"), run.header.run, told, f"{f.get('support', 0):,.0f}"))
    heads = ("step", "run", "figures", "questions")
    return [Table("Steps scored alone, with the truth given to them", heads, tuple(rows), prose=True)] if rows else []


def _plain(figure: str) -> str:
    """A figure's name for people: ``accuracy_of/place`` is "accuracy of place"."""
    return figure.replace("/", " ").replace("_", " ")
