"""The results document: what the shipped suites found, as Markdown that follows from the logs alone.

For every question of a suite (a table of its matrix) the cells that answer it
stand together, each data set's first cell being what the others are held
against; all comparisons of a question are one family under Holm's correction.
Words follow from the intervals. What was planned and is not there is "not run".
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evals.compare import SEED, Row, compare_family, load_counts
from evals.log import RunLog
from evals.pairs import END_TO_END, Group, Pair, Tick, groups, sides_of
from evals.planrecords import PlannedRow, Question
from evals.points import points, signed
from evals.report.provenance import provenance
from evals.report.settings import Setting, setting_of, varied_axes, words
from evals.statistics import Verdict
from evals.suite import SUITES
from evals.tables import markdown_table
from tools.annotation.visible import visible

HEAD = """# Results

What the suites that ship found. This page is written by `quorum eval report RUN... --markdown docs/results.md` from
the logs of the runs and from nothing else; how a run is repeated stands with each suite.

Figures are strict micro-F1 in points of 100: a span counts if its place and its type are right. Intervals are 95 %,
of the choice of documents (articles whole, where the data name them), and of the seeds where there are several. In
each question the first setting is what the others are held against, on the same documents, in pairs; intervals of
differences are corrected by Holm over all comparisons of the question. **better** and **worse** are said only where
the whole interval lies on one side of 0. **cannot tell** does not mean equal: "would show" is the smallest true
difference that these documents would have shown four times in five. *not run* is what the suite plans and nobody has
measured yet.
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """A setting of a question on one data set.

    Attributes:
        data: The data set.
        label: What sets it apart from the first, in words.
        setting: Its figures; None where it was not run.
        row: The comparison with the first; None for the first, and where either was not run.
        first: Whether it is what the others are held against.
        seeds: How many seeds are there.
        planned: How many are planned.
        why: Why there is no figure.
    """

    data: str
    label: str
    setting: Setting | None
    row: Row | None
    first: bool
    seeds: int
    planned: int
    why: str = "not run"


def results_markdown(
    runs: Sequence[RunLog],
    *,
    alpha: float = 0.05,
    resamples: int = 10_000,
    tick: Tick = lambda what, done, total: None,
) -> str:
    """The results of some runs, finished or not.

    Args:
        runs: One a suite; several of one suite follow each other.
        alpha: Of all comparisons of a question together.
        resamples: Draws of the bootstrap.
        tick: Told how far the work is.

    Returns:
        Markdown; equal logs make equal text.

    Raises:
        EvalLogError: A log is damaged.
    """
    lines = [HEAD, *_overview(runs)]
    for run in runs:
        lines += _suite(run, alpha, resamples, tick)
    return "\n".join(lines).rstrip() + "\n"


def _overview(runs: Sequence[RunLog]) -> list[str]:
    rows = []
    for run in runs:
        done = sum(cell.end.state == "done" for cell in run.cells)
        documents = {cell.header.data.hash: cell.header.data.documents for cell in run.cells}
        limit = f", --limit {run.header.limit}" if run.header.limit else ""
        rows.append(
            (
                f"[{run.header.suite}](#{run.header.suite})", run.header.started[:10],
                f"{done} of {len(run.header.cells)}", f"{sum(documents.values()):,}{limit}",
            )
        )  # fmt: skip
    shipped = sorted(path.stem for path in SUITES.glob("*.toml"))
    named = {run.header.suite for run in runs}
    if named & set(shipped):
        rows += [(name, "", "*not run*", "") for name in shipped if name not in named]
    return markdown_table(("suite", "begun", "cells", "documents judged on"), rows, texts=2)


def _suite(run: RunLog, alpha: float, resamples: int, tick: Tick) -> list[str]:
    summary = tomllib.loads(run.header.suite_text).get("summary", "") if run.header.suite_text else ""
    lines = [f"## {run.header.suite}", ""]
    lines += [f"*{_text(summary)}*", ""] if summary else []
    tables: list[str] = []
    said: list[str] = []
    found = groups(run)
    for number, question in enumerate(_questions(run)):
        tick(f"{run.header.suite}: comparing", number, 0)
        answers = answered(run, question, found, alpha, resamples)
        if not answers:
            continue
        title = question.title or f"Table {number + 1} of the suite"
        said += _sentences(title, answers)
        tables += [f"### {_text(title)}", ""]
        tables += [f"{_text(question.note[:1].upper() + question.note[1:])}.", ""] if question.note else []
        tables += markdown_table(HEADS, _rows(answers), texts=2)
    alone = _alone(run)
    if alone:
        tables += ["### Steps scored alone, with the truth given to them", ""]
        tables += markdown_table(("data", "step", "figures", "questions"), alone, texts=3)
    lines += [*said, ""] if said else []
    return [*lines, *tables, *provenance(run)]


