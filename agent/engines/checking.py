"""Does an answer match its constraint, and can one small repair make it match?

Engines that decode under a constraint need the check only as an alarm; engines
that cannot (most hosted chat models) are held to the constraint by it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from agent.engines.constraints import compiled
from agent.engines.protocol import Constraint

_FENCE = re.compile(r"```[^\n]*\n(.*?)\n?```", re.DOTALL)
_BULLET = re.compile(r"(?m)^\s*(?:[-*\u2022]|\d+[.)])\s+")
_QUOTES = "\"'`“”‘’«».:; \t\n"


@lru_cache(maxsize=1)
def _bytes_tokenizer() -> Any:
    """A tokenizer whose tokens are bytes: enough to read a text, whatever the model's own is."""
    from llguidance import LLTokenizer

    return LLTokenizer("byte")


@lru_cache(maxsize=256)
def _matcher(constraint: Constraint) -> Any:
    from llguidance import LLMatcher

    return LLMatcher(_bytes_tokenizer(), compiled(constraint), log_level=0)


def mismatch(constraint: Constraint, text: str, *, cut: bool = False) -> str:
    """Why an answer does not match its constraint; empty when it does.

    The matcher of a constraint is kept (0.9 ms to make for a passage's grammar,
    about 15 us to read an answer with).

    Args:
        constraint: A sound one (``constraints.fault``).
        text: The whole answer.
        cut: It ended at the token limit, so that being a beginning is enough.
    """
    if constraint.kind == "choice":
        if text in constraint.choices or (cut and any(option.startswith(text) for option in constraint.choices)):
            return ""
        return f"not one of the {len(constraint.choices)} choices: {text[:80]!r}"
    # Decoding stops in the middle of a character when the limit falls there.
    shown = text.rstrip("\ufffd") if cut else text
    data = list(shown.encode("utf-8", "surrogatepass"))
    matcher = _matcher(constraint).deep_copy()
    read = matcher.try_consume_tokens(data)
    if read < len(data):
        at = bytes(data[:read]).decode("utf-8", "ignore")
        return f"leaves the {constraint.kind} after {len(at)} characters: {text[len(at) : len(at) + 60]!r}"
    return "" if cut or matcher.is_accepting() else f"stops before the {constraint.kind} is complete"


def repaired(constraint: Constraint, text: str) -> str | None:
    """The answer, or the nearest form of it that matches; None when there is none.

    Only what surrounds an answer is touched: code fences, blanks, quotation
    marks, bullets, a missing last line break, words around a JSON value. What
    the model said is never replaced.
    """
    for candidate in _candidates(constraint, text):
        if not mismatch(constraint, candidate):
            return candidate
    return None


def _candidates(constraint: Constraint, text: str) -> list[str]:
    found = [text]
    fenced = _FENCE.search(text)
    bare = (fenced.group(1) if fenced else text).strip()
    found += [bare, f"{bare}\n"]
    if constraint.kind == "choice":
        plain = bare.strip(_QUOTES).casefold()
        found += [option for option in constraint.choices if option.casefold() == plain]
    elif constraint.kind == "json_schema":
        starts = [at for at in (bare.find("{"), bare.find("[")) if at >= 0]
        end = max(bare.rfind("}"), bare.rfind("]"))
        if starts and end > min(starts):
            found.append(bare[min(starts) : end + 1])
    else:
        lines = [line.strip().strip('"`') for line in _BULLET.sub("", bare).split("\n")]
        listed = "\n".join(line for line in lines if line)
        found += [listed, f"{listed}\n"]
    return found


class Audit:
    """Decides which grammar answers of an engine that enforces grammars are checked.

    Making the matcher of a passage's grammar costs the client as much as all the
    rest of a request, and it shares its cores with the engine. So the first
    answers are checked, then one in ``every``; from the first that does not
    match (a server that ignores constraints) every one is.
    """

    def __init__(self, first: int = 32, every: int = 32) -> None:
        self._first = first
        self._every = every
        self._seen = 0
        self.suspicious = False

    def due(self) -> bool:
        """Whether to check the next answer."""
        self._seen += 1
        return self.suspicious or self._seen <= self._first or self._seen % self._every == 0
