"""What was read, how it was understood, and what had to be left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tools.formats.loss import LossReport

_KEPT = 1000


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that was left out.

    Attributes:
        file: The file's name; ``-`` for standard input.
        line: The line or row it began at, from 1; 0 for a whole file.
        reason: What is wrong with it.
    """

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}" if self.line else f"{self.file}: {self.reason}"


@dataclass(slots=True)
class ReadReport:
    """Filled while reading; lists are cut at 1,000 entries so that memory stays flat, counts are not.

    Attributes:
        files: How many files were opened.
        records: How many documents came out.
        bad_count: How many records were left out.
        bad: The first of them.
        encodings: Encoding to number of files.
        encoding_of: File to its encoding, for the first files.
        warnings: What a person should know although reading went on.
        losses: What the files hold and documents with mentions do not.
        repairs: What was repaired because it was asked for, by kind.
        repaired: The first places of it.
    """

    files: int = 0
    records: int = 0
    bad_count: int = 0
    bad: list[BadRecord] = field(default_factory=list)
    encodings: Counter[str] = field(default_factory=Counter)
    encoding_of: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    losses: LossReport = field(default_factory=LossReport)
    repairs: Counter[str] = field(default_factory=Counter)
    repaired: list[BadRecord] = field(default_factory=list)

    def opened(self, file: str, encoding: str) -> None:
        """Count a file and the encoding it is read in."""
        self.files += 1
        self.encodings[encoding] += 1
        if len(self.encoding_of) < _KEPT:
            self.encoding_of[file] = encoding

    def left_out(self, bad: BadRecord) -> None:
        """Count a record that was left out."""
        self.bad_count += 1
        if len(self.bad) < _KEPT:
            self.bad.append(bad)

    def repair(self, kind: str, place: BadRecord) -> None:
        """Count something that was repaired."""
        self.repairs[kind] += 1
        if len(self.repaired) < _KEPT:
            self.repaired.append(place)

    def warn(self, text: str) -> None:
        """Keep a warning, each once."""
        if len(self.warnings) < _KEPT and text not in self.warnings:
            self.warnings.append(text)
