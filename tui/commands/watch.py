"""``quorum watch``: follow an unattended run that another process works on, or look at the last one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tui.commands.common import JsonOption, check_theme, key_table, load_project, need_terminal, print_json, run_screen


def watch(
    output: Annotated[
        Path | None,
        typer.Argument(metavar="[OUTPUT]", help="The output of a run without a project.", show_default=False),
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option("--project", "-p", metavar="DIR", help="The project whose run it is.", show_default="here"),
    ] = None,
    run: Annotated[
        int | None, typer.Option("--run", min=1, help="The run's number.", show_default="the latest")
    ] = None,
    theme: Annotated[str, typer.Option("--theme", help="Colours: standard, light or contrast.")] = "standard",
    as_json: JsonOption = False,
) -> None:
    """Follow a run: progress, throughput, outcomes, members, dead letters, the servers' log.

    Reads the run's store and changes nothing: start it and leave it at any time.
    With --json one look is printed and the command ends.
    """
    from tui.views.runs import RunReader

    check_theme(theme)
    path, root = _place(output, project)
    reader = RunReader(path, root or Path(), run)
    if as_json:
        view = reader.look()
        reader.close()
        print_json(view and view.to_json())
        return
    need_terminal("this screen", "quorum watch --json prints the same once")
    keys = key_table(load_project(root)) if root is not None else key_table()
    reader.look()  # what is wrong with the store is told before the screen opens
    from tui.screens.runs import RunScreen

    run_screen(lambda: RunScreen(reader, root), theme, keys)


def _place(output: Path | None, project: Path | None) -> tuple[Path, Path | None]:
    """The store's file, and the project's folder where there is one."""
    from agent.runs.sidecar import store_beside
    from tools.errors import InputError, StoreError

    if output is not None and project is not None:
        raise InputError("OUTPUT and --project both name a run", "give one of them; --run N chooses among a project's")
    if output is not None:
        path = output if output.name.endswith(".run.db") else store_beside(output)
        if not path.exists():
            raise StoreError(f"{path}: there is no run", "give the --output of a run of `quorum extract`")
        return path, None
    config = load_project(project or Path())
    if not config.store_path.exists():
        raise StoreError(
            f"{config.store_path}: the project has no store yet",
            f"begin with: quorum import FILE --project {config.root}",
        )
    return config.store_path, config.root
