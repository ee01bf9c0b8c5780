"""``quorum config``: check, show, JSON Schema."""

from __future__ import annotations

from typing import Annotated

import typer

from tui.commands.common import HERE, JsonOption, ProjectOption, load_project, note, print_json

app = typer.Typer(no_args_is_help=True, help="The project file: check it, show what holds, print its JSON Schema.")


@app.command()
def schema() -> None:
    """Print the JSON Schema of quorum.toml."""
    from agent.config import ProjectConfig

    print_json(ProjectConfig.json_schema())


@app.command()
def check(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """Check quorum.toml, the label file and the prompts; the first error is told with its line."""
    config = load_project(project)
    labels = config.label_set()
    members = [member.name for member in config.members]
    if as_json:
        print_json({"ok": True, "hash": config.hash, "members": members, "labels": list(labels.names)})
    else:
        note(f"{config.root / 'quorum.toml'}: fine ({len(members)} member(s), {len(labels)} label(s))")


@app.command()
def show(
    project: ProjectOption = HERE,
    defaults: Annotated[bool, typer.Option("--defaults", help="Show the defaults, without any project.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every setting that holds, defaults and environment included, as TOML."""
    from agent.config import ProjectConfig
    from agent.configtemplate import effective_toml

    config = ProjectConfig.default(environment={}) if defaults else load_project(project)
    if as_json:
        print_json({**config.model_dump(mode="json"), "hash": config.hash})
    else:
        typer.echo(effective_toml(config), nl=False)
