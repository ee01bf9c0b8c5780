"""Answers that go round in circles."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from agent.engines.loops import loop_end, loops
from agent.engines.protocol import LOOP, Completion, Request

SHORTEST, LONGEST, TIMES = LOOP
few = st.lists(st.integers(0, 2), max_size=14)


def brute(tokens: list[int]) -> bool:
    """The same by trying every pattern."""
    return any(
        tokens[-size * TIMES :] == tokens[-size:] * TIMES
        for size in range(SHORTEST, LONGEST + 1)
        if size * TIMES <= len(tokens)
    )


@given(few)
@example([1, 2] * TIMES)
@example([1] * (SHORTEST * TIMES))
def test_a_loop_is_a_pattern_said_often_enough_at_the_end(tokens: list[int]) -> None:
    assert loops(tokens) == brute(tokens)


@given(few, st.lists(st.integers(3, 5), min_size=SHORTEST, max_size=6))
def test_a_loop_is_found_when_it_has_come_round(start: list[int], pattern: list[int]) -> None:
    tokens = start + pattern * (TIMES + 2)
    end = loop_end(tokens)
    assert end is not None and end <= len(start) + len(pattern) * TIMES
    assert loops(tokens[:end]) and not any(loops(tokens[:n]) for n in range(end))


def test_a_name_that_says_itself_twice_is_no_loop() -> None:
    assert loop_end([7, 8, 7, 8, 1, 9, 9, 9, 9, 9, 1]) is None


def test_one_answer_for_each_way_of_asking() -> None:
    request = Request((("user", "x"),), 5)
    assert request.key("m") != Request((("user", "x"),), 5, stop_loops=True).key("m")


def test_what_is_cut() -> None:
    assert [Completion("a", finish).cut for finish in ("stop", "length", "repetition")] == [False, True, True]
