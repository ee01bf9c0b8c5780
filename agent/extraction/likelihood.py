"""How probable the lines of an extract answer are, from the log-probabilities of its tokens."""

from __future__ import annotations

import math

from agent.engines.protocol import Completion
from tools.annotation.answers import read_spans


def line_probabilities(completion: Completion, whole: str) -> list[float]:
    """The probability with which a model wrote each line, given the lines before it.

    It is the product over the line's tokens, its line break among them: that
    there is one more entity, of this type, that it begins here and that it ends
    here. What the grammar ruled out counts for nothing, so a token that had to
    come costs nothing.

    Args:
        completion: An answer with log-probabilities, one record a token.
        whole: The part of its text that is read: whole lines.

    Returns:
        One a line, in order; empty where the records do not tell, or not of these lines.
    """
    lines = read_spans(whole)
    if not completion.logprobs or not lines:
        return []
    sums = [0.0]
    for token in completion.logprobs:
        # A log-probability that is none (not a number, above 0) counts as the nearest one.
        sums[-1] += min(0.0, token.logprob) if token.logprob == token.logprob else -math.inf
        # A token may end a line together with its last sign, and none holds more than one line's end:
        # no line is empty.
        if "\n" in token.token:
            sums.append(0.0)
    if len(sums) < len(lines) or len(lines) - whole.count("\n") not in (0, 1):
        return []
    return [math.exp(total) for total in sums[: len(lines)]]
