"""The log of an evaluation run: compressed, append-only, readable without any model library.

The file is JSON Lines under Zstandard (``zstdcat RUN.jsonl.zst`` shows it). It
is written in blocks; before each block stands a skippable frame, which
decoders pass over, with the block's kind, owner, length and checksum. So a
reader finds a cell without decompressing the others, a block that a kill cut
off is noticed and dropped, and finished cells are copied into another log as
they are.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self, cast

import orjson
import zstandard

from evals.errors import EvalLogError
from evals.recordlines import from_line, to_line
from evals.records import (
    FORM,
    CellDocument,
    CellEnd,
    CellHeader,
    Note,
    OracleDocument,
    PassDocument,
    PassEnd,
    PassHeader,
    PromptText,
    Record,
    RunEnd,
    RunHeader,
)

ENDING = ".jsonl.zst"
_SKIPPABLE = 0x184D2A51
_HEAD = struct.Struct("<II")
_MOST_HEADER = 4096
_LEVEL = 6


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a log as its skippable frame describes it.

    Attributes:
        kind: ``run``, ``pass``, ``documents``, ``pass_end``, ``cell`` (header,
            end and documents in one), ``unavailable`` (a cell that could not be
            measured) or ``note``.
        id: The pass or cell it belongs to; empty for the run itself.
        of: For a cell the pass it was read off.
        records: Records in it.
        size: Compressed bytes.
        crc: CRC-32 of these.
        offset: Where they begin in the file.
    """

    kind: str
    id: str
    of: str
    records: int
    size: int
    crc: int
    offset: int

    @property
    def end(self) -> int:
        """Where the next block begins."""
        return self.offset + self.size


def encode(kind: str, records: Iterable[Record], *, id: str = "", of: str = "") -> bytes:
    """A block's bytes, its skippable frame first."""
    lines = [to_line(record) for record in records]
    packed = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(b"".join(lines))
    about = {"kind": kind, "id": id, "of": of, "records": len(lines), "size": len(packed), "crc": zlib.crc32(packed)}
    head = orjson.dumps(about)
    return _HEAD.pack(_SKIPPABLE, len(head)) + head + packed


def blocks(path: Path) -> tuple[list[Block], int]:
    """The whole blocks of a log, and where the last of them ends.

    What follows the end is what a kill cut off. Nothing is decompressed; only
    the last block's checksum is looked at, because a machine that lost power
    may have kept a file's length and not its bytes.

    Raises:
        EvalLogError: The file is missing, is no such log, or is damaged before its end.
    """
    found: list[Block] = []
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            end = 0
            while end < size:
                block = _block_at(file, end, size, path)
                if block is None:
                    break
                found.append(block)
                end = block.end
            if found and not _intact(file, found[-1]):
                found.pop()
                end = found[-1].end if found else 0
    except OSError as error:
        raise EvalLogError(f"{path}: cannot be read ({error.strerror})", "see: quorum eval list --runs") from error
    if not found and size:
        raise EvalLogError(f"{path}: not a log of an evaluation", f"logs end in {ENDING}; see: quorum eval list --runs")
    return found, end


def _block_at(file: BinaryIO, at: int, size: int, path: Path) -> Block | None:
    file.seek(at)
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    magic, length = _HEAD.unpack(head)
    if magic != _SKIPPABLE or length > _MOST_HEADER:
        if at == 0:
            return None
        raise EvalLogError(f"{path}: damaged at byte {at:,}", "its cells are measured again when the suite is run")
    text = file.read(length)
    if len(text) < length:
        return None
    try:
        about = orjson.loads(text)
        block = Block(**about, offset=at + _HEAD.size + length)
    except (ValueError, TypeError) as error:
        raise EvalLogError(
            f"{path}: damaged at byte {at:,}", "its cells are measured again when the suite is run"
        ) from error
    return block if block.end <= size else None


def _intact(file: BinaryIO, block: Block) -> bool:
    file.seek(block.offset)
    return zlib.crc32(file.read(block.size)) == block.crc


def records_of(path: Path, block: Block) -> Iterator[Record]:
    """The records of a block.

    Raises:
        EvalLogError: The block's bytes are not what its checksum says.
    """
    with path.open("rb") as file:
        file.seek(block.offset)
        packed = file.read(block.size)
    if zlib.crc32(packed) != block.crc:
        raise EvalLogError(
            f"{path}: damaged at byte {block.offset:,}", "its cells are measured again when the suite is run"
        )
    for line in zstandard.ZstdDecompressor().decompress(packed).splitlines():
        yield from_line(line)


