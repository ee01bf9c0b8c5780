"""``quorum retry``: the passages that failed, once more."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tui.commands.common import JsonOption, counted, load_project, note, print_json


def retry(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The output of the run.", dir_okay=False)
    ] = None,
    project: Annotated[
        Path | None, typer.Option("--project", "-p", metavar="DIR", help="The project whose run it was; its last one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run the passages again that failed, and write the output anew.

    Settings, labels and demonstrations are those the run was begun with. Ends
    with status 1 when passages are left that failed again.
    """
    from agent.runs.crew import QuorumCrew
    from agent.runs.retry import begun
    from agent.runs.retry import retry as run
    from agent.runs.sidecar import open_store, store_beside
    from tools.errors import InputError, StoreError
    from tui.report.progress import progress_on

    if project is not None:
        config = load_project(project)
        path, root, key = config.store_path, config.root, None if output is None else str(output.resolve())
    elif output is not None:
        path, root, key = store_beside(output), Path(), output.name
    else:
        raise InputError("which run?", "name it by --output FILE, or --project DIR")
    if not path.exists():
        raise StoreError(f"{path}: there is no run", "give the --output of a run of `quorum extract`")
    with open_store(path) as store:
        start = begun(store, key, root)
        target = output
        if target is None and start.run.config["output"] != "-":
            target = Path(start.run.config["output"])
        index, demos = start.run.config.get("index", ""), start.run.config.get("demos", "")
        crew = QuorumCrew(
            start.config,
            start.labels,
            Path(demos) if demos else None,
            Path(index) if index else None,
            project=project is not None,
        )
        with progress_on() as observer:
            done = asyncio.run(run(store, start, crew, target, observer))
    if as_json:
        print_json(asdict(done))
    if not done.tried:
        note("nothing failed")
    else:
        note(f"{counted(done.tried, 'passage')} tried again: {done.mended:,} mended, {done.left:,} failed again")
    if done.output:
        note(f"written: {done.output}")
    else:
        note("the run is not done yet; go on with the same `quorum extract` command")
    if done.left:
        raise typer.Exit(1)
