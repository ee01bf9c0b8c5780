"""The ``quorum`` command: which subcommands there are, and how errors are told.

A command's module is imported when that command runs and not before, so that
``quorum --help`` and shell completion stay quick however heavy a command is.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

PROGRAM = "quorum"
DEBUG_VARIABLE = "QUORUM_DEBUG"
_BEGIN, _WORK, _LOOK, _SETTINGS = "Begin", "Extract", "Look inside", "Set up"


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a subcommand lives.

    Attributes:
        module: The module under ``tui.commands``.
        attribute: A function, or a Typer app with commands of its own.
        help: One line for the list of commands.
        panel: The group it is listed in.
    """

    module: str
    attribute: str
    help: str
    panel: str


COMMANDS: dict[str, Entry] = {
    "demo": Entry("demo", "demo", "Try it: extract a sample corpus with the starter model, and look.", _BEGIN),
    "init": Entry("init", "init", "Make a project folder with its quorum.toml and labels.toml.", _BEGIN),
    "import": Entry(
        "importing", "import_documents", "Read documents into a project, with their gold if they carry it.", _BEGIN
    ),
    "status": Entry("status", "status", "Say how far a project is and what to do next.", _BEGIN),
    "label": Entry("label", "label", "Label documents in the terminal, by keyboard.", _WORK),
    "extract": Entry("extract", "extract", "Extract entities from files, unattended and resumable.", _WORK),
    "select": Entry("select", "select", "Pick what to label next and say why, without asking.", _WORK),
    "run": Entry("run", "run", "Run a campaign: choose what to label, measure, say when it is enough.", _WORK),
    "campaign": Entry("campaign", "campaign", "Look at a campaign: curve, types, cost, batch; label it.", _WORK),
    "review": Entry("review", "review", "Decide between annotators' and models' versions, side by side.", _WORK),
    "agreement": Entry("agreement", "agreement", "Say how far annotators and models agree.", _LOOK),
    "export": Entry("export", "export", "Write gold or suggestions to a file, in any of seven formats.", _WORK),
    "watch": Entry("watch", "watch", "Follow a run that goes on elsewhere: progress, members, what failed.", _WORK),
    "retry": Entry("retry", "retry", "Run the passages again that failed.", _WORK),
    "train": Entry("train", "train", "Train an adapter on a project's labels and make it a member.", _WORK),
    "eval": Entry("eval", "app", "Evaluations: run suites, compare runs, gate, report.", _WORK),
    "demos": Entry("demos", "app", "The demonstrations shown to the models: list, search, rebuild.", _LOOK),
    "prompts": Entry("prompts", "app", "The prompts: list, show, render, compare.", _LOOK),
    "graph": Entry("graph", "graph", "Draw the extraction graph (Mermaid).", _LOOK),
    "fsck": Entry("fsck", "fsck", "Check that a project's store is whole.", _LOOK),
    "models": Entry("models", "app", "Local models: pull, list, serve, status, stop.", _SETTINGS),
    "config": Entry("config", "app", "The project file: check, show, JSON Schema.", _SETTINGS),
    "doctor": Entry("doctor", "doctor", "Say what this machine can run and what is missing.", _SETTINGS),
}


class LazyCommand(TyperCommand):
    """Stands for a subcommand in lists; imports it when it is to run."""

    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, help=entry.help, short_help=entry.help, rich_help_panel=entry.panel)
        self.entry = entry

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the real command."""
        return self.real().make_context(info_name, args, parent, **extra)

    def real(self) -> Any:
        """Import the module and build the command."""
        module = importlib.import_module(f"tui.commands.{self.entry.module}")
        found = getattr(module, self.entry.attribute)
        app = typer.Typer(add_completion=False)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=self.name)
            command = typer.main.get_group(app).commands[str(self.name)]
        else:
            app.command(self.name, help=found.__doc__ or self.entry.help)(found)
            command = typer.main.get_command(app)
        command.name = self.name
        return command


class LazyGroup(TyperGroup):
    """The root command; holds stand-ins for its subcommands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: LazyCommand(name, entry) for name, entry in COMMANDS.items()}

    def list_commands(self, ctx: Any) -> list[str]:
        """The subcommands, in the order of the table."""
        return list(self.commands)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"{PROGRAM} {version('quorum-ner')}")
        except PackageNotFoundError:
            typer.echo(f"{PROGRAM} (not installed)")
        raise typer.Exit


app = typer.Typer(cls=LazyGroup, name=PROGRAM, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", envvar=DEBUG_VARIABLE, help="Show tracebacks of errors.")] = False,
) -> None:
    """A quorum of small local models, and you: annotate named entities.

    Every command explains itself: quorum COMMAND --help.
    """
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"


def run(arguments: Sequence[str]) -> int:
    """Run the command line and say how it ended.

    What a person did wrong is told in one line with a hint on stderr; anything
    else is a bug and keeps its traceback.

    Args:
        arguments: What follows the program's name.

    Returns:
        The exit status: 0, an error's own, 2 for wrong usage, 130 when interrupted.
    """
    command = typer.main.get_command(app)
    try:
        ended = command.main(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        return ended if isinstance(ended, int) and not isinstance(ended, bool) else 0
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has left (`quorum ... | head`); nothing may be flushed to it at the end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        # Imported only now: even the error tree brings modules that --help has no use for.
        from prompts.errors import QuorumError

        if isinstance(error, QuorumError):
            if os.environ.get(DEBUG_VARIABLE) or "--debug" in arguments:
                import traceback

                traceback.print_exc()
            _tell(error.message, error.hint)
            return error.exit_code
        # Wrong usage; the type is private to Typer and known by what it offers.
        if not callable(getattr(error, "format_message", None)):
            raise
        return _usage(error)


def _usage(error: Any) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ != "NoArgsIsHelpError":  # that one has printed the help already
        path = context.command_path if context is not None else PROGRAM
        _tell(error.format_message().rstrip("."), f"see {path} --help")
    return int(error.exit_code)


def _tell(message: str, hint: str) -> None:
    from tui.commands.common import printable

    print(f"{PROGRAM}: {printable(message)}", file=sys.stderr)
    if hint:
        print(f"hint: {printable(hint)}", file=sys.stderr)


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
