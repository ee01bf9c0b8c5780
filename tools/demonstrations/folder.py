"""The folder an index lives in: generations, locks, and snapshots for readers.

Chroma must have one writing process: several corrupt its vector files, and a
process that only reads, while another writes, reads torn or vanished ones. So

- a writer holds ``writer.lock`` for as long as it lives; a second one is told so;
- a reader never opens the live files. It copies them, under ``busy.lock``, which
  a writer holds only while it changes something, and opens its copy. A run thus
  sees the demonstrations as they were when it began, whatever is labelled
  meanwhile, any number of readers may work, and none blocks the writer;
- the live files are the generation that ``CURRENT`` names. A rebuild fills a new
  one and then renames a new ``CURRENT`` into place, so a crash leaves the old;
- ``state.json`` in a generation is marked unclean before a change and clean, with
  the sizes of all files, after it. Chroma does not check its vector files: a
  truncated one ends the process with a segmentation fault, so a generation
  that is not clean and whole is refused before Chroma sees it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tools.errors import DemonstrationIndexError

REBUILD_HINT = "run `quorum demos rebuild`"
STATE = "state.json"
_FORMAT = 1
_BUSY_SECONDS = 60.0


class IndexFolder:
    """Locks and generations of one index; knows nothing of what a generation holds.

    Args:
        path: The index's folder; made if a writer needs it.
        read_only: Whether to work on a private copy.

    Raises:
        DemonstrationIndexError: Another process writes, or the folder cannot be used.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._snapshot: Path | None = None
        self._writer = FileLock(path / "writer.lock", timeout=0)
        self._busy = FileLock(path / "busy.lock", timeout=_BUSY_SECONDS)
        self._alive: FileLock | None = None
        if read_only:
            if not (path / "CURRENT").is_file():
                raise DemonstrationIndexError(f"there is no demonstration index in {path}", REBUILD_HINT)
        else:
            self._take()

    def _take(self) -> None:
        holder = self.path / "writer.pid"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._writer.acquire()
            holder.write_text(str(os.getpid()))
        except Timeout:
            pid = holder.read_text().strip() if holder.is_file() else ""
            who = "this process already" if pid == str(os.getpid()) else f"another process{f' ({pid})' if pid else ''}"
            raise DemonstrationIndexError(
                f"the demonstration index {self.path} is being written by {who}",
                "end that one first; reading is possible meanwhile",
            ) from None
        except OSError as error:
            raise DemonstrationIndexError(
                f"cannot write the demonstration index {self.path}: {error.strerror}", "check the folder's permissions"
            ) from error

    @property
    def exists(self) -> bool:
        """Whether there is, or was, an index here."""
        return (self.path / "CURRENT").exists() or any(self.path.glob("generation-*"))

    def current(self) -> Path:
        """The live generation, checked, or a reader's own copy of it.

        Raises:
            DemonstrationIndexError: It is missing, was left in the middle of a
                change, or its files are not those that were written.
        """
        if self._snapshot is not None:
            return self._snapshot
        if not self.read_only:
            return self._checked(self._live())
        with self._held(self._busy):
            self._sweep()
            live = self._checked(self._live())
            readers = self.path / "readers"
            own = readers / uuid.uuid4().hex
            try:
                readers.mkdir(exist_ok=True)
                self._alive = FileLock(readers / f"{own.name}.lock", timeout=0)
                self._alive.acquire()
                shutil.copytree(live, own)
            except OSError as error:
                raise DemonstrationIndexError(
                    f"cannot copy the demonstration index for reading: {error.strerror or error}",
                    f"make room on the disk of {self.path}",
                ) from error
        self._snapshot = own
        return own

    def _live(self) -> Path:
        try:
            name = (self.path / "CURRENT").read_text().strip()
        except OSError as error:
            raise DemonstrationIndexError(f"the demonstration index {self.path} is incomplete", REBUILD_HINT) from error
        folder = self.path / name
        if not name.startswith("generation-") or not folder.is_dir():
            raise DemonstrationIndexError(f"the demonstration index {self.path} has lost its data", REBUILD_HINT)
        return folder

    def _checked(self, folder: Path) -> Path:
        state = read_state(folder)
        if state.get("format") != _FORMAT:
            raise DemonstrationIndexError(
                f"the demonstration index {self.path} is unreadable or of another version", REBUILD_HINT
            )
        if not state.get("clean"):
            raise DemonstrationIndexError(f"a change to the demonstration index {self.path} was cut off", REBUILD_HINT)
        if state.get("files") != _sizes(folder):
            raise DemonstrationIndexError(f"files of the demonstration index {self.path} are damaged", REBUILD_HINT)
        return folder

    @contextlib.contextmanager
    def changing(self, folder: Path, facts: dict[str, Any]) -> Iterator[None]:
        """Around each change: keeps readers from copying and marks the generation unclean meanwhile.

        Args:
            folder: The generation that is changed.
            facts: What to record beside; read when the change is over.

        Raises:
            DemonstrationIndexError: The folder is gone.
        """
        if not (folder / STATE).is_file():
            # Chroma would go on writing into deleted files without a word.
            raise DemonstrationIndexError(f"the demonstration index {self.path} was deleted while in use", REBUILD_HINT)
        with self._held(self._busy):
            write_state(folder, clean=False, facts=facts)
            try:
                yield
            except KeyboardInterrupt:
                # Chroma's calls end before Python sees Ctrl-C: its files are whole.
                write_state(folder, clean=True, facts=facts)
                raise
            write_state(folder, clean=True, facts=facts)

    def new_generation(self) -> Path:
        """An empty generation beside the live one; it counts once :meth:`publish` is called."""
        folder = self.path / f"generation-{uuid.uuid4().hex[:12]}"
        folder.mkdir()
        write_state(folder, clean=False, facts={})
        return folder

    def publish(self, folder: Path) -> None:
        """Make a generation the live one, atomically, and remove all others."""
        with self._held(self._busy):
            draft = self.path / "CURRENT.new"
            with draft.open("w") as stream:
                stream.write(folder.name)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(self.path / "CURRENT")
        for other in self.path.glob("generation-*"):
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)

    def close(self) -> None:
        """Remove a reader's copy, or let the next writer in; may be called twice."""
        if self._snapshot is not None:
            shutil.rmtree(self._snapshot, ignore_errors=True)
            self._snapshot = None
        if self._alive is not None:
            self._alive.release()
            Path(self._alive.lock_file).unlink(missing_ok=True)
            self._alive = None
        if self._writer.is_locked:
            (self.path / "writer.pid").unlink(missing_ok=True)
            self._writer.release()

    @contextlib.contextmanager
    def _held(self, lock: FileLock) -> Iterator[None]:
        try:
            lock.acquire()
        except Timeout:
            raise DemonstrationIndexError(
                f"the demonstration index {self.path} stayed busy for {_BUSY_SECONDS:.0f} s", "try again later"
            ) from None
        except OSError as error:
            raise DemonstrationIndexError(
                f"cannot lock the demonstration index {self.path}: {error.strerror}", REBUILD_HINT
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _sweep(self) -> None:
        """Remove the copies of readers that ended without closing: nobody holds their locks."""
        for lock_file in self.path.glob("readers/*.lock"):
            lock = FileLock(lock_file, timeout=0)
            with contextlib.suppress(Timeout, OSError), lock:
                shutil.rmtree(lock_file.with_suffix(""), ignore_errors=True)
                lock_file.unlink(missing_ok=True)


def read_state(folder: Path) -> dict[str, Any]:
    """What ``state.json`` of a generation says; empty if it cannot be read."""
    try:
        state = json.loads((folder / STATE).read_bytes())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_state(folder: Path, *, clean: bool, facts: dict[str, Any]) -> None:
    """Replace ``state.json``; a clean one lists the sizes of all files."""
    state = {"format": _FORMAT, "clean": clean, "files": _sizes(folder) if clean else {}, **facts}
    draft = folder / f"{STATE}.new"
    draft.write_text(json.dumps(state))
    draft.replace(folder / STATE)


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(STATE))
    # SQLite's own side files come and go with open connections.
    kept = (path for path in files if not path.name.endswith(("-wal", "-shm", "-journal")))
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in kept}
