"""From runs to what a page says: sentences first, then tables and plots, then the documents themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from evals.browse import Case, cases, texts_of
from evals.compare import points, signed
from evals.log import CellLog, RunLog
from evals.pairs import Tick, key_of
from evals.report import charts
from evals.report.browser import KINDS, Documents
from evals.report.curves import curves
from evals.report.settings import Setting, letter, settings_of, short, shown
from evals.statistics import Verdict
from tools.annotation import Span
from tools.annotation.visible import visible
from tools.metrics import calibration, taxonomy

_SIGNS = {Verdict.BETTER: "▲ better", Verdict.WORSE: "▼ worse", Verdict.CANNOT_TELL: "≈ cannot tell"}
MOST_CONFUSED = 14
BEARABLE = 0.03
Made = dict[tuple[str, str], list[Case]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        caption: What it is of.
        heads: Of the columns.
        rows: Texts; the first cell heads its row.
        strong: Numbers of the rows to stress.
        prose: Whether its cells are words, not numbers.
    """

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: tuple[int, ...] = ()
    prose: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot: a caption, static SVG, and what to see in it."""

    caption: str
    svg: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """All about one data set: a title, sentences, tables and plots."""

    title: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    more: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True)
class EvalReport:
    """What a page says.

    Attributes:
        title: The heading.
        facts: Name and value, in the order to be shown.
        sections: One a data set.
        provenance: Name and value: versions, models, prompts, machine.
        notes: What a reader should know: logs that are not whole.
        documents: What the browser shows, packed; see ``Documents.packed``.
        cells: How many cells the browser has.
        shown: The number of the cell it begins with: the best on the first data set.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    provenance: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    documents: str
    cells: int
    shown: int = 0


def build_report(
    runs: Sequence[RunLog],
    *,
    against: str = "",
    alpha: float = 0.05,
    resamples: int = 10_000,
    tick: Tick = lambda what, done, total: None,
) -> EvalReport:
    """Everything that a page says of some runs.

    Args:
        runs: At least one; see ``settings_of`` for what is held against what.
        against: The cell that all are held against.
        alpha: Of all comparisons together.
        resamples: Draws of the bootstrap.
        tick: Told how far the work is.

    Raises:
        EvalDataError: There is nothing to show.
        EvalLogError: A log is damaged.
    """
    settings, notes = settings_of(runs, against=against, alpha=alpha, resamples=resamples, tick=tick)
    several = len(runs) > 1
    sections, browser = [], Documents()
    done, shown_first = 0, -1
    for (_, _), found in groupby(sorted(settings, key=_data_key), key=_data_key):
        listed = list(found)
        made: Made = {}
        texts: dict[str, str] = {}
        numbers: dict[tuple[str, str], int] = {}
        for one in sorted(listed, key=lambda s: not s.is_base):
            if not texts:
                texts = {id: d.text for id, d in texts_of((one.run, *runs), one.cell).items()}
            for seed, cell in one.group.cells.items():
                base = _base_cell(one, seed)
                found_cases = cases(cell, base)
                made.setdefault(key_of(cell), found_cases)
                name = _called(one, several) + (f", seed {seed}" if len(one.group.cells) > 1 else "")
                number = browser.add(
                    _set_name(cell), name, found_cases, texts,
                    numbers.get(key_of(base)) if base is not None else None, one.run.header.run,
                )  # fmt: skip
                numbers.setdefault(key_of(cell), number)
            done += 1
            tick("reading documents", done, len(settings))
        sections.append(_section(listed, made, runs, several))
        if shown_first < 0:
            shown_first = numbers[key_of(max(listed, key=lambda s: s.f1).cell)]
    return EvalReport(
        _title(runs), _facts(runs, settings), tuple(sections), _provenance(runs), tuple(notes), browser.packed(),
        browser.count, max(0, shown_first),
    )  # fmt: skip


def _data_key(one: Setting) -> tuple[str, str]:
    return one.cell.header.data.name, one.cell.header.data.hash


def _set_name(cell: CellLog) -> str:
    return f"{cell.header.data.name} ({cell.header.data.hash[:6]})"


def _base_cell(one: Setting, seed: int) -> CellLog | None:
    if one.base is None:
        return None
    return one.base.cells.get(seed, one.base.first)


def _called(one: Setting, several: bool) -> str:
    base = "baseline: " if one.is_base and not several else ""
    return f"{one.letter}: {one.label}" if several else f"{base}{one.label}"


# -- on top -----------------------------------------------------------------------------------------------------------


def _title(runs: Sequence[RunLog]) -> str:
    suites = list(dict.fromkeys(run.header.suite for run in runs))
    if len(runs) == 1:
        return f"Evaluation: {suites[0]}"
    return f"Evaluation: {', '.join(suites)}, {len(runs)} runs"


