"""``quorum config``: check, show, JSON Schema."""

from __future__ import annotations

import sys
from pathlib import Path
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
def check(
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
    screen: Annotated[
        bool, typer.Option("--screen", help="Show every setting and every problem on a screen, whatever is wrong.")
    ] = False,
    theme: Annotated[str, typer.Option("--theme", help="Colours: standard, light or contrast.")] = "standard",
) -> None:
    """Check quorum.toml, the label file and the prompts; the first error is told with its line."""
    if screen:
        _show(project, theme)
        return
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


def _show(project: Path, theme: str) -> None:
    from tools.errors import ConfigError, InputError
    from tui.theme import PALETTES

    if theme not in PALETTES:
        raise InputError(f"there is no theme {theme!r}", f"one of {', '.join(PALETTES)}")
    if not project.is_dir():
        raise ConfigError(f"{project}: no such folder", f"make a project with: quorum init {project}")
    if not sys.stdin.isatty() or not sys.stderr.isatty():  # Textual draws on stderr
        raise InputError("this screen needs a terminal", "leave --screen out; quorum doctor looks at the machine")
    from tui.app import QuorumApp
    from tui.screens.settings import SettingsScreen

    app = QuorumApp(theme)
    app.first = lambda: SettingsScreen(project)
    status = app.run()
    if status or app.return_code:
        raise typer.Exit(app.return_code or status or 0)
