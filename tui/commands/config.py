"""``quorum config``: check, show, JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tui.commands.common import (
    HERE,
    JsonOption,
    ProjectOption,
    check_theme,
    key_table,
    load_project,
    need_terminal,
    note,
    print_json,
    run_screen,
)

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
    """Check quorum.toml, the label file, the keys and the prompts; the first error is told with its line."""
    if screen:
        _show(project, theme)
        return
    config = load_project(project)
    labels = config.label_set()
    key_table(config)
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
    from tools.errors import ConfigError

    check_theme(theme)
    if not project.is_dir():
        raise ConfigError(f"{project}: no such folder", f"make a project with: quorum init {project}")
    need_terminal("this screen", "leave --screen out; quorum doctor looks at the machine")
    from tui.screens.settings import SettingsScreen

    run_screen(lambda: SettingsScreen(project), theme, _keys(project))


def _keys(project: Path) -> dict[str, Any]:
    """The keys that hold; the default ones where they, or the file, are wrong: the screen says what is."""
    from tools.errors import QuorumError

    try:
        return key_table(load_project(project))
    except QuorumError:
        return {}
