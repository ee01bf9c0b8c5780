"""``quorum eval``: suites, their runs, and what follows from them.

Each command is a function in a module of its own, named in ``COMMANDS``;
whatever is heavy is imported inside those functions.
"""

from __future__ import annotations

import importlib

import typer

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("eval_run", "run"),
    "list": ("eval_list", "list_suites"),
    "freeze": ("eval_freeze", "freeze"),
    "baseline": ("eval_baseline", "baseline"),
    "compare": ("eval_compare", "compare"),
    "gate": ("eval_gate", "gate"),
    "report": ("eval_report", "report"),
    "view": ("eval_view", "view"),
    "score": ("eval_score", "score"),
}
"""Name of the command to its module under ``tui.commands`` and the function there."""

app = typer.Typer(no_args_is_help=True, help="Evaluations: run suites, compare runs, gate, report.")

for _name, (_module, _function) in COMMANDS.items():
    app.command(_name)(getattr(importlib.import_module(f"tui.commands.{_module}"), _function))
