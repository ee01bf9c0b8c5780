"""From any file to annotated documents, and back: what ``quorum import`` and ``quorum export`` call."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from tools.errors import InputError
from tools.formats.brat import document_id
from tools.formats.format import Format, ReadOptions, WriteOptions
from tools.formats.holds import fit
from tools.formats.items import Annotated
from tools.formats.loss import LossReport
from tools.formats.registry import FORMATS, ending_of, format_of_file, format_of_output
from tools.formats.report import BadRecord, ReadReport
from tools.formats.rows import Fault
from tools.formats.seen import SeenIds
from tools.formats.sources import BROKEN_GZIP, STDIN, Source, form_of, hidden, sources

_ANNOTATED = (".conll", ".iob", ".bio", ".iob2", ".bioes", ".spacy")
_SKIP_HINT = "mend it, or go on without it: --skip-bad"


def write_annotated(
    path: str | Path,
    items: Iterable[Annotated],
    format_: Format | None = None,
    options: WriteOptions | None = None,
    losses: LossReport | None = None,
) -> int:
    """Write annotated documents to a file or folder, which is there whole or as it was before.

    Args:
        path: The output.
        items: Drawn one by one.
        format_: The format; None to take the ending's.
        options: How to write.
        losses: Counts what the format cannot hold; strict ones refuse.

    Returns:
        How many documents were written.

    Raises:
        OutputError: It cannot be written, or something would be lost and
            ``losses`` is strict. Nothing half-written stays.
        InputError: The format needs a library that is not installed.
    """
    format_ = format_ or format_of_output(Path(path))
    losses = LossReport() if losses is None else losses
    assert format_.writer is not None, format_.name
    fitted = (fit(item, format_.holds, losses) for item in items)
    return format_.writer(Path(path), fitted, options or WriteOptions(), losses)


def read_annotated(
    given: str | Path | Source,
    format_: Format | None = None,
    options: ReadOptions | None = None,
    report: ReadReport | None = None,
) -> Iterator[Annotated]:
    """Read annotated documents from a file or a folder.

    Args:
        given: A path, or a file made by ``spooled``. Of a folder all files of
            the format are read; where none is given, one with ``.ann`` files is brat's.
        format_: The format; None to tell it file by file.
        options: How to read.
        report: Filled while reading: files, faults, losses, repairs.

    Yields:
        Documents with unique ids, in a stable order.

    Raises:
        InputError: The input is missing or empty, of no format that can be
            told, or a document is faulty and ``skip_bad`` is off.
    """
    reading = _Reading(
        given if isinstance(given, Source) else Path(given),
        format_,
        options or ReadOptions(),
        ReadReport() if report is None else report,
    )
    yield from reading.items()


@dataclass(slots=True)
class _Reading:
    given: Path | Source
    format: Format | None
    options: ReadOptions
    report: ReadReport
    seen: SeenIds = field(default_factory=SeenIds)

    def items(self) -> Iterator[Annotated]:
        for number, source in enumerate(self._sources()):
            yield from self._file(source, number)
        if not self.report.records:
            left_out = f", {self.report.bad_count} were left out" if self.report.bad_count else ""
            raise InputError(f"{self._name}: no document in it{left_out}", "an input must hold at least one document")

    def _sources(self) -> Iterator[Source]:
        path = self.given
        if isinstance(path, Source):
            yield path
            return
        if not path.is_dir():
            yield _single(path)
            return
        format_ = self.format
        if format_ is None and any(entry.suffix == ".ann" and not hidden(path, entry) for entry in path.rglob("*.ann")):
            format_ = self.format = FORMATS["brat"]
        if format_ is None and not any(form_of(entry) for entry in path.rglob("*")):
            # No plain document among them: what else is there by its ending.
            yield from _walk(path, tuple(e for f in FORMATS.values() for e in (*f.endings, ".json")))
        elif format_ is None:
            others = sum(ending_of(entry) in _ANNOTATED and not hidden(path, entry) for entry in path.rglob("*.*"))
            if others:
                self.report.warn(f"{path}: {others} file(s) of other formats are left out; read them with --format")
            yield from sources(path)
        elif format_.name == "brat":
            yield from _pairs(path)
        else:
            yield from _walk(path, format_.endings)

    def _file(self, source: Source, number: int) -> Iterator[Annotated]:
        read = 0
        try:
            if source.path is not None and not source.path.stat().st_size:
                if source.name == self._name:
                    raise InputError(f"{source.name}: empty", "an input must hold at least one document")
                self.report.warn(f"{source.name}: empty")
            format_ = self.format or format_of_file(source)
            if format_.name == "table" and source.form != "tsv" and ending_of(source.path or Path()) != ".csv":
                source = replace(source, form="csv")
            assert format_.reader is not None, format_.name
            for found in format_.reader(source, self.options, self.report):
                made: Annotated | Fault = found
                if isinstance(found, Annotated):
                    made = self._double(found, source, number) or found
                if isinstance(made, Fault):
                    self._bad(source, made)
                    continue
                read += 1
                self.report.records += 1
                yield made
        except BROKEN_GZIP as error:
            found_ = f"; {read} document(s) before the fault are kept" if self.options.skip_bad else ""
            what = (
                "not gzip data, despite its name"
                if "Not a gzip" in str(error)
                else "its gzip data ends early or is damaged"
            )
            self._bad(source, Fault(0, f"{what}{found_}", "fetch or pack the file again"))
            self.report.warn(f"{source.name}: damaged gzip ({error}), {read} document(s) read")
        except OSError as error:
            raise InputError(f"{source.name}: cannot be read ({error.strerror or error})", "check the disk") from error

    @property
    def _name(self) -> str:
        return self.given.name if isinstance(self.given, Source) else str(self.given)

    def _double(self, item: Annotated, source: Source, number: int) -> Fault | None:
        who = "\n".join(sorted(layer.annotator for layer in item.layers))
        # Several people's decisions on one document may come apart; the store puts them together.
        key = f"{item.document.id}\0{who}" if who else item.document.id
        if self.seen.add(key, number, self.report.records + 1) is None:
            return None
        hint = "ids must be unique; --skip-bad keeps the first"
        return Fault(0, f"the id {item.document.id!r} is used twice", hint)

    def _bad(self, source: Source, fault: Fault) -> None:
        bad = BadRecord(fault.file or source.name, fault.line, fault.reason)
        if not self.options.skip_bad:
            raise InputError(str(bad), fault.hint or _SKIP_HINT)
        self.report.left_out(bad)


@contextlib.contextmanager
def spooled(stream: IO[bytes]) -> Iterator[Source]:
    """Standard input as a file that can be looked at and read more than once.

    Args:
        stream: Its bytes; gzipped ones are told by their beginning.
    """
    head = stream.read(2)
    with tempfile.TemporaryDirectory(prefix="quorum-") as folder:
        path = Path(folder, "stdin.gz" if head == b"\x1f\x8b" else "stdin")
        with path.open("wb") as out:
            out.write(head)
            shutil.copyfileobj(stream, out, 1 << 20)
        yield Source(STDIN, "stdin", "txt", path)


def _single(path: Path) -> Source:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder", "check the path given as input")
    return _source(path, path.name)


def _source(path: Path, relative: str) -> Source:
    packed = path.suffix.lower() == ".gz"
    bare = relative[:-3] if packed else relative
    ending = Path(bare).suffix
    form = form_of(path)
    return Source(str(path), bare[: len(bare) - len(ending)] or bare, form[0] if form else "txt", path)


def _walk(folder: Path, endings: tuple[str, ...]) -> Iterator[Source]:
    count = 0
    for path in sorted(folder.rglob("*")):
        if path.is_file() and ending_of(path) in endings and not hidden(folder, path):
            count += 1
            yield _source(path, path.relative_to(folder).as_posix())
    if not count:
        raise InputError(
            f"{folder}: no file here can be read", f"put files ending in {', '.join(dict.fromkeys(endings))} there"
        )


def _pairs(folder: Path) -> Iterator[Source]:
    """One source a document of brat: its ``.txt``, or an ``.ann`` that stands alone."""
    stems = {
        path.with_suffix("")
        for ending in (".txt", ".ann")
        for path in folder.rglob(f"*{ending}")
        if path.is_file() and not hidden(folder, path)
    }
    if not stems:
        raise InputError(f"{folder}: no .txt and .ann files here", "give the folder that has them")
    for stem in sorted(stems, key=lambda path: document_id(path.relative_to(folder).as_posix())):
        text = stem.with_name(f"{stem.name}.txt")
        path = text if text.exists() else stem.with_name(f"{stem.name}.ann")
        yield Source(str(path), stem.relative_to(folder).as_posix(), "txt", path)
