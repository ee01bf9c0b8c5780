"""Opening inputs: files, folders and standard input, gzipped or not."""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from tools.errors import InputError
from tools.formats.encoding import SAMPLE

Form = Literal["txt", "jsonl", "csv", "tsv", "parquet"]
ENDINGS: dict[str, Form] = {
    ".txt": "txt",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
STDIN = "-"
BROKEN_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read.

    Attributes:
        name: What messages call it.
        stem: What default ids begin with: the path inside the folder that was
            given, or the file's name, without its ending.
        form: What it holds.
        path: Where it is; None for standard input.
    """

    name: str
    stem: str
    form: Form
    path: Path | None

    @property
    def gzipped(self) -> bool:
        """Whether its name says that it is compressed."""
        return self.path is not None and self.path.suffix.lower() == ".gz"


def form_of(path: Path) -> tuple[Form, str] | None:
    """What a file holds by its ending, and its name without it; None when not supported."""
    name = path.name[:-3] if path.suffix.lower() == ".gz" else path.name
    stem, ending = os.path.splitext(name)
    form = ENDINGS.get(ending.lower())
    return (form, stem) if form and stem else None


def sources(given: str | Path) -> Iterator[Source]:
    """The files that an input names, in a stable order.

    Args:
        given: A file, a folder (searched through, sorted, hidden files left
            out) or ``-``; standard input is told apart by its first bytes.

    Raises:
        InputError: There is no such file, its ending is unknown, or the
            folder holds no file that can be read.
    """
    known = ", ".join(ENDINGS)
    if str(given) == STDIN:
        yield Source(STDIN, "stdin", "txt", None)
        return
    path = Path(given)
    if path.is_dir():
        yield from _walk(path, known)
        return
    if not path.exists():
        raise InputError(f"{path}: no such file or folder", "check the path given as input")
    found = form_of(path)
    if not found:
        raise InputError(f"{path}: {path.suffix or 'a file without ending'} is not supported", f"use {known}, also .gz")
    yield Source(str(path), found[1], found[0], path)


def _walk(folder: Path, known: str) -> Iterator[Source]:
    count = 0
    for here, folders, names in os.walk(folder, onerror=_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            if name.startswith(".") or not (found := form_of(path)):
                continue
            count += 1
            stem = path.relative_to(folder).with_name(found[1]).as_posix()
            yield Source(str(path), stem, found[0], path)
    if not count:
        raise InputError(f"{folder}: no file here can be read", f"put files ending in {known} there, also .gz")


def hidden(folder: Path, path: Path) -> bool:
    """Whether a file below a folder, or a folder on the way to it, is hidden."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be listed ({error.strerror})", "check its permissions") from error


class _Head(io.RawIOBase):
    """A stream whose first bytes have been read already; a fault met while doing so comes after them."""

    def __init__(self, head: bytes, rest: IO[bytes], fault: Exception | None, *, ours: bool) -> None:
        super().__init__()
        self._head, self._rest, self._fault, self._ours = memoryview(head), rest, fault, ours

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if self._head:
            size = min(len(buffer), len(self._head))
            buffer[:size] = self._head[:size]
            self._head = self._head[size:]
            return size
        if self._fault:
            raise self._fault
        # One underlying read at a time, so that what precedes a fault is delivered before it.
        data = self._rest.read1(len(buffer))  # type: ignore[attr-defined]
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if self._ours:
            self._rest.close()
        super().close()


def open_source(source: Source) -> tuple[io.BufferedReader, bytes, bool]:
    """Open a file and look at its beginning.

    Args:
        source: The file.

    Returns:
        A stream of the decompressed bytes from the start, the first of them,
        and whether these are all.

    Raises:
        InputError: It cannot be opened.
    """
    try:
        rest = _opened(source)
        head, fault = _sample(rest)
    except OSError as error:
        raise InputError(
            f"{source.name}: cannot be read ({error.strerror or error})", "check its permissions"
        ) from error
    # A broken gzip is not whole: its last character may be cut.
    whole = len(head) < SAMPLE and fault is None
    return io.BufferedReader(_Head(head, rest, fault, ours=source.path is not None), 1 << 18), head, whole


def _opened(source: Source) -> IO[bytes]:
    if source.path is None:
        return _stdin()
    if source.gzipped:
        return gzip.open(source.path, "rb")  # type: ignore[return-value]
    return source.path.open("rb")


def _stdin() -> IO[bytes]:
    """Standard input as bytes, decompressed where it begins like gzip."""
    stream: IO[bytes]
    try:
        # A reader of our own: a thread that waits in sys.stdin's would abort the interpreter at its end.
        stream = io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False))
    except (OSError, ValueError):  # not a real file, as in tests
        stream = sys.stdin.buffer
    peek = getattr(stream, "peek", None)
    packed = peek is not None and peek(2)[:2] == b"\x1f\x8b"
    return gzip.GzipFile(fileobj=stream) if packed else stream  # type: ignore[return-value]


def _sample(stream: IO[bytes]) -> tuple[bytes, Exception | None]:
    parts, size = [], 0
    try:
        while size < SAMPLE:
            part = stream.read1(SAMPLE - size)  # type: ignore[attr-defined]
            if not part:
                break
            parts.append(part)
            size += len(part)
    except BROKEN_GZIP as error:
        return b"".join(parts), error
    return b"".join(parts), None
