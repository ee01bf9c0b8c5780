"""Counting tokens without loading a model: by the model's tokenizer file, or an upper estimate."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tools.errors import ModelError

_WORD = re.compile(r"[A-Za-z]+")
_BLANK = re.compile(r" +")


def estimate_tokens(text: str) -> int:
    """An upper estimate for the byte-pair and unigram vocabularies in use.

    A token for every three letters of an ASCII word, one for every digit and
    sign, one for every byte outside ASCII. Real tokenizers need about half of
    it on English prose.
    """
    letters = words = 0
    for word in _WORD.findall(text):
        letters += len(word)
        words += (len(word) + 2) // 3
    # A single blank is written as part of what follows it; runs cost a token each.
    blanks = sum(len(run) - 1 for run in _BLANK.findall(text))
    others = len(text.encode("utf-8", "surrogatepass")) - letters - text.count(" ")
    return words + others + blanks + 1


class TokenCounter:
    """Counts with the tokenizer of a model folder, or estimates where there is none.

    Args:
        path: A folder with ``tokenizer.json``, that file, or None to estimate.

    Raises:
        ModelError: There is a path but no tokenizer that can be read.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._tokenizer: Any = None
        if path is None:
            return
        file = Path(path)
        file = file / "tokenizer.json" if file.is_dir() else file
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # tokenizers raises bare Exceptions for every kind of fault
            hint = "give the folder of the model, with its tokenizer.json"
            raise ModelError(f"no tokenizer in {path}: {error}", hint) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def __call__(self, text: str) -> int:
        """Tokens of a text, without special tokens."""
        if self._tokenizer is None:
            return estimate_tokens(text)
        clean = text.encode("utf-8", "replace").decode() if not text.isascii() else text
        return len(self._tokenizer.encode(clean, add_special_tokens=False).ids)
