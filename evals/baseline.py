"""A run as a baseline or as results that can be committed: cells with gold and decisions, no prompts, no answers."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from evals.errors import EvalLogError
from evals.log import LogWriter, read_run, records_of
from evals.records import RunEnd
from tools.errors import OutputError

BASELINES = Path(__file__).parent / "data" / "baselines"


def write_baseline(log: Path, target: Path, *, name: str = "", partial: bool = False) -> int:
    """Write what comparing with a run needs, and nothing else.

    A baseline is a log itself (``evals.log.read_run`` reads it), but its cells
    have no passes: no texts, prompts or answers, so that it is small and may be
    committed wherever ids and offsets may be.

    Args:
        log: A finished run.
        target: Where to; replaced as a whole.
        name: The run's name in it; its own by default.
        partial: Whether a run that has not ended will do: not to be gated by, but to be reported on.

    Returns:
        How many cells it has.

    Raises:
        EvalLogError: The run has not ended, or a cell could not be measured.
        OutputError: The file cannot be written.
    """
    run = read_run(log)
    missing = run.unfinished or tuple(cell.id for cell in run.cells if cell.end.state != "done")
    if missing and not partial:
        raise EvalLogError(f"{log}: {len(missing)} cell(s) were not measured", "a baseline is a run with all its cells")
    fresh = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        with LogWriter(fresh) as writer:
            header = replace(run.header, run=name or run.header.run)
            writer.write("run", [header])
            for cell in run.cells:
                writer.write(cell.block.kind, records_of(log, cell.block), id=cell.id, of=cell.header.pass_id)
            if not run.unfinished:
                seconds = run.end.seconds if run.end else 0.0
                writer.write("run", [RunEnd(header.run, len(run.cells), 0, 0, seconds)], sync=True)
        os.replace(fresh, target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror})", "choose another place") from error
    return len(run.cells)