def _facts(runs: Sequence[RunLog], settings: Sequence[Setting]) -> tuple[tuple[str, str], ...]:
    data = {_data_key(s): s.cell.header.data for s in settings}
    documents = sum(ref.documents for ref in data.values())
    tested = Counter(s.row.verdict for s in settings if s.row is not None and not s.row.same)
    said = ", ".join(f"{tested[v]} {v}" for v in Verdict if tested[v]) or "none"
    passes = {p.header.id: p for run in runs for p in run.passes.values()}
    rows = [row for p in passes.values() for row in p.end.usage.values()]
    tokens = sum(row.get("prompt_tokens", 0.0) + row.get("output_tokens", 0.0) for row in rows)
    models = dict.fromkeys(name for p in passes.values() for name in p.header.models)
    found = [
        ("Run", runs[0].header.run)
        if len(runs) == 1
        else ("Runs", ", ".join(f"{letter(n)}: {run.header.run}" for n, run in enumerate(runs))),
        ("Begun", ", ".join(dict.fromkeys(run.header.started[:16].replace("T", " ") for run in runs))),
        ("Data", f"{', '.join(dict.fromkeys(name for name, _ in data))}: {documents:,} documents"),
        ("Settings compared", f"{len(settings):,}"),
        ("Comparisons", said),
        ("Tokens read and written", f"{tokens:,.0f}" if tokens else "not kept"),
    ]
    requests = sum(row.get("requests", 0.0) for row in rows)
    if requests:
        kept = sum(row.get("from_cache", 0.0) for row in rows) / requests
        seconds = sum(p.end.seconds for p in passes.values())
        found.append(
            ("Time asking", f"{seconds:,.0f} s" + (f", {kept:.0%} of the answers were kept ones" if kept else ""))
        )
    if models:
        found.append(("Models", ", ".join(models)))
    limits = {run.header.limit for run in runs if run.header.limit}
    if limits:
        found.append(("Limited to", f"{min(limits):,} documents a data set"))
    return tuple(found)


def _provenance(runs: Sequence[RunLog]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for run in runs:
        head = run.header
        found.append((f"{head.run}: versions", ", ".join(f"{k} {v}" for k, v in head.versions.items())))
        found.append((f"{head.run}: machine", ", ".join(f"{k} {v}" for k, v in head.machine.items())))
        if head.overrides:
            found.append((f"{head.run}: changed", " ".join(head.overrides)))
        models = {k: v for p in run.passes.values() for k, v in p.header.models.items()}
        prompts = {k: v for p in run.passes.values() for k, v in p.header.prompts.items()}
        if models:
            found.append((f"{head.run}: models", ", ".join(f"{k} {v}" for k, v in models.items())))
            found.append((f"{head.run}: prompts", ", ".join(f"{k} {v[:8]}" for k, v in sorted(prompts.items()))))
        for cell in {cell.header.data.hash: cell for cell in run.cells}.values():
            ref = cell.header.data
            found.append((f"{head.run}: {ref.name}", f"{ref.split}, {ref.documents:,} documents, hash {ref.hash}"))
        found += [(f"{head.run}: note", note.text) for note in run.notes]
    return tuple(found)


# -- a data set ---------------------------------------------------------------------------------------------------


def _section(
    settings: list[Setting], made: Made, runs: Sequence[RunLog], several: bool
) -> Section:  # fmt: skip
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
    return f"{'best' if one is best else 'baseline' if one is base else 'second'} ({_called(one, several)})"


def _sentences(ranked: list[Setting], base: Setting | None, several: bool) -> list[str]:
    best = ranked[0]
    spans = f"95 % interval {points(best.low)} to {points(best.high)}"
    called = "the baseline" if best.is_base and not several else _called(best, several)
    found = [f"Best of {len(ranked)}: {called}, F1 {points(best.f1)} ({spans})."]
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
    if base is not None and len(ranked) > 1 and base.tokens:
        cheap = [s for s in tested if s.tokens and s.row and s.row.low >= -BEARABLE and s.tokens < 0.95 * base.tokens]
        if cheap:
            least = min(cheap, key=lambda s: s.tokens)
            found.append(
                f"Cheapest that loses no more than {points(BEARABLE)} points for certain: {_called(least, several)},"
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
                _called(one, several) + seeds, points(one.f1), f"{points(one.low)} to {points(one.high)}",
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
    rows = [(_called(s, several and len({x.letter for x in settings}) > 2), s.row) for s in settings
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
        charts.Point(s.tokens, s.f1, s.low, s.high, f"{_called(s, several)}: F1 {points(s.f1)}, {s.tokens:,.0f} tokens")
        for s in known
    ]
    front = [not any((o.x, -o.y) < (p.x, -p.y) and o.x <= p.x and o.y >= p.y for o in at) for p in at]
    names = ["baseline" if s.is_base and not several else _called(s, several) for s in known]
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


def _types(sides: Sequence[Setting], names: Sequence[str]) -> list[Table]:
    figures = [s.cell.end.figures for s in sides]
    types = [name.removeprefix("type_f1/") for name in figures[-1] if name.startswith("type_f1/")]
    if not types:
        return []
    rows = tuple(
        (
            visible(name),
            *(points(one[f"type_f1/{name}"]) if f"type_f1/{name}" in one else "" for one in figures),
            f"{figures[-1].get(f'type_support/{name}', 0):,.0f}",
        )
        for name in types
    )
    return [Table("F1 of each type", ("type", *names, "gold spans"), rows)]


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
