"""Which ids an input has had, and where, in a few bytes an id."""

from __future__ import annotations

from array import array

_LINE_BITS = 40


class SeenIds:
    """An open-addressing table from 64-bit hashes of ids to places.

    It takes 24 to 48 bytes an id, half as much again for a moment when it
    grows. Two different ids share a hash with a chance of about
    n * n / 2 ** 65 among n ids: 3 in 100 million among a million.
    """

    def __init__(self) -> None:
        self._marks = array("q", bytes(8 << 10))
        self._places = array("Q", bytes(8 << 10))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, key: str, file: int, line: int) -> tuple[int, int] | None:
        """Note an id.

        Args:
            key: The id.
            file: The number of the file it stands in.
            line: The line it stands in.

        Returns:
            None, or file and line where it was seen before.
        """
        mark = hash(key) or 1
        at = self._slot(mark)
        if self._marks[at]:
            place = self._places[at]
            return place >> _LINE_BITS, place & (1 << _LINE_BITS) - 1
        self._marks[at] = mark
        self._places[at] = file << _LINE_BITS | line
        self._count += 1
        if self._count * 3 > len(self._marks) * 2:
            self._grow()
        return None

    def _slot(self, mark: int) -> int:
        marks, mask = self._marks, len(self._marks) - 1
        at = mark & mask
        while marks[at] and marks[at] != mark:
            at = (at + 1) & mask
        return at

    def _grow(self) -> None:
        marks, places = self._marks, self._places
        self._marks = array("q", bytes(len(marks) * 16))
        self._places = array("Q", bytes(len(marks) * 16))
        for mark, place in zip(marks, places, strict=True):
            if mark:
                at = self._slot(mark)
                self._marks[at] = mark
                self._places[at] = place
