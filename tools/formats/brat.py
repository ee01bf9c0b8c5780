"""brat standoff: a ``.txt`` with the text and an ``.ann`` with the mentions, side by side.

Offsets count characters. An ``.ann`` is of lines, so a mention across a line
break is written in fragments that leave the break out, as brat does it; such
fragments are one mention again when they are read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath
from urllib.parse import quote_from_bytes, unquote_to_bytes

from tools.annotation.document import Document
from tools.annotation.span import Span
from tools.errors import OutputError
from tools.formats.filing import atomic_folder, told
from tools.formats.format import Format, ReadOptions, WriteOptions
from tools.formats.holds import Holds
from tools.formats.items import Annotated, Layer, Mention
from tools.formats.loss import LossReport
from tools.formats.naming import plain_label
from tools.formats.report import ReadReport
from tools.formats.rows import Fault
from tools.formats.sources import Source
from tools.formats.writing import without_surrogates

_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_BREAK = re.compile(f"[{_BREAKS}]+")
_MENTION = re.compile(r"(\S+) (\d+ \d+(?:;\d+ \d+)*)")
_NAME = 200  # bytes of a file's name; the systems' limit is 255
_SAFE = "-_.~ (),+=@"


def read(source: Source, options: ReadOptions, report: ReadReport) -> Iterator[Annotated | Fault]:
    """Read one document: the ``.txt``, and the ``.ann`` beside it where there is one."""
    if source.path is None:
        yield Fault(0, "brat standoff is a folder of .txt and .ann files", "give the folder")
        return
    text_path, notes_path = source.path.with_suffix(".txt"), source.path.with_suffix(".ann")
    if not text_path.exists():
        yield Fault(0, f"there is no {text_path.name} beside it", "an .ann needs the .txt it speaks of")
        return
    report.opened(source.name, "utf-8")
    text = _decoded(text_path, text_path.read_bytes())
    written = _decoded(notes_path, notes_path.read_bytes()) if notes_path.exists() else None
    if isinstance(text, Fault) or isinstance(written, Fault):
        yield text if isinstance(text, Fault) else written  # type: ignore[misc]
        return
    name = document_id(source.stem)
    yield Annotated(Document(name, text)) if written is None else _item(name, text, written, notes_path, report)


def _decoded(path: Path, data: bytes) -> str | Fault:
    # No byte-order mark is taken away: brat counts it as a character.
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Fault(
            line, f"byte 0x{data[error.start]:02X} is not UTF-8, which brat wants", "convert the file", str(path)
        )


def _item(name: str, text: str, written: str, path: Path, report: ReadReport) -> Annotated | Fault:
    mentions: list[Mention] = []
    kept: list[str] = []
    for number, line in enumerate(written.split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        if not line.startswith("T"):
            if line[0] not in "EMARN#*":
                return Fault(
                    number, f"{line[:30]!r} is no annotation", "brat's lines begin with T1, #1, R1, ...", str(path)
                )
            kept.append(line)
            report.losses.add("in meta", name, detail=line[:40])
            continue
        found = _mention(name, text, line, report)
        if isinstance(found, str):
            return Fault(number, found, "offsets count characters from 0 in the .txt", str(path))
        if found is not None:
            mentions.append(found)
    layer = Layer(tuple(sorted(set(mentions), key=lambda mention: mention.span)))
    return Annotated(Document(name, text, {"brat": kept} if kept else {}), (layer,))


def _mention(name: str, text: str, line: str, report: ReadReport) -> Mention | str | None:
    """The mention of a T line; what is wrong with it; None where it cannot be held."""
    key, *rest = line.split("\t", 2)
    matched = _MENTION.fullmatch(rest[0]) if rest else None
    if matched is None:
        return f"{line[:60]!r} is not: T1, tab, TYPE START END, tab, text"
    pieces = [(int(a), int(b)) for a, b in (part.split(" ") for part in matched[2].split(";"))]
    for start, end in pieces:
        if not 0 <= start < end <= len(text):
            return f"{key}: {start} to {end} is no range in a text of {len(text)} characters"
    there = " ".join(text[start:end] for start, end in pieces)
    quoted = rest[1] if len(rest) > 1 else None
    if quoted is not None and _BREAK.sub(" ", quoted).split() != _BREAK.sub(" ", there).split():
        return f"{key}: its text is {quoted!r}, the .txt has {there!r}"
    gaps = [text[a[1] : b[0]] for a, b in pairwise(pieces)]
    span = Span(pieces[0][0], max(pieces[-1][1], pieces[0][0] + 1), matched[1])
    if not all(_BREAK.fullmatch(gap) for gap in gaps):
        report.losses.add("discontinuous", name, span, f"{matched[1]} {matched[2]}")
        return None
    return Mention(span)


def write(path: Path, items: Iterable[Annotated], options: WriteOptions, losses: LossReport) -> int:
    """Write a folder: an undecided document has no ``.ann``, one where nothing was found an empty one."""
    if path.suffix.lower() in (".ann", ".txt"):
        raise OutputError(f"{path}: brat standoff is a folder", "name a folder, e.g. gold-brat")
    count = 0
    with atomic_folder(path, (".txt", ".ann"), losses.settle, overwrite=options.overwrite) as folder:
        for item in items:
            name = file_name(item.document.id, losses)
            text, replaced = without_surrogates(item.document.text)
            if replaced:
                losses.add("text", item.document.id, detail="lone surrogates", count=replaced)
            with told(path):
                # "x": two ids that a system without case takes for one must not share a file.
                with (folder / f"{name}.txt").open("xb") as out:
                    out.write(text.encode())
                if item.layers:
                    lines = "".join(_lines(item, text, losses))
                    (folder / f"{name}.ann").write_bytes(lines.encode())
            count += 1
    return count


def _lines(item: Annotated, text: str, losses: LossReport) -> Iterator[str]:
    number = 0
    for span in item.layers[0].spans:
        inside = text[span.start : span.end]
        if inside[0] in _BREAKS or inside[-1] in _BREAKS:
            losses.add("line break", item.document.id, span)
            continue
        label, _ = without_surrogates(plain_label(span, item.document.id, losses, blanks=False))
        pieces, at = [], span.start
        for gap in _BREAK.finditer(inside):
            pieces.append((at, span.start + gap.start()))
            at = span.start + gap.end()
        pieces.append((at, span.end))
        number += 1
        offsets = ";".join(f"{start} {end}" for start, end in pieces)
        yield f"T{number}\t{label} {offsets}\t{' '.join(text[start:end] for start, end in pieces)}\n"


def file_name(document_id: str, losses: LossReport) -> str:
    """A file's name for an id: what no file system takes is written as %XX.

    Args:
        document_id: Any id.
        losses: Counts an id that is empty or too long to come back.
    """
    name = quote_from_bytes(document_id.encode("utf-8", "surrogatepass"), safe=_SAFE)
    if name[:1] in (".", " "):
        name = f"%{ord(name[0]):02X}{name[1:]}"
    if name[-1:] == " ":
        name = f"{name[:-1]}%20"
    if not name or len(name) > _NAME:
        mark = hashlib.blake2b(document_id.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        name = f"{name[:120].rsplit('%', 1)[0]}~{mark}"
        losses.add("id", document_id[:60], detail=f"is written {name}")
    return name


def document_id(stem: str) -> str:
    """The id that a file's path (without its ending) means; ``file_name`` turned round, where it came from there."""
    parts = []
    for part in PurePosixPath(stem).parts:
        try:
            meant = unquote_to_bytes(part).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            meant = part
        parts.append(meant if meant and file_name(meant, LossReport()) == part else part)
    return "/".join(parts)


FORMAT = Format(
    name="brat",
    title="brat standoff",
    endings=(".ann",),
    holds=Holds(annotator=False, any_text=False, any_id=False, any_label=False, any_offsets=False),
    reader=read,
    writer=write,
    folder=True,
    notes=(
        "A folder: `ID.txt` and `ID.ann`, UTF-8. No `.ann` means undecided, an empty one nothing there. Characters of "
        "an id that file names cannot have are written `%XX`; ids of over 200 bytes are shortened. A mention across a "
        "line break is written in fragments and read back as one; one that begins or ends with a line break is a loss. "
        "Other discontinuous mentions are losses on import. Blanks in labels become `_`. Notes, attributes, relations, "
        "events and normalisations are kept as lines in the meta (`brat`) and are reported."
    ),
)