class LogWriter:
    """Appends to a run's log; what is there is never changed.

    A torn end is cut off when the file is opened again. Ends of passes and
    cells are forced to the disk; a kill loses at most the block being written.

    Args:
        path: The log; made where it does not exist.

    Raises:
        EvalLogError: The file cannot be written, or is no log.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        end = blocks(path)[1] if path.exists() else 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("r+b" if path.exists() else "w+b")
            self._file.truncate(end)
            self._file.seek(end)
        except OSError as error:
            raise EvalLogError(f"{path}: cannot be written ({error.strerror})", "choose another --into") from error

    def write(self, kind: str, records: Iterable[Record], *, id: str = "", of: str = "", sync: bool = False) -> None:
        """Append a block.

        Args:
            kind: As in :class:`Block`.
            records: What it holds.
            id: The pass or cell it belongs to.
            of: For a cell, its pass.
            sync: Wait until it is on the disk.

        Raises:
            EvalLogError: The disk is full or gone.
        """
        self._append(encode(kind, records, id=id, of=of), sync=sync)

    def copy(self, source: Path, which: Iterable[Block]) -> None:
        """Append blocks of another log as they are."""
        with source.open("rb") as file:
            for block in which:
                file.seek(block.offset)
                packed = file.read(block.size)
                about = {name: getattr(block, name) for name in ("kind", "id", "of", "records", "size", "crc")}
                head = orjson.dumps(about)
                self._append(_HEAD.pack(_SKIPPABLE, len(head)) + head + packed, sync=False)
        os.fsync(self._file.fileno())

    def _append(self, data: bytes, *, sync: bool) -> None:
        try:
            self._file.write(data)
            self._file.flush()
            if sync:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise EvalLogError(
                f"{self.path}: cannot be written ({error.strerror})", "make room, and run the same with --resume"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class PassLog:
    """A pass that came to its end; documents are read when asked for.

    Attributes:
        path: The log.
        header: How it was made.
        end: What it cost.
        blocks: All its blocks, in order.
    """

    path: Path
    header: PassHeader
    end: PassEnd
    blocks: tuple[Block, ...]

    def documents(self) -> Iterator[PassDocument]:
        """Every document with its steps, in the order of the data."""
        for record in self._records():
            if isinstance(record, PassDocument):
                yield record

    def prompts(self) -> dict[str, PromptText]:
        """Texts of the prompts by hash."""
        return {record.hash: record for record in self._records() if isinstance(record, PromptText)}

    def _records(self) -> Iterator[Record]:
        for block in self.blocks:
            if block.kind == "documents":
                yield from records_of(self.path, block)


@dataclass(frozen=True, slots=True)
class CellLog:
    """A finished cell; documents are read when asked for.

    Attributes:
        path: The log.
        block: Where it stands.
        header: Which cell it is.
        end: What it came to.
    """

    path: Path
    block: Block
    header: CellHeader
    end: CellEnd

    @property
    def id(self) -> str:
        """The cell's identity."""
        return self.header.id

    def documents(self) -> Iterator[CellDocument]:
        """What was decided, document by document; empty for oracle cells."""
        return (r for r in records_of(self.path, self.block) if isinstance(r, CellDocument))

    def oracle_documents(self) -> Iterator[OracleDocument]:
        """Questions and answers of a step scored alone; empty for end-to-end cells."""
        return (r for r in records_of(self.path, self.block) if isinstance(r, OracleDocument))


@dataclass(frozen=True, slots=True)
class RunLog:
    """A run as its log has it.

    Attributes:
        path: The log.
        header: How it was begun.
        end: How it ended; None while it has not.
        passes: Finished passes by id.
        cells: Finished cells in the order of the plan.
        notes: What was noticed.
        torn: Whether a kill cut the log's last block.
    """

    path: Path
    header: RunHeader
    end: RunEnd | None
    passes: dict[str, PassLog]
    cells: tuple[CellLog, ...]
    notes: tuple[Note, ...] = field(default=())
    torn: bool = False

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Identities of planned cells that are not here yet."""
        there = {cell.id for cell in self.cells}
        return tuple(id for id in self.header.cells if id not in there)

    def pass_of(self, cell: CellLog) -> PassLog | None:
        """The pass a cell was read off; None where it needed none."""
        return self.passes.get(cell.header.pass_id)


def read_run(path: str | Path) -> RunLog:
    """Open a run's log; documents are read only when they are asked for.

    Args:
        path: The log's file.

    Raises:
        EvalLogError: The file is missing, no log, of a newer form, or damaged
            before its end. A torn end is no error; see ``RunLog.torn``.
    """
    where = Path(path)
    found, end = blocks(where)
    first = next(records_of(where, found[0]), None) if found else None
    if not isinstance(first, RunHeader):
        raise EvalLogError(f"{where}: holds no run", "it was cut off at once; run the suite again")
    if first.form > FORM:
        raise EvalLogError(
            f"{where}: a log of form {first.form}, newer than this version's {FORM}", "read it with a newer Quorum"
        )
    run_end: RunEnd | None = None
    notes: list[Note] = []
    cells: dict[str, CellLog] = {}
    for block in found:
        if block.kind == "cell" or (block.kind == "unavailable" and block.id not in cells):
            cells[block.id] = _cell(where, block)
        elif block.kind in ("note", "run"):
            for record in records_of(where, block):
                if isinstance(record, Note):
                    notes.append(record)
                elif isinstance(record, RunEnd):
                    run_end = record
    order = {id: place for place, id in enumerate(first.cells)}
    ordered = sorted(cells.values(), key=lambda cell: order.get(cell.id, len(order)))
    torn = end < where.stat().st_size
    return RunLog(where, first, run_end, passes_in(where, found), tuple(ordered), tuple(notes), torn)


def passes_in(path: Path, found: Iterable[Block]) -> dict[str, PassLog]:
    """The finished passes among some blocks; a later one of the same id counts."""
    open_: dict[str, list[Block]] = {}
    done: dict[str, PassLog] = {}
    for block in found:
        if block.kind == "pass":
            open_[block.id] = [block]
        elif block.kind == "documents" and block.id in open_:
            open_[block.id].append(block)
        elif block.kind == "pass_end" and block.id in open_:
            own = (*open_.pop(block.id), block)
            header = cast(PassHeader, next(records_of(path, own[0])))
            done[block.id] = PassLog(path, header, cast(PassEnd, next(records_of(path, block))), own)
    return done


def _cell(path: Path, block: Block) -> CellLog:
    header: CellHeader | None = None
    end: CellEnd | None = None
    # The end stands second, so that a list of cells need not parse their documents.
    for record in records_of(path, block):
        if isinstance(record, CellHeader):
            header = record
        elif isinstance(record, CellEnd):
            end = record
        if header and end:
            return CellLog(path, block, header, end)
    raise EvalLogError(
        f"{path}: a cell without its end at byte {block.offset:,}", "its cells are measured again when the suite is run"
    )
