"""The constraints Quorum decodes under, and the check that a grammar is sound.

A grammar that does not compile kills a vLLM engine, so nothing is sent that was
not validated here first.
"""

from __future__ import annotations

import json
from functools import lru_cache

from agent.engines.protocol import Completion, Constraint
from tools.annotation.answers import NOTHING
from tools.annotation.chunks import word_chunks

_HEAD = "%llguidance {}\n"
# No empty span, none that begins or ends in a blank.
_SPAN = 'SPAN: SUBSTRING & /\\S([^\\n]*\\S)?/\nSUBSTRING: %regex {{"substring_chunks": {chunks}}}\n'


def max_items(text: str) -> int:
    """How many entities an answer may list: bounds runaway repetition."""
    return max(4, min(64, len(text) // 8))


def _spans(text: str) -> str:
    return _SPAN.format(chunks=json.dumps(word_chunks(text), ensure_ascii=False))


def spans_grammar(text: str) -> Constraint:
    """Lines that are substrings of a passage at word borders, or a lone dash.

    Args:
        text: The passage as shown; without line breaks.
    """
    return Constraint("grammar", f'{_HEAD}start: "{NOTHING}" | (SPAN "\\n"){{1,{max_items(text)}}}\n{_spans(text)}')


def typed_grammar(text: str, codes: tuple[str, ...]) -> Constraint:
    """Lines ``code: substring``, or a lone dash."""
    code = " | ".join(json.dumps(code, ensure_ascii=False) for code in codes)
    rule = f'{_HEAD}start: "{NOTHING}" | (code ": " SPAN "\\n"){{1,{max_items(text)}}}\ncode: {code}\n'
    return Constraint("grammar", rule + _spans(text))


def choice(options: tuple[str, ...]) -> Constraint:
    """Exactly one of the options."""
    return Constraint("choice", choices=options)


@lru_cache(maxsize=1)
def _validator():  # type: ignore[no-untyped-def]
    from llguidance import LLMatcher

    return LLMatcher.validate_grammar


def fault(constraint: Constraint) -> str:
    """What is wrong with a constraint; empty when it can be decoded under.

    Never raises: a bad constraint is told as text, so that one bad request
    cannot stop a batch.
    """
    try:
        if constraint.kind == "choice":
            if not constraint.choices or not all(constraint.choices):
                return "a choice needs alternatives that are not empty"
            return ""
        if constraint.kind == "grammar":
            return str(_validator()(constraint.value))
        if constraint.kind == "regex":
            return str(_validator()(f"{_HEAD}start: X\nX: /{constraint.value}/\n"))
        schema = json.loads(constraint.value)
        return str(_validator()(f"{_HEAD}start: %json {json.dumps(schema)}\n"))
    except Exception as error:  # llguidance raises its own kinds; all mean "do not send"
        return f"{type(error).__name__}: {error}"


def choice_probabilities(completion: Completion, choices: tuple[str, ...]) -> dict[str, float]:
    """How probable each choice is, from the first written token's alternatives.

    A token's mass goes to the choices that begin with it; a token that begins
    several is shared evenly among them. What is returned sums to 1.

    Args:
        completion: An answer with log-probabilities for its first token.
        choices: The alternatives that were allowed.

    Returns:
        Choice to probability; empty when the completion has none to read.
    """
    import math

    if completion.failure or not completion.logprobs:
        return {}
    mass = dict.fromkeys(choices, 0.0)
    first = completion.logprobs[0]
    for token, logprob in first.top or ((first.token, first.logprob),):
        fitting = [option for option in choices if token and option.startswith(token)]
        for option in fitting:
            mass[option] += math.exp(logprob) / len(fitting)
    total = sum(mass.values())
    return {option: value / total for option, value in mass.items()} if total > 0 else {}