def _questions(run: RunLog) -> tuple[Question, ...]:
    """The suite's; a log of an earlier version has none, and all its cells are one."""
    if run.header.questions:
        return run.header.questions
    return (Question("All settings", "", tuple(c.id for c in run.cells if c.header.kind == END_TO_END)),)


def answered(
    run: RunLog, question: Question, found: dict[tuple[str, str, str], Group], alpha: float, resamples: int
) -> list[Answer]:
    """The settings of a question, data set by data set, each held against the first.

    Args:
        run: The run.
        question: One of its questions.
        found: Its finished cells, see ``groups``.
        alpha: Of all comparisons of the question.
        resamples: Draws.
    """
    by_cell = {cell.id: group for group in found.values() for cell in group.cells.values()}
    rows = {row.id: row for row in _plan(run)}
    reasons = {cell.id: cell.end.reason for cell in run.cells if cell.end.state != "done"}
    settings: dict[str, dict[str, list[PlannedRow]]] = {}
    for id in question.cells:
        if id in rows:
            key = str(sorted(rows[id].settings.items()))
            settings.setdefault(rows[id].data, {}).setdefault(key, []).append(rows[id])
    pairs: list[Pair] = []
    places: list[tuple[str, str]] = []
    for data, listed in settings.items():
        groups_of = {key: next((by_cell[r.id] for r in own if r.id in by_cell), None) for key, own in listed.items()}
        base = next(iter(groups_of.values()))
        for key, group in list(groups_of.items())[1:]:
            if base is not None and group is not None:
                pairs.append(Pair(group.name, END_TO_END, *sides_of(base, group)))
                places.append((data, key))
    compared: dict[tuple[str, str], Row] = {}
    if pairs:
        made = compare_family(
            pairs, load_counts(pairs, _silent), "f1", "F1", alpha, resamples, np.random.default_rng(SEED)
        )  # fmt: skip
        compared = dict(zip(places, made, strict=True))
    axes = varied_axes([own[0].settings for listed in settings.values() for own in listed.values()])
    answers = []
    for data, listed in settings.items():
        first = next(iter(listed.values()))[0].settings
        for place, (key, own) in enumerate(listed.items()):
            group = next((by_cell[r.id] for r in own if r.id in by_cell), None)
            # The first is told in full, the others by what differs.
            label = words(own[0].settings, None if place == 0 else first, axes) if axes else "as planned"
            answers.append(
                Answer(
                    data, label, setting_of(run, group) if group is not None else None, compared.get((data, key)),
                    place == 0, len(group.cells) if group is not None else 0, len(own),
                    reasons.get(own[0].id, "") or "not run",
                )
            )  # fmt: skip
    return answers


def _silent(what: str, done: int, total: int) -> None:
    """Nobody is told."""


def _plan(run: RunLog) -> tuple[PlannedRow, ...]:
    if run.header.plan:
        return run.header.plan
    heads = [cell.header for cell in run.cells]
    return tuple(PlannedRow(h.id, h.name, h.kind, h.data.name, h.seed, h.settings) for h in heads)


HEADS = ("data", "setting", "F1", "95 % interval", "precision", "recall", "against the first", "interval (Holm)",
         "verdict", "would show", "tokens/doc")  # fmt: skip


def _rows(answers: Sequence[Answer]) -> list[tuple[str, ...]]:
    """A row a setting; data sets of which nothing was run have one together."""
    rows = []
    for data in dict.fromkeys(a.data for a in answers):
        own = [a for a in answers if a.data == data]
        if len(own) > 1 and all(a.setting is None and a.why == own[0].why for a in own):
            rows.append((data, f"all {len(own)} settings", f"*{_text(own[0].why)}*", *[""] * 8))
        else:
            rows += [_row(answer) for answer in own]
    return rows


