"""Answers that go round in circles, as vLLM's ``repetition_detection`` sees them."""

from __future__ import annotations

from collections.abc import Sequence

from agent.engines.protocol import LOOP


def loops(tokens: Sequence[int]) -> bool:
    """Whether the answer so far ends in a pattern repeated as often as ``LOOP`` says.

    Args:
        tokens: Token ids written so far.
    """
    shortest, longest, times = LOOP
    return any(
        tokens[-size:] == tokens[-2 * size : -size] and _repeats(tokens, size, times)
        for size in range(shortest, min(longest, len(tokens) // times) + 1)
    )


def loop_end(tokens: Sequence[int]) -> int | None:
    """How many tokens an answer had when it was first seen to loop; None where it never does."""
    return next((end for end in range(1, len(tokens) + 1) if loops(tokens[:end])), None)


def loop_fields() -> dict[str, int]:
    """``LOOP`` as vLLM's ``repetition_detection``."""
    shortest, longest, times = LOOP
    return {"min_pattern_size": shortest, "max_pattern_size": longest, "min_count": times}


def _repeats(tokens: Sequence[int], size: int, times: int) -> bool:
    tail = tokens[-size:]
    return all(tokens[len(tokens) - size * (n + 1) : len(tokens) - size * n] == tail for n in range(times))
