"""``quorum eval score``: the predictions of any tool against gold."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.common import JsonOption, counted, note, print_json, print_table, printable

if TYPE_CHECKING:
    from evals.scoring import ScoreReport

Step = Callable[[str, int | None], Callable[[int], object]]


def score(
    gold: Annotated[Path, typer.Option("--gold", metavar="FILE", help="The gold: JSON Lines or CoNLL, also .gz.")],
    pred: Annotated[
        Path, typer.Option("--pred", metavar="FILE", help="The predictions, on the same documents, either form.")
    ],
    cluster: Annotated[
        str,
        typer.Option(
            "--cluster", metavar="KEY", help="A field of the gold: documents with one value are drawn together."
        ),
    ] = "",
    labels: Annotated[
        str,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="Label file, or names with commas: other types are refused; parents are rolled up.",
        ),
    ] = "",
    train: Annotated[
        Path | None,
        typer.Option("--train", metavar="FILE", help="Training data: scores of seen and unseen mentions apart."),
    ] = None,
    missing_as_empty: Annotated[
        bool, typer.Option("--missing-as-empty", help="Count documents without a prediction as empty.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Read invalid tag sequences of CoNLL as conlleval does.")
    ] = False,
    export_to: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Also write the table: .csv, .parquet or .md.", dir_okay=False),
    ] = None,
    level: Annotated[float, typer.Option("--level", help="Level of the intervals.", min=0.5, max=0.999)] = 0.95,
    resamples: Annotated[
        int, typer.Option("--resamples", help="Bootstrap draws an interval.", min=100, max=100_000)
    ] = 2000,
    seed: Annotated[int, typer.Option("--seed", help="Of the draws.", min=0)] = 13,
    as_json: JsonOption = False,
) -> None:
    """Score predictions against gold, with intervals and kinds of errors.

    Both files are JSON Lines (id, text, entities with start, end, label) or
    CoNLL columns; any tool may have written them. Intervals come from a
    bootstrap over documents; name --cluster where sentences share a document.
    """
    from evals.scoring import check_ending, export, make_report, pair, read_marked
    from tools.annotation.labelfile import read_label_set
    from tools.metrics import TrainingMentions

    if export_to is not None:
        check_ending(export_to)
    known = read_label_set(labels) if labels else None
    with _steps() as step:
        right = read_marked(gold, "gold", labels=known, repair=repair, tick=step("reading gold", None))
        total = len(right.documents)
        guess = read_marked(pred, "predictions", labels=known, repair=repair, tick=step("reading predictions", total))
        paired = pair(right, guess, missing_as_empty=missing_as_empty, cluster=cluster)
        training = None
        if train is not None:
            seen = read_marked(train, "gold", labels=known, repair=repair, tick=step("reading training data", None))
            training = TrainingMentions(
                (span.text_in(one.text), span.label) for one in seen.documents.values() for span in one.spans
            )
        step("scoring", None)
        report = make_report(
            paired, labels=known, training=training, cluster=cluster, level=level, resamples=resamples, seed=seed
        )
    if export_to is not None:
        export(report, export_to)
    for text in (*right.notes, *guess.notes):
        note(f"note: {printable(text)}")
    _advise(report, cluster, {key for one in right.documents.values() for key in one.meta})
    if as_json:
        print_json(report.to_json())
    else:
        show(report)


def show(report: ScoreReport) -> None:
    """Print a report: what was scored on stderr, the tables on stdout."""
    from evals.scoring.export import calibration_text, describe, interval_text
    from evals.scoring.report import shown_errors

    note(printable(describe(report)))
    interval = f"{report.level:.0%} interval"
    for section, scores in report.sections().items():
        rows = [
            (
                name,
                f"{one.precision:.3f}",
                f"{one.recall:.3f}",
                f"{one.f1:.3f}",
                interval_text(one.f1_interval),
                f"{one.counts.support:,}",
                f"{one.counts.predicted:,}",
            )
            for name, one in scores.items()
        ]
        _table(section, ("P", "R", "F1", interval, "gold", "pred"), rows)
    errors = [(str(kind), f"{n:,}", f"{g:,}", f"{p:,}") for kind, n, g, p in shown_errors(report.errors)]
    _table("error", ("cases", "gold", "pred"), errors)
    if report.outcomes is not None:
        ended = [(str(kind), f"{count:,}") for kind, count in report.outcomes.counts.items() if count]
        _table("outcome", ("documents",), ended)
    if report.calibration is not None:
        curve = [
            (
                f"{at.low:.1f}-{at.high:.1f}",
                f"{at.count:,}",
                f"{at.confidence:.3f}",
                f"{at.accuracy.point:.3f}",
                interval_text(at.accuracy),
            )
            for at in report.calibration.curve
        ]
        _table("confidence", ("pred", "mean", "right", "95% interval"), curve)
        note(calibration_text(report.calibration))


def _table(section: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    if sys.stdout.isatty():
        print_table((section, *heads), rows, right=range(1, len(heads) + 1))
    else:  # a pipe gets several tables in one stream, so every row says which it is of
        print_table(("table", section, *heads), [(section, *row) for row in rows])


def _advise(report: ScoreReport, cluster: str, fields: set[str]) -> None:
    """Say what would make the figures mislead."""
    table = report.table
    if not table.micro.counts.support:
        note("note: there is no gold span in these documents; precision alone says something")
    alone = [name for name, one in table.by_label.items() if not one.support]
    if alone:
        note(f"note: types that only predictions have: {printable(', '.join(alone))[:200]}")
    if not cluster and "doc" in fields:
        note("note: the gold names the document of each sentence; --cluster doc draws whole documents")
    if table.units < 20:
        units = counted(table.units, "cluster" if cluster else "document")
        note(f"note: {units} {'is' if table.units == 1 else 'are'} little to draw from; the intervals are rough")


@contextmanager
def _steps() -> Iterator[Step]:
    """A bar on stderr for what takes longer; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda text, total: lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:,.0f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=5) as bar:
        task = bar.add_task("", total=None)

        def step(text: str, total: int | None) -> Callable[[int], object]:
            bar.reset(task, total=total, description=text, completed=0)
            return lambda done: bar.update(task, completed=done)

        yield step
