"""What every format module offers: one description, one way to read, one way to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tools.formats.holds import Holds
from tools.formats.items import Annotated
from tools.formats.loss import LossReport
from tools.formats.report import ReadReport
from tools.formats.rows import Fault
from tools.formats.sources import Source
from tools.formats.tags import Scheme

Offsets = Literal["auto", "codepoints", "utf16"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read; each format takes what concerns it.

    Attributes:
        lines: Text: whether each line is a document.
        text_column: The field, column or data key that holds the text.
        id_column: The one with the id.
        annotations: Whether to read decisions; else they stay in the meta, as they came.
        skip_bad: Leave faulty records out and count them.
        repair: Repair invalid tag sequences, and count them.
        word_column: CoNLL: the column of the word, from 0; negative counts from the end.
        tag_column: CoNLL: the column of the tag.
        scheme: CoNLL: the tag scheme; empty to tell it by the file.
        offsets: Label Studio: what its offsets count; ``auto`` judges by the quoted text.
    """

    lines: bool = False
    text_column: str = "text"
    id_column: str = "id"
    annotations: bool = True
    skip_bad: bool = False
    repair: bool = False
    word_column: int = 0
    tag_column: int = -1
    scheme: Scheme | Literal[""] = ""
    offsets: Offsets = "auto"


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How to write; each format takes what concerns it.

    Attributes:
        scheme: CoNLL: the tag scheme.
        split_tokens: Cut tokens where a mention begins or ends inside one, so
            that no mention is lost; tokens then depend on the annotation.
        overwrite: Whether a folder of an earlier export may be replaced.
        provenance: Parquet: what to say of the whole file.
    """

    scheme: Scheme = "bio"
    split_tokens: bool = False
    overwrite: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)


Reader = Callable[[Source, ReadOptions, ReadReport], Iterator[Annotated | Fault]]
Writer = Callable[[Path, Iterable[Annotated], WriteOptions, LossReport], int]


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes:
        name: What ``--format`` calls it.
        title: What people call it.
        endings: Of its files, lower case, the usual one first.
        holds: What comes back from export and import.
        reader: Reads one file, document by document; None where it is only written.
        writer: Writes a file or folder; None where it is only read. Documents
            have been through ``fit`` already.
        packed: Whether its files may be gzipped.
        folder: Whether it is written as a folder.
        streams: Whether memory stays flat however large the file is.
        extra: The optional dependency it needs; empty for none.
        notes: What a person should know, for the published page.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    holds: Holds
    reader: Reader | None
    writer: Writer | None
    packed: bool = False
    folder: bool = False
    streams: bool = True
    extra: str = ""
    notes: str = ""

    @property
    def reads(self) -> bool:
        """Whether it can be imported."""
        return self.reader is not None

    @property
    def writes(self) -> bool:
        """Whether it can be exported."""
        return self.writer is not None
