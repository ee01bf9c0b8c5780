"""How many documents an input holds, so that a run can say when it will end.

Cheap and allowed to be wrong by a little: lines are counted, not parsed. Where
counting would mean decompressing, there is no answer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_LINED = frozenset({".jsonl", ".ndjson", ".csv", ".tsv"})
_READABLE = _LINED | {".txt", ".parquet"}
_BLOCK = 1 << 20
_COUNTED_WHOLE = 256 << 20
_SAMPLE = 8 << 20


def count_documents(
    source: str | Path, *, lines: bool = False, limit: int | None = None, shard: tuple[int, int] | None = None
) -> int | None:
    """About how many documents a run over this input will meet.

    Args:
        source: What ``--input`` names.
        lines: Whether every line of a text file is a document.
        limit: The most documents that are read.
        shard: ``(i, n)``, or None.

    Returns:
        The number, or None where it cannot be told without reading everything.
    """
    path = Path(source)
    # A named pipe can be read once only: not here.
    if str(source) == "-" or not (path.is_dir() or path.is_file()) or (path.is_file() and not path.stat().st_size):
        return None
    total = 0
    for file in _files(path):
        count = _count(file, lines)
        if count is None:
            return None
        total += count
    if limit is not None:
        total = min(total, limit)
    return round(total / shard[1]) if shard else total


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            if file.is_file() and file.suffix.lower() in (*_READABLE, ".gz"):
                yield file


def _count(file: Path, lines: bool) -> int | None:
    ending = file.suffix.lower()
    if ending == ".parquet":
        return _parquet_rows(file)
    if ending == ".txt":
        return _lines(file) if lines else 1
    if ending in _LINED:
        return max(0, _lines(file) - (ending in (".csv", ".tsv")))
    return None


def _lines(file: Path) -> int:
    try:
        size = file.stat().st_size
        wanted = size if size <= _COUNTED_WHOLE else _SAMPLE
        breaks, seen, last = 0, 0, b""
        with file.open("rb", buffering=0) as stream:
            while seen < wanted and (block := stream.read(_BLOCK)):
                breaks += block.count(b"\n")
                seen += len(block)
                last = block[-1:]
    except OSError:
        return 0  # the reader will say what is wrong with it
    if seen < size:
        return round(breaks * size / max(1, seen))
    return breaks + (seen > 0 and last != b"\n")


def _parquet_rows(file: Path) -> int | None:
    import pyarrow.parquet

    try:
        return int(pyarrow.parquet.read_metadata(file).num_rows)
    except (OSError, ValueError):  # pyarrow's own errors derive from these; the reader will tell
        return None
