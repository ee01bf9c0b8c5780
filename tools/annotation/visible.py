"""Texts from anywhere, made safe to look at: controls are seen and do nothing."""

from __future__ import annotations


def visible(text: str) -> str:
    """A text in which controls can be seen and do nothing, code point by code point.

    Line breaks and tabs stay; other controls become their pictures, lone
    surrogates the replacement character, marks that turn the direction of
    writing around a picture too.
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


def _visible(char: str) -> str:
    point = ord(char)
    if char in "\n\t" or char.isprintable():
        return char
    if point < 0x20:
        return chr(0x2400 + point)
    if point == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    if 0xD800 <= point <= 0xDFFF or 0x80 <= point < 0xA0:
        return "\N{REPLACEMENT CHARACTER}"
    return "\N{WHITE DIAMOND}" if 0x202A <= point <= 0x202E or 0x2066 <= point <= 0x2069 else char
