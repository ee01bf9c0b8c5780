"""A mention: half-open code-point offsets and an entity type."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A mention in a text.

    Offsets count Unicode code points and are half-open: the mention is
    ``text[start:end]``. Spans order by start, then end, then label; they may
    nest and overlap.

    Attributes:
        start: Offset of the first code point.
        end: Offset after the last code point; always greater than ``start``.
        label: The entity type's name; empty while it is not yet known.
    """

    start: int
    end: int
    label: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"span offsets must satisfy 0 <= start < end, got {self.start}, {self.end}")

    def __len__(self) -> int:
        return self.end - self.start

    def text_in(self, text: str) -> str:
        """The mention's text in the text it belongs to.

        Raises:
            ValueError: The span reaches beyond the text.
        """
        if self.end > len(text):
            raise ValueError(f"span {self.start}:{self.end} reaches beyond a text of {len(text)}")
        return text[self.start : self.end]

    def shifted(self, by: int) -> Span:
        """The same span in a text that begins ``by`` code points earlier."""
        return Span(self.start + by, self.end + by, self.label)

    def with_label(self, label: str) -> Span:
        """The same place with another type."""
        return Span(self.start, self.end, label)

    def overlaps(self, other: Span) -> bool:
        """Whether the two share at least one code point."""
        return self.start < other.end and other.start < self.end
