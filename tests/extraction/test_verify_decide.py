"""Verification where it can change something, the threshold, and flat against nested spans."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import MemberConfig, StepsConfig
from agent.engines.protocol import Completion, FailureKind
from agent.extraction.decide import flatten
from agent.extraction.state import Candidate
from tests.extraction.script import Asked, Script, config, found, members, one, quorum, work
from tools.annotation import Span
from tools.annotation.prediction import OutcomeKind

TEXT = "Ada met Bob in Bonn."
TYPES = {
    "Ada": {"person": 0.97, "none": 0.03},
    "Bob": {"person": 0.6, "none": 0.4},
    "Bonn": {"place": 0.05, "none": 0.95},
}


def script(**verdicts: float) -> Script:
    return Script(extract={"*": "Ada\nBob\nBonn\n"}, types=TYPES, verdicts=verdicts)


def steps(**options: object) -> StepsConfig:
    return StepsConfig.model_validate({"calibrate": False, **options})


def verified(played: Script) -> list[tuple[str, str]]:
    return [(asked.mention, asked.code) for asked in played.asked if asked.step == "verify"]


def test_off_asks_nothing() -> None:
    played = script()
    result = one(quorum(played, config(steps=steps(verify="off"))), TEXT)
    assert verified(played) == []
    assert [e.verdict for e in (*result.entities, *result.rejected)] == [None] * 3


def test_selective_asks_only_inside_the_band_and_only_the_verifier() -> None:
    played = script(Bob=0.02)
    result = one(quorum(played, config(steps=steps(verify="selective"))), TEXT)
    assert verified(played) == [("Bob", "person")]
    assert {asked.member for asked in played.asked if asked.step == "verify"} == {"a"}
    assert found(result, TEXT) == [("Ada", "person")]
    rejected = {e.span.text_in(TEXT): e.verdict for e in result.rejected}
    assert rejected["Bob"] == pytest.approx(0.02) and rejected["Bonn"] is None


@pytest.mark.parametrize(("band", "asked"), [((0.0, 1.0), 3), ((0.6, 0.6), 1), ((0.2, 0.5), 0), ((0.9, 1.0), 1)])
def test_the_band_is_closed_at_both_ends(band: tuple[float, float], asked: int) -> None:
    played = script()
    one(quorum(played, config(steps=steps(verify="selective", verify_band=band))), TEXT)
    assert len(verified(played)) == asked


def test_on_asks_about_every_candidate_and_a_yes_can_save_one() -> None:
    played = script(Ada=0.99, Bob=0.9, Bonn=0.9999)
    result = one(quorum(played, config(steps=steps(verify="on"))), TEXT)
    assert [mention for mention, _ in verified(played)] == ["Ada", "Bob", "Bonn"]
    assert found(result, TEXT) == [("Ada", "person"), ("Bob", "person"), ("Bonn", "place")]


def test_a_named_member_verifies() -> None:
    played = script()
    one(quorum(played, config(*members("a", "b"), steps=steps(verify="on", verifier="b"))), TEXT)
    assert {asked.member for asked in played.asked if asked.step == "verify"} == {"b"}


def test_the_next_member_verifies_where_the_verifier_is_dead() -> None:
    def dead(asked: Asked) -> Completion | None:
        return Completion.failed(FailureKind.CONNECTION, "refused") if asked.member == "b" else None

    played = script()
    played.otherwise = dead
    settings = config(MemberConfig(name="a", model="m"), MemberConfig(name="b", model="n"),
                      MemberConfig(name="c", model="m"), steps=steps(verify="on", verifier="b"))  # fmt: skip
    batch = work(quorum({"m": played.engine(), "n": played.engine()}, settings), TEXT)
    assert batch.members_down == ("b",)
    assert [asked.member for asked in played.asked if asked.step == "verify"] == ["a"] * 3, "b was known to be gone"
    assert all(e.verdict is not None for e in (*batch.results[0].entities, *batch.results[0].rejected))
    assert batch.results[0].outcome.reason == ""


def test_a_verifier_that_dies_there_or_fails_on_one_candidate_is_stood_in_for() -> None:
    """All of b's verifications fail; a's fails for Bob alone; c answers the rest."""

    def failing(asked: Asked) -> Completion | None:
        if asked.step == "verify" and asked.member == "b":
            return Completion.failed(FailureKind.CONNECTION, "refused")
        if asked.step == "verify" and asked.member == "a" and asked.mention == "Bob":
            return Completion.failed(FailureKind.CONTEXT_LENGTH, "too long")
        return None

    played = script()
    played.otherwise = failing
    batch = work(quorum(played, config(steps=steps(verify="on", verifier="b"))), TEXT)
    who = [(asked.member, asked.mention) for asked in played.asked if asked.step == "verify"]
    assert who == [
        *(("b", m) for m in ("Ada", "Bob", "Bonn")),
        *(("a", m) for m in ("Ada", "Bob", "Bonn")),
        ("c", "Bob"),
    ]
    assert batch.members_down == ("b",)
    assert all(e.verdict is not None for e in (*batch.results[0].entities, *batch.results[0].rejected))


def test_verification_that_nobody_answers_leaves_the_vote_and_is_told() -> None:
    def dead(asked: Asked) -> Completion | None:
        return Completion.failed(FailureKind.CONNECTION, "refused\nby the host") if asked.step == "verify" else None

    played = Script(extract={"*": "Bob\n"}, types=TYPES, otherwise=dead)
    batch = work(quorum(played, config(steps=steps(verify="on"))), TEXT)
    assert batch.members_down == ("a", "b", "c")
    result = batch.results[0]
    assert found(result, TEXT) == [("Bob", "person")]
    assert result.entities[0].verdict is None
    assert result.entities[0].confidence == pytest.approx(0.6, abs=1e-6)
    assert result.outcome.kind is OutcomeKind.OK
    assert result.outcome.reason == "1 candidate(s) not verified: a: connection: refused by the host"


def test_the_threshold_parts_entities_from_rejected() -> None:
    for threshold, kept in ((0.0, 3), (0.5, 2), (0.9, 1), (1.0, 0)):
        settings = config(steps=steps(verify="off"), threshold=threshold)
        result = one(quorum(script(), settings), TEXT)
        assert (len(result.entities), len(result.rejected)) == (kept, 3 - kept)


def test_flat_keeps_the_surest_of_overlapping_spans_and_rejects_the_others() -> None:
    text = "University of Bonn"
    types = {"University of Bonn": {"place": 0.7, "none": 0.3}, "Bonn": {"place": 0.9, "none": 0.1}}
    played = Script(extract={"*": "University of Bonn\nBonn\n"}, types=types)
    flat = one(quorum(played, config(steps=steps(verify="off", spans="flat"))), text)
    assert found(flat, text) == [("Bonn", "place")]
    assert [e.span.text_in(text) for e in flat.rejected] == ["University of Bonn"]
    nested = one(quorum(played, config(steps=steps(verify="off", spans="nested"))), text)
    assert len(nested.entities) == 2 and nested.rejected == ()


def test_of_equally_sure_spans_the_longer_wins_then_the_first() -> None:
    def candidate(start: int, end: int) -> Candidate:
        return Candidate(Span(start, end, "x"), ("a",), confidence=0.8)

    assert [c.span for c in flatten([candidate(0, 4), candidate(2, 9)])] == [Span(2, 9, "x")]
    assert [c.span for c in flatten([candidate(3, 6), candidate(1, 4)])] == [Span(1, 4, "x")]
    assert [c.span for c in flatten([candidate(4, 6), candidate(0, 4)])] == [Span(0, 4, "x"), Span(4, 6, "x")]


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(1, 6), st.floats(0, 1)),
        max_size=12,
        unique_by=lambda item: (item[0], item[1]),
    )
)
def test_flattened_spans_never_overlap_and_none_could_be_added(drawn: list[tuple[int, int, float]]) -> None:
    candidates = [Candidate(Span(a, a + n, "x"), ("m",), confidence=c) for a, n, c in drawn]
    kept = flatten(candidates)
    assert kept == sorted(kept, key=lambda c: c.span)
    for i, one_kept in enumerate(kept):
        assert not any(one_kept.span.overlaps(other.span) for other in kept[i + 1 :])
    for left_out in (c for c in candidates if c not in kept):
        over = [k for k in kept if k.span.overlaps(left_out.span)]
        assert over and max(k.confidence for k in over) >= left_out.confidence
