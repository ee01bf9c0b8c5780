"""Which encoding a file is in, judged from its beginning; binary files are told apart."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

SAMPLE = 1 << 18
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MAGIC = {
    b"%PDF-": "a PDF",
    b"PK\x03\x04": "a ZIP archive (docx, xlsx and the like are)",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"\x7fELF": "a program",
    b"SQLite format 3": "an SQLite database",
    b"PAR1": "a Parquet file (it must end in .parquet)",
    b"\x1f\x8b": "gzip data (its name must end in .gz, once)",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"{\\rtf": "an RTF document",
}
# What Western European texts use of cp1252; the rest of it betrays another code page.
_WESTERN = frozenset("äöüßÄÖÜàâçéèêëîïôùûœÀÂÇÉÈÊËÎÏÔÙÛŒáíóúñÁÍÓÚÑìòãõÃÕåæøÅÆØ¡«»‘’“”„–—…€£§°´·\xa0©®")
_CONTROLS = bytes(sorted(set(range(32)) - set(b"\t\n\r\f\v\x1b"))) + b"\x7f"


@dataclass(frozen=True, slots=True)
class Encoding:
    """How bytes are to be read.

    Attributes:
        name: A codec of Python; empty when the bytes are no text.
        bom: How many bytes of byte-order mark come first.
        guessed: Whether it is a guess (neither marked nor strict UTF-8).
        mixed: Whether some lines are UTF-8 and others are not.
        fault: Why the bytes are no text; empty when they are.
    """

    name: str
    bom: int = 0
    guessed: bool = False
    mixed: bool = False
    fault: str = ""


def detect(sample: bytes, *, whole: bool) -> Encoding:
    """Judge the encoding of a file.

    A byte-order mark decides; then strict UTF-8; then, where some lines are
    UTF-8 with characters beyond ASCII and some are not, UTF-8 with faulty
    lines; only then a guess (charset-normalizer).

    Args:
        sample: The file's first bytes.
        whole: Whether these are all of it; if not, the last character may be cut.

    Returns:
        The encoding, or the fault that makes it no text.
    """
    for mark, name in _BOMS:
        if sample.startswith(mark):
            return Encoding(name, len(mark))
    kind = next((kind for magic, kind in _MAGIC.items() if sample.startswith(magic)), "")
    if kind:
        return Encoding("", fault=f"this is {kind}, not text")
    if wide := _wide(sample):
        return Encoding(wide, guessed=True)
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if len(sample) > 64 and controls > 0.1 * len(sample):
        return Encoding("", fault=f"this is binary: {100 * controls // len(sample)} % control characters")
    if _is_utf8(sample, whole=whole):
        return Encoding("utf-8")
    if controls > 0.01 * len(sample):
        return Encoding("", fault="this is binary: neither UTF-8 nor free of control characters")
    lines = [line for line in sample.split(b"\n")[: None if whole else -1] if not line.isascii()]
    if any(_is_utf8(line, whole=True) for line in lines):
        return Encoding("utf-8", mixed=True)
    guess = _guess(sample)
    return Encoding(guess, guessed=True) if guess else Encoding("", fault="its encoding cannot be told")


def _is_utf8(data: bytes, *, whole: bool) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(data, final=whole)
    except UnicodeDecodeError:
        return False
    return True


def _wide(sample: bytes) -> str:
    """UTF-16 without a mark: every other byte of mostly Latin text is NUL."""
    size = len(sample) // 2
    if size < 2:
        return ""
    first, second = sample[0 : 2 * size : 2].count(0) / size, sample[1 : 2 * size : 2].count(0) / size
    if second > 0.6 and first < 0.05:
        return "utf-16-le"
    return "utf-16-be" if first > 0.6 and second < 0.05 else ""


def _is_western(sample: bytes) -> bool:
    """Whether a text reads as Western European: too little to judge by statistics is mostly this."""
    try:
        beyond = [char for char in sample.decode("cp1252") if char > "\x7f"]
    except UnicodeDecodeError:
        return False
    return len(beyond) < len(sample) / 3 and all(char in _WESTERN for char in beyond)


def _guess(sample: bytes) -> str:
    if _is_western(sample):
        return "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(sample[:65536], preemptive_behaviour=False).best()
    if best is None:
        return ""
    # cp1252 holds all that Latin-1 holds and gives its control range the quotes that people meant.
    name = codecs.lookup(best.encoding).name
    if name in ("iso8859-1", "ascii"):
        try:
            sample.decode("cp1252")
        except UnicodeDecodeError:
            return "iso8859-1"
        return "cp1252"
    return name
