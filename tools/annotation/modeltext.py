"""The text as a model may see it: same length, nothing that a prompt could misread.

A model must not be handed line breaks inside a passage (the span delimiter of
the answer is a line break), control characters, lone surrogates (no UTF-8), or
text that looks like the special tokens of a chat template. Each is replaced
code point by code point, so an offset in the shown text is the offset in the
true one and nothing ever has to be mapped back.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Beginnings of chat-template tokens of the model families in use. Only the
# bracket is exchanged for a look-alike: the words around it stay readable.
_SPECIAL = re.compile(
    r"<(?=\|)|(?<=\|)>|<(?=/?(?:s|bos|eos|pad|unk|mask|think|tool_call|start_of_turn|end_of_turn)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS)\])",
)
_LOOKALIKE = {
    "<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
    ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
    "[": "\N{LEFT WHITE SQUARE BRACKET}",
}


@lru_cache(maxsize=4096)
def _shown(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Zs", "Zl", "Zp") or char in "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85":
        return " "
    if category in ("Cs", "Cc"):
        return REPLACEMENT
    return char


_PLAIN = re.compile(r"[ !-~]*\Z")


def model_text(text: str) -> str:
    """The text as prompts and grammars use it.

    Args:
        text: Any string, lone surrogates and controls included.

    Returns:
        A string of exactly the same length without line breaks, controls,
        surrogates and chat-template tokens.
    """
    if not _PLAIN.match(text):
        text = "".join(map(_shown, text))
    if "<" in text or "[" in text or ">" in text:
        text = _SPECIAL.sub(lambda m: _LOOKALIKE[m.group()], text)
    return text
