"""From runs to what a page says: sentences first, then tables and plots, then the documents themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from evals.browse import cases, texts_of
from evals.log import CellLog, PassLog, RunLog
from evals.pairs import Tick, key_of
from evals.report.browser import Documents
from evals.report.explained import Explained
from evals.report.parts import EvalReport
from evals.report.sections import Made, called, section_of
from evals.report.settings import Setting, letter, settings_of
from evals.statistics import Verdict


def build_report(
    runs: Sequence[RunLog],
    *,
    against: str = "",
    alpha: float = 0.05,
    resamples: int = 10_000,
    explain: int = 100,
    tick: Tick = lambda what, done, total: None,
) -> EvalReport:
    """Everything that a page says of some runs.

    Args:
        runs: At least one; see ``settings_of`` for what is held against what.
        against: The cell that all are held against.
        alpha: Of all comparisons together.
        resamples: Draws of the bootstrap.
        explain: Of how many documents a data set votes and prompts are kept in the page, those with errors first.
        tick: Told how far the work is.

    Raises:
        EvalDataError: There is nothing to show.
        EvalLogError: A log is damaged.
    """
    settings, notes = settings_of(runs, against=against, alpha=alpha, resamples=resamples, tick=tick)
    several = len(runs) > 1
    sections, browser = [], Documents(Explained(explain))
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
                name = called(one, several) + (f", seed {seed}" if len(one.group.cells) > 1 else "")
                number = browser.add(
                    _set_name(cell), name, found_cases, texts,
                    numbers.get(key_of(base)) if base is not None else None, one.run.header.run,
                )  # fmt: skip
                numbers.setdefault(key_of(cell), number)
            done += 1
            tick("reading documents", done, len(settings))
        _explain(browser, listed, numbers, made)
        sections.append(section_of(listed, made, runs, several))
        if shown_first < 0:
            shown_first = numbers[key_of(max(listed, key=lambda s: s.f1).cell)]
    return EvalReport(
        _title(runs), _facts(runs, settings), tuple(sections), _provenance(runs), tuple(notes), browser.packed(),
        browser.count, max(0, shown_first),
    )  # fmt: skip


def _explain(
    browser: Documents, listed: Sequence[Setting], numbers: dict[tuple[str, str], int], made: Made
) -> None:  # fmt: skip
    """Keep votes and prompts of the passes behind a data set's cells; of documents that the first got wrong, first."""
    passes: dict[tuple[str, str], tuple[PassLog, list[int]]] = {}
    wrong: list[str] = []
    for one in sorted(listed, key=lambda s: not s.is_base):
        for cell in one.group.cells.values():
            wrong = wrong or [case.id for case in made[key_of(cell)] if case.faults]
            log = one.run.pass_of(cell)
            if log is not None:
                passes.setdefault((str(log.path), log.header.id), (log, []))[1].append(numbers[key_of(cell)])
    for log, cells in passes.values():
        browser.explain(cells, log, wrong)


def _data_key(one: Setting) -> tuple[str, str]:
    return one.cell.header.data.name, one.cell.header.data.hash


def _set_name(cell: CellLog) -> str:
    return f"{cell.header.data.name} ({cell.header.data.hash[:6]})"


def _base_cell(one: Setting, seed: int) -> CellLog | None:
    if one.base is None:
        return None
    return one.base.cells.get(seed, one.base.first)


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
