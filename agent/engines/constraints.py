"""The constraints Quorum decodes under, and the check that a grammar is sound.

A grammar that does not compile kills a vLLM engine, so nothing is sent that was
not validated here first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from agent.engines.protocol import Completion, Constraint
from tools.annotation.answers import NOTHING
from tools.annotation.chunks import word_chunks

_HEAD = "%llguidance {}\n"
# No empty span, none that begins or ends in a blank.
_SPAN = 'SPAN: SUBSTRING & /\\S([^\\n]*\\S)?/\nSUBSTRING: %regex {{"substring_chunks": {chunks}}}\n'


def max_items(text: str) -> int:
    """How many entities an answer may list: bounds runaway repetition."""
    # A list of names ("Lisbon, Porto, Faro") holds one in every second word: fewer would cut it short unseen.
    words = sum(piece[0].isalnum() for piece in word_chunks(text))
    return max(4, min(64, words))


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


def compiled(constraint: Constraint) -> str:
    """The constraint as an llguidance grammar, built the way vLLM's guidance backend builds it.

    One place makes it for validation, for checking answers and for decoding in
    this process, so that all engines decode under the same grammar.

    Raises:
        ValueError: It is not one (of no known kind, or JSON that does not parse).
    """
    from llguidance import LLMatcher

    if constraint.kind == "choice":
        alternatives = " | ".join(json.dumps(option) for option in constraint.choices)
        return str(LLMatcher.grammar_from_lark(f"start: {alternatives}"))
    if constraint.kind == "grammar":
        return str(LLMatcher.grammar_from_lark(constraint.value))
    if constraint.kind == "regex":
        return str(LLMatcher.grammar_from_regex(constraint.value))
    if constraint.kind == "json_schema":
        return str(LLMatcher.grammar_from_json_schema(constraint.value, defaults={"whitespace_flexible": True}))
    raise ValueError(f"unknown constraint kind: {constraint.kind}")


@lru_cache(maxsize=1024)
def fault(constraint: Constraint) -> str:
    """What is wrong with a constraint; empty when it can be decoded under.

    Never raises: a bad constraint is told as text, so that one bad request
    cannot stop a batch. A grammar of a passage costs about 0.5 ms; the label
    choices that thousands of requests share are remembered.
    """
    if constraint.kind == "choice" and not (constraint.choices and all(constraint.choices)):
        return "a choice needs alternatives that are not empty"
    try:
        from llguidance import LLMatcher

        return str(LLMatcher.validate_grammar(compiled(constraint)))
    except Exception as error:  # llguidance raises its own kinds; all mean "do not send"
        return f"{type(error).__name__}: {error}"


def first_tokens(options: Sequence[str], count_tokens: Callable[[str], int]) -> dict[str, str]:
    """The token each option begins with, for options that have more than one and where counting can tell.

    A beginning is a first token when it is one token and the rest takes as many
    as the whole has left. A tokenizer may cut ``crystal`` into ``c`` and
    ``rystal`` though ``creative`` is a single token; then ``c`` means the former.

    Args:
        options: What may be answered.
        count_tokens: Tokens of a text in the model's tokenizer.
    """
    found = {}
    for option in options:
        whole = count_tokens(option)
        if whole < 2:
            found[option] = option
            continue
        for size in range(1, len(option)):
            if count_tokens(option[:size]) == 1 and count_tokens(option[size:]) == whole - 1:
                found[option] = option[:size]
                break
    return found


def choice_probabilities(
    completion: Completion, choices: tuple[str, ...], *, firsts: Mapping[str, str] | None = None
) -> dict[str, float]:
    """How probable each choice is, from the first written token's alternatives.

    A token's mass goes to the choices that begin with it; a token that begins
    several goes to those whose first token it is, and is shared evenly where
    that says nothing. What is returned sums to 1. A
    log-probability that is none (not a number, above 0) counts as the nearest one.

    Args:
        completion: An answer with log-probabilities for its first token.
        choices: The alternatives that were allowed.
        firsts: Choice to its first token (``first_tokens``), where known.

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
        if firsts and len(fitting) > 1:
            fitting = [option for option in fitting if firsts.get(option) == token] or fitting
        for option in fitting:
            mass[option] += math.exp(min(0.0, logprob)) / len(fitting) if logprob == logprob else 0.0
    total = sum(mass.values())
    return {option: value / total for option, value in mass.items()} if total > 0 else {}
