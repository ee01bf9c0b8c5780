"""On which line of a TOML text each key stands, so that an error can name it.

``tomllib`` keeps no positions. This reads a text that ``tomllib`` has already
accepted, so it need not notice what is malformed.
"""

from __future__ import annotations

import re

Keys = tuple[str | int, ...]
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_STRING = re.compile(
    r'"""(?:[^\\"]|\\.|"(?!""))*"{3,5}' r"|'''(?:[^']|'(?!''))*'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'", re.DOTALL
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}\n#]+")


def key_lines(text: str) -> dict[Keys, int]:
    """The line, from 1, of every key, table and array element.

    Args:
        text: Valid TOML.

    Returns:
        Path of keys and indices (as pydantic's ``loc``) to line number.
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.lines: dict[Keys, int] = {}
        self.counts: dict[Keys, int] = {}

    def scan(self) -> dict[Keys, int]:
        table: Keys = ()
        while self._skip(_BLANK) < len(self.text):
            if self._peek("[["):
                self.at += 2
                name = self._full(self._key())
                index = self.counts.get(name, 0)
                self.counts[name] = index + 1
                table = (*name, index)
                self._note(name)
                self._note(table)
                self.at = self.text.index("]]", self.at) + 2
            elif self._peek("["):
                self.at += 1
                table = self._full(self._key())
                self._note(table)
                self.at = self.text.index("]", self.at) + 1
            else:
                self._pair(table)
        return self.lines

    def _full(self, key: Keys) -> Keys:
        """A header's path: inside arrays of tables it means their last element."""
        full: Keys = ()
        for position, part in enumerate(key):
            full = (*full, part)
            if position < len(key) - 1 and full in self.counts:
                full = (*full, self.counts[full] - 1)
        return full

    def _pair(self, table: Keys) -> None:
        start = self.at
        path = (*table, *self._key())
        for size in range(len(table) + 1, len(path) + 1):
            self._note(path[:size], start)
        self._skip(_SPACE)
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Keys) -> None:
        if matched := _STRING.match(self.text, self.at):
            self.at = matched.end()
        elif self._peek("["):
            self.at += 1
            index = 0
            while self._skip(_BLANK) < len(self.text) and not self._peek("]"):
                self._note((*path, index))
                self._value((*path, index))
                index += 1
                self._skip(_BLANK)
                self.at += self._peek(",")
            self.at += 1
        elif self._peek("{"):
            self.at += 1
            while self._skip(_BLANK) < len(self.text) and not self._peek("}"):
                self._pair(path)
                self._skip(_BLANK)
                self.at += self._peek(",")
            self.at += 1
        else:
            self._skip(_SCALAR)

    def _key(self) -> Keys:
        parts: list[str | int] = []
        while True:
            self._skip(_SPACE)
            if matched := _BARE_KEY.match(self.text, self.at):
                parts.append(matched[0])
            elif matched := _STRING.match(self.text, self.at):
                parts.append(matched[0][1:-1])
            else:
                return tuple(parts)
            self.at = matched.end()
            self._skip(_SPACE)
            if not self._peek("."):
                return tuple(parts)
            self.at += 1

    def _note(self, path: Keys, at: int | None = None) -> None:
        self.lines.setdefault(path, self.text.count("\n", 0, self.at if at is None else at) + 1)

    def _peek(self, what: str) -> bool:
        return self.text.startswith(what, self.at)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        matched = pattern.match(self.text, self.at)
        self.at = matched.end() if matched else self.at
        return self.at