def _row(answer: Answer) -> tuple[str, ...]:
    one, row = answer.setting, answer.row
    label = _text(answer.label)
    if one is None:
        return (answer.data, label, f"*{_text(answer.why)}*", *[""] * 8)
    seeds = f" ({answer.seeds} of {answer.planned} seeds)" if answer.seeds < answer.planned else (
        f" ({answer.seeds} seeds)" if answer.seeds > 1 else ""
    )  # fmt: skip
    against: tuple[str, ...] = ("", "", "", "")
    if answer.first:
        against = ("", "", "the first", "")
    elif row is None:
        against = ("", "", "the first was not run", "")
    elif row.same:
        against = ("0", "", "same cell", "")
    else:
        shows = points(row.detectable) if row.detectable is not None else ""
        against = (signed(row.difference), f"{signed(row.low)} to {signed(row.high)}", _strong(row.verdict), shows)
    return (
        answer.data, label + seeds, points(one.f1), f"{points(one.low)} to {points(one.high)}", points(one.precision),
        points(one.recall), *against, f"{one.tokens:,.0f}" if one.tokens else "",
    )  # fmt: skip


def _strong(verdict: Verdict) -> str:
    return str(verdict) if verdict is Verdict.CANNOT_TELL else f"**{verdict}**"


def _sentences(title: str, answers: Sequence[Answer]) -> list[str]:
    """What a question's answer is in plain words: a sentence a setting, over all data sets."""
    labels = dict.fromkeys(a.label for a in answers if not a.first)
    firsts = dict.fromkeys(a.label for a in answers if a.first)
    missing = Counter(a.why for a in answers if a.setting is None)
    told = []
    for label in labels:
        rows = [(a.data, a.row) for a in answers if a.label == label and a.row is not None and not a.row.same]
        if not rows:
            continue
        parts = []
        for verdict in (Verdict.BETTER, Verdict.WORSE):
            where = [f"{data} ({signed(row.difference)})" for data, row in rows if row.verdict is verdict]
            if where:
                parts.append(f"**{verdict}** on {', '.join(where)}")
        open_ = [(data, row) for data, row in rows if row.verdict is Verdict.CANNOT_TELL]
        if open_:
            shows = [row.detectable for _, row in open_ if row.detectable is not None]
            less = ""
            if shows:
                least, most = points(min(shows)), points(max(shows))
                less = f" (differences below {least if least == most else f'{least} to {most}'} points cannot be seen)"
            parts.append(f"cannot tell on {', '.join(data for data, _ in open_)}{less}")
        told.append(f"{_text(label)}: {'; '.join(parts)}")
    if not told and not missing:
        only = [a for a in answers if a.setting is not None]
        figures = ", ".join(f"{a.data} {points(a.setting.f1)}" for a in only if a.setting is not None)
        return [f"- {_text(title)}: F1 {figures}"] if figures else []
    left = f"{sum(missing.values())} of {len(answers)} rows not run" if missing else ""
    if not told:
        return [f"- {_text(title)}: {left}"]
    against = " / ".join(map(_text, firsts))
    head = f"- {_text(title)}, against {against}{f' ({left})' if left else ''}:"
    return [head, *(f"    - {line}" for line in told)]


def _alone(run: RunLog) -> list[tuple[str, ...]]:
    ends = {cell.id: cell.end for cell in run.cells}
    rows: list[tuple[str, ...]] = []
    for planned in _plan(run):
        if planned.kind == END_TO_END:
            continue
        step, end = planned.kind.removeprefix("oracle_"), ends.get(planned.id)
        if end is None or end.state != "done":
            rows.append((planned.data, step, f"*{_text(end.reason) if end else 'not run'}*", ""))
            continue
        f = end.figures
        told = ", ".join(
            f"{k.replace('/', ' ').replace('_', ' ')} {points(v)}" for k, v in f.items() if k != "support"
        )  # fmt: skip
        rows.append((planned.data, step, told, f"{f.get('support', 0):,.0f}"))
    return rows


def _text(text: str) -> str:
    """Text of a suite or a label as Markdown shows it, whatever is in it."""
    return visible(text).translate(_ESCAPED)


_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>#|"} | {"\n": " "})
