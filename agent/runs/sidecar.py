"""The store beside an output, for runs without a project."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tools.errors import OutputError
from tools.store import DamagedStore, Store

_BESIDE = ("", "-wal", "-shm")


def store_beside(output: Path) -> Path:
    """``predictions.jsonl`` has ``predictions.jsonl.run.db``."""
    return output.with_name(output.name + ".run.db")


def index_beside(output: Path) -> Path:
    """The folder of the demonstration index of a run without a project."""
    return output.with_name(output.name + ".run.demos")


def open_store(path: Path, *, afresh: bool = False) -> Store:
    """Open a store, or begin it again.

    Args:
        path: The file.
        afresh: Throw away what is there. Never done to a store that somebody writes.

    Raises:
        StoreError: It is being written, damaged, or of a newer release.
        OutputError: What is there cannot be thrown away.
    """
    if afresh and path.exists():
        with contextlib.suppress(DamagedStore):  # to begin again is how to get rid of one
            Store.open(path).close()  # raises while another process writes it
        try:
            for ending in _BESIDE:
                path.with_name(path.name + ending).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path}: cannot be removed ({error.strerror})", "remove it by hand") from error
    return Store.open(path)
