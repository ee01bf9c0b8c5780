"""Types as a member wrote them when it extracted, with the probability of the line, as its vote."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import MemberConfig, ProjectConfig, StepsConfig
from agent.engines.protocol import Completion, TokenAlternatives
from agent.extraction.confidence import FAST, Calibrator, mode_of, shipped
from agent.extraction.likelihood import line_probabilities
from tests.extraction.script import Script, config, one, quorum

TEXT = "Ada met Bob in Oslo."
TWO = (
    MemberConfig(name="list", model="m", extract="spans.v1"),
    MemberConfig(name="typed", model="m", extract="typed.v1", classify="asked.v1"),
)


def wrote(*tokens: tuple[str, float], cut: bool = False) -> Completion:
    """An answer of these tokens with these probabilities."""
    records = tuple(TokenAlternatives(text, math.log(p)) for text, p in tokens)
    return Completion("".join(text for text, _ in tokens), "length" if cut else "stop", logprobs=records)


def lines(*said: tuple[str, float]) -> Completion:
    """An answer of these lines; each takes four tokens, of which the first carries its probability."""
    pieces: list[tuple[str, float]] = []
    for line, p in said:
        code, _, mention = line.partition(": ")
        pieces += [(code, p), (": ", 1.0), (mention, 1.0), ("\n", 1.0)]
    return wrote(*pieces, ("", 0.9))


def test_a_line_is_as_probable_as_its_tokens_together() -> None:
    answer = wrote(
        ("person", 0.5), (":", 1.0), (" A", 0.8), ("da", 1.0), ("\n", 0.5), ("place", 0.4), (": Oslo\n", 0.5)
    )
    assert line_probabilities(answer, answer.text) == pytest.approx([0.2, 0.2])
    # The end of the answer belongs to no line, and neither does a line that was cut.
    ended = wrote(("person: Ada", 0.5), ("\n", 1.0), ("<end>", 0.1))
    assert line_probabilities(ended, "person: Ada\n") == pytest.approx([0.5])
    cut = wrote(("person: Ada\n", 0.5), ("place: Os", 0.1), cut=True)
    assert line_probabilities(cut, "person: Ada\n") == pytest.approx([0.5])
    open_end = wrote(("person: Ada\n", 0.5), ("place: Oslo", 0.1))
    assert line_probabilities(open_end, open_end.text) == pytest.approx([0.5, 0.1])


def test_where_the_records_do_not_tell_nothing_is_said() -> None:
    assert line_probabilities(Completion("person: Ada\n"), "person: Ada\n") == []
    assert line_probabilities(wrote(("-", 0.9)), "-") == []
    two = "person: Ada\nplace: Oslo\n"
    assert line_probabilities(Completion(two, logprobs=(TokenAlternatives("person", -0.1),)), two) == []
    odd = Completion("a: b\n", logprobs=(TokenAlternatives("a: b\n", math.nan),))
    assert line_probabilities(odd, odd.text) == [0.0]


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=1, max_size=5), min_size=1, max_size=5), st.booleans())
def test_the_product_of_all_lines_is_that_of_all_tokens(parts: list[list[float]], joined: bool) -> None:
    tokens: list[tuple[str, float]] = []
    for part in parts:
        tokens += [(f"w{i} ", p) for i, p in enumerate(part[:-1])]
        tokens += [("x\n", part[-1])] if joined else [("x", part[-1]), ("\n", 1.0)]
    answer = wrote(*tokens)
    found = line_probabilities(answer, answer.text)
    assert found == pytest.approx([math.prod(part) for part in parts])


def settings(*, written: bool = True, members: Sequence[MemberConfig] = TWO) -> ProjectConfig:
    return config(*members, steps=StepsConfig(verify="off", calibrate=False, written=written))


def test_who_wrote_the_type_is_not_asked_for_it() -> None:
    script = Script(
        extract={"list": "Ada\nOslo\n", "typed": lambda _: lines(("person: Ada", 0.75))},
        types={"Ada": {"person": 0.5, "none": 0.5}, "Oslo": {"place": 0.5, "none": 0.5}},
    )
    result = one(quorum(script, settings()), TEXT)
    asked = [(a.member, a.mention) for a in script.asked if a.step == "classify"]
    assert sorted(asked) == [("list", "Ada"), ("list", "Oslo"), ("typed", "Oslo")]
    (ada,) = [e for e in (*result.entities, *result.rejected) if e.span.text_in(TEXT) == "Ada"]
    assert ada.confidence == pytest.approx((0.5 + 0.75) / 2)
    assert [(v.member, v.label, round(v.probability, 3)) for v in ada.votes] == [
        ("list", "person", 0.5),
        ("typed", "person", 0.75),
    ]
    assert [r.logprobs for r in script.requests if r.tag == "extract/typed"] == [1]
    assert [r.logprobs for r in script.requests if r.tag == "extract/list"] == [0]


def test_it_is_asked_all_the_same_where_that_is_wanted_or_its_engine_says_nothing() -> None:
    for written, answer in ((False, lines(("person: Ada", 0.75))), (True, Completion("person: Ada\n"))):
        script = Script(
            extract={"list": "Ada\n", "typed": lambda _, a=answer: a},  # type: ignore[misc]
            types={"Ada": {"person": 0.5, "none": 0.5}},
        )
        one(quorum(script, settings(written=written)), TEXT)
        assert sorted(a.member for a in script.asked if a.step == "classify") == ["list", "typed"]
        assert [r.logprobs for r in script.requests if r.tag == "extract/typed"] == [int(written)]


def test_two_types_for_one_mention_share_what_they_come_to() -> None:
    answer = lines(("person: Ada", 0.9), ("place: Ada", 0.6))
    script = Script(extract={"list": "-", "typed": lambda _: answer}, types={"Ada": {"none": 1.0}})
    result = one(quorum(script, settings()), TEXT)
    (ada,) = (*result.entities, *result.rejected)
    assert ada.span.label == "person"
    assert ada.confidence == pytest.approx(0.9 / 1.5 / 2)


def test_fast_asks_one_member_once_and_says_how_sure_it_was() -> None:
    fast = settings().fast()
    assert fast.demonstrations.retriever == "fixed"
    assert mode_of(fast.steps) == FAST
    answer = lines(("person: Ada", 0.9), ("person: Bob", 0.4), ("place: Oslo", 0.05))
    script = Script(extract={"typed": lambda _: answer})
    plain = fast.model_copy(update={"steps": fast.steps.model_copy(update={"calibrate": False})})
    result = one(quorum(script, plain), TEXT)
    assert [(a.step, a.member) for a in script.asked] == [("extract", "typed")]
    found = {e.span.text_in(TEXT): e.confidence for e in (*result.entities, *result.rejected)}
    # However unsure, a vote is for what was written.
    assert {v.label for e in (*result.entities, *result.rejected) for v in e.votes} == {"person", "place"}
    assert found == {"Ada": pytest.approx(0.9), "Bob": pytest.approx(0.4), "Oslo": pytest.approx(0.05)}
    assert [e.span.text_in(TEXT) for e in result.rejected] == ["Oslo"]


def test_a_mode_without_a_fit_leaves_votes_as_they_are() -> None:
    assert shipped("a mode that nobody fitted") == Calibrator()
    assert mode_of(StepsConfig(verify="selective")) == "selective"
    assert mode_of(StepsConfig(verify="off")) == "off"
    assert mode_of(StepsConfig(classify=False, verify="on")) == "on"
