"""Running the command: in this process for what it says, in one of its own where that matters."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest import mock

from tui.main import run

ROOT = Path(__file__).parents[2]


def quorum(*arguments: str | Path, **environment: str) -> tuple[int, str, str]:
    """Run ``quorum`` in this process and return its status, stdout and stderr."""
    out, err = StringIO(), StringIO()
    with (
        mock.patch.dict(os.environ, variables(**environment), clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        status = run([str(argument) for argument in arguments])
    return status, out.getvalue(), err.getvalue()


def process(*arguments: str | Path, stdin: str = "", **environment: str) -> tuple[int, str, str]:
    """Run ``quorum`` in a process of its own and return its status, stdout and stderr."""
    ended = subprocess.run(
        [sys.executable, "-m", "tui.main", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        cwd=ROOT,
        env={**variables(**environment), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )
    return ended.returncode, ended.stdout, ended.stderr


def variables(**more: str) -> dict[str, str]:
    """The environment without settings of the person who runs the tests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("QUORUM_") or k in ("QUORUM_CACHE", "QUORUM_HOME")}
    return {**kept, "COLUMNS": "100", "NO_COLOR": "1", **more}
