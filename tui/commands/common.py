"""What several commands share: options, printing, opening a project."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from textual.screen import Screen

    from agent.config import ProjectConfig
    from tools.store import Store

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
ProjectOption = Annotated[
    Path, typer.Option("--project", "-p", help="The project's folder.", file_okay=False, show_default="here")
]
HERE = Path()


def printable(text: str) -> str:
    """A text that cannot disturb a terminal: controls, escapes and lone surrogates are written out.

    Args:
        text: Anything; line breaks are written out as well.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def print_json(data: Any) -> None:
    """Print one JSON value on stdout, readable and free of terminal escapes."""
    text = json.dumps(data, ensure_ascii=False, indent=2, default=str)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(data, ensure_ascii=True, indent=2, default=str)
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Say something on stderr, where it does not mix with data."""
    print(text, file=sys.stderr)


def console() -> Console:
    """A console for tables on stdout."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """Print a table on stdout: boxed on a terminal, tab-separated into a pipe, the headings first in either.

    Args:
        headings: Of the columns.
        rows: Their cells; texts may be anything.
        right: Numbers of the columns to align right.
    """
    if not sys.stdout.isatty():
        for row in (headings, *rows):
            sys.stdout.write("\t".join(printable(str(cell)) for cell in row) + "\n")
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for position, heading in enumerate(headings):
        figures = position in right  # a figure that goes on in the next line is hard to read
        table.add_column(heading, justify="right" if figures else "left", overflow="fold", no_wrap=figures)
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    console().print(table)


def load_project(folder: Path) -> ProjectConfig:
    """The configuration of a project's folder.

    Raises:
        ConfigError: There is none, or it is wrong.
    """
    from agent.config import ProjectConfig

    return ProjectConfig.load(folder)


def open_store(config: ProjectConfig, *, read_only: bool = False) -> Store:
    """Open a project's store; made where it does not exist, unless it is only to be read.

    Raises:
        StoreError: Another process writes it, or it is damaged or missing.
    """
    from tools.errors import StoreError
    from tools.store import Store

    path = config.store_path
    if read_only and not path.exists():
        raise StoreError(
            f"{path}: the project has no store yet", f"begin with: quorum import FILE --project {config.root}"
        )
    if not read_only:
        make_state_folder(path.parent)
    return Store.open(path, read_only=read_only)


def make_state_folder(folder: Path) -> None:
    """Make a project's ``.quorum`` folder, which keeps itself out of version control.

    Raises:
        OutputError: It cannot be made.
    """
    from tools.errors import OutputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (ignore := folder / ".gitignore").exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})", "choose a folder of your own") from error


def counted(number: int, one: str, many: str = "") -> str:
    """``1 document``, ``1,200 documents``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def user_name() -> str:
    """Who sits here, for the annotator field."""
    try:
        # The environment first; the account where that says nothing, as in containers and under cron.
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def check_theme(theme: str) -> None:
    """Make sure that there are colours of a name.

    Raises:
        InputError: There are none.
    """
    from tools.errors import InputError
    from tui.theme import PALETTES

    if theme not in PALETTES:
        raise InputError(f"there is no theme {theme!r}", f"one of {', '.join(PALETTES)}")


def need_terminal(screen: str, hint: str) -> None:
    """Make sure that a screen can be shown.

    Args:
        screen: What to call it, e.g. ``the campaign screen``.
        hint: Which command does without one.

    Raises:
        InputError: Standard input or standard error is no terminal.
    """
    from tools.errors import InputError

    if not sys.stdin.isatty() or not sys.stderr.isatty():  # Textual draws on stderr
        raise InputError(f"{screen} needs a terminal", hint)


def key_table(config: ProjectConfig | None = None) -> dict[str, Any]:
    """The ``[keys]`` that hold: a person's own, and a project's over them.

    Raises:
        ConfigError: The person's file cannot be read, or the table is wrong.
    """
    from platformdirs import user_config_path

    from tui.keymap import check_keys, joined_keys, read_user_keys

    table = joined_keys(read_user_keys(user_config_path("quorum")), config.keys if config is not None else {})
    check_keys(table, f"{config.root / 'quorum.toml'} [keys]" if config is not None else "[keys]")
    return table


def run_screen(first: Callable[[], Screen[Any]], theme: str, keys: Mapping[str, Any]) -> None:
    """Show a screen until the person leaves.

    Args:
        first: Makes the screen.
        theme: The name of the colours.
        keys: The ``[keys]`` table.

    Raises:
        typer.Exit: It ended with another status than 0.
    """
    from tui.app import QuorumApp

    app = QuorumApp(theme, keys)
    app.first = first
    status = app.run()
    if status or app.return_code:
        raise typer.Exit(app.return_code or status or 0)
