"""Files and folders that are there whole, or as they were before."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from tools.errors import OutputError


@contextlib.contextmanager
def told(path: str | Path) -> Iterator[None]:
    """Failures of the system as one line and a hint.

    Raises:
        OutputError: Instead of an OSError of the block.
    """
    hints = {
        errno.ENOSPC: "free some space and run it again",
        errno.EDQUOT: "free some space and run it again",
        errno.EFBIG: "the file may not grow that large here; write .jsonl.gz or .parquet, or elsewhere",
        errno.ENOENT: "make the folder first",
        errno.EACCES: "check the folder's permissions",
        errno.EROFS: "write elsewhere",
    }
    try:
        yield
    except OSError as error:
        hint = hints.get(error.errno or 0, "check the disk")
        reason = error.strerror or str(error)
        raise OutputError(f"{path}: cannot be written ({reason}); what was there is untouched", hint) from error


@contextlib.contextmanager
def atomic_file(path: str | Path, check: Callable[[], object] = lambda: None) -> Iterator[IO[bytes]]:
    """A new file that takes its place when the block ends well.

    Args:
        path: Where it goes; a link is followed.
        check: Called before it takes its place; what it raises keeps it out.

    Yields:
        The stream to write to.

    Raises:
        OutputError: It cannot be written. What was there before is untouched
            and nothing half-written stays.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OutputError(f"{path}: not a regular file", "name a file, e.g. predictions.jsonl")
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with told(path):
            raw = aside.open("wb")
        try:
            yield raw
            with told(path):
                raw.flush()
                os.fsync(raw.fileno())
        finally:
            # On a full disk the last buffered bytes cannot be written; the file goes anyway.
            with contextlib.suppress(OSError):
                raw.close()
        check()
        with told(path):
            os.replace(aside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


@contextlib.contextmanager
def atomic_text(path: Path, check: Callable[[], object] = lambda: None) -> Iterator[IO[bytes]]:
    """Like ``atomic_file``, packed where the name ends in ``.gz``."""
    with atomic_file(path, check) as raw:
        if path.suffix.lower() != ".gz":
            yield raw
            return
        # Without name and time in its head, a packed file depends on its content only.
        with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
            yield packed  # type: ignore[misc]


@contextlib.contextmanager
def atomic_folder(
    path: Path, endings: tuple[str, ...], check: Callable[[], object] = lambda: None, *, overwrite: bool = False
) -> Iterator[Path]:
    """A new folder that takes its place when the block ends well.

    Args:
        path: Where it goes. It may be there when it is empty.
        endings: Of the files that it will hold. With ``overwrite`` a folder
            that holds only such files is replaced; any other never is.
        check: Called before it takes its place.
        overwrite: Whether an old export may go.

    Yields:
        The folder to write into.

    Raises:
        OutputError: It cannot be written, or something is there.
    """
    target = Path(os.path.realpath(path))
    with told(path):
        _refuse_full(path, target, endings, overwrite=overwrite)
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    try:
        with told(path):
            aside.mkdir()
        yield aside
        check()
        with told(path):
            if target.exists():
                os.replace(target, old)
            try:
                os.replace(aside, target)
            except OSError:
                if old.exists():
                    os.replace(old, target)
                raise
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
    sync_folder(target.parent)


def _refuse_full(path: Path, target: Path, endings: tuple[str, ...], *, overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(f"{path}: a file, and this format writes a folder", "name a new folder")
    there = list(target.iterdir())
    foreign = next((entry for entry in there if not entry.name.endswith(endings) or not entry.is_file()), None)
    if foreign is not None:
        raise OutputError(f"{path}: holds other things ({foreign.name})", "name a new folder")
    if there and not overwrite:
        raise OutputError(f"{path}: not empty", "name a new folder, or replace it: --overwrite")


def sync_folder(folder: Path) -> None:
    """Make a new name durable, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
