"""``quorum eval baseline``: keep a run's cells as a small file that later runs are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tui.commands.common import counted, note, printable
from tui.commands.eval_run import DEFAULT_INTO, IntoOption


def baseline(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its log, or latest.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.", dir_okay=False)],
    partial: Annotated[
        bool, typer.Option("--partial", help="Take a run that has not ended: for reports, not for a gate.")
    ] = False,
    into: IntoOption = DEFAULT_INTO,
) -> None:
    """Keep a run's cells as a small file that later runs are compared with.

    It holds ids, gold and decisions, no texts, prompts or answers. Results of
    large suites are kept so, too: evals/data/results, for eval report.
    """
    from evals.baseline import write_baseline
    from evals.finished import find_run
    from evals.log import ENDING

    target = output if output.name.endswith(ENDING) else output.with_name(output.name + ENDING)
    cells = write_baseline(find_run(into, run), target, partial=partial)
    size = target.stat().st_size / 1024
    note(f"{counted(cells, 'cell')} in {printable(str(target))} ({size:,.0f} KiB)")
