"""``quorum graph``: the extraction graph as a drawing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tui.commands.common import JsonOption, print_json


def graph(
    project: Annotated[
        Path | None, typer.Option("--project", "-p", help="A project's folder; default: the defaults.", file_okay=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the extraction graph as Mermaid text, with the steps that the project has switched on.

    The span retriever adds a step that lists spans before demonstrations are looked up.
    """
    from agent.config import ProjectConfig
    from agent.extraction.graph import build_graph, mermaid

    config = ProjectConfig.default() if project is None else ProjectConfig.load(project)
    shown = max((config.demonstrations_of(member) for member in config.members), default=0)
    drawing = mermaid(
        build_graph(
            pre_extraction=shown > 0 and config.demonstrations.retriever == "span",
            retrieval=shown > 0,
            classification=config.steps.classify,
            verification=config.steps.verify,
        )
    )
    if as_json:
        print_json({"mermaid": drawing})
    else:
        typer.echo(drawing, nl=not drawing.endswith("\n"))
