"""Texts and JSON on their way into SQLite and back, without losing a code point."""

from __future__ import annotations

import json
from typing import Any

# Built once: json.dumps would build one a call, which is most of a short value's time.
_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def pack(text: str) -> str | bytes:
    """A text as SQLite can hold it exactly.

    SQLite's TEXT knows neither lone surrogates (no UTF-8) nor, in its own
    functions, NULs. Texts with either become a blob; all others stay TEXT, so
    that a person can read the file with any SQLite tool. One text always has
    one form, so that packed texts can be compared and be keys; the columns
    must have BLOB affinity, which converts nothing.
    """
    if "\0" not in text:
        if text.isascii():
            return text
        try:
            text.encode()
        except UnicodeEncodeError:
            pass  # a lone surrogate: the blob below holds it
        else:
            return text
    return text.encode("utf-8", "surrogatepass")


def unpack(value: str | bytes) -> str:
    """The text that ``pack`` was given."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogatepass")


def to_json(value: object) -> str | bytes:
    """A value as packed JSON.

    Surrogates are written as they are, not as escapes: two lone surrogates side
    by side would come back from escapes as one character.

    Raises:
        TypeError, ValueError: The value has no JSON form.
    """
    return pack(_ENCODE(value))


def from_json(value: str | bytes) -> Any:
    """The value that ``to_json`` was given (tuples come back as lists)."""
    return json.loads(unpack(value))
