"""The weighted vote: distributions over label codes and none, read from log-probabilities."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import MemberConfig, StepsConfig
from agent.engines.constraints import choice_probabilities
from agent.engines.protocol import Completion, Failure, FailureKind, TokenAlternatives
from agent.extraction.classify import vote
from agent.extraction.member import Sheet
from agent.extraction.state import Candidate
from tests.extraction.script import LABELS, Asked, Script, config, found, members, one, quorum
from tools.annotation import NONE_CODE, LabelSet, Span
from tools.annotation.prediction import OutcomeKind
from tools.errors import ConfigError

SHEET = Sheet.of(LABELS)
CANDIDATE = Candidate(Span(0, 3), ("a",))


def share(*given_: tuple[str, dict[str, float]], **weights: float) -> Candidate:
    return vote(CANDIDATE, list(given_), {name: weights.get(name, 1.0) for name, _ in given_}, SHEET)


def test_votes_are_averaged() -> None:
    done = share(("a", {"person": 0.9, "none": 0.1}), ("b", {"person": 0.3, "place": 0.6, "none": 0.1}))
    assert done.span.label == "person"
    assert done.probability == pytest.approx(0.6)
    assert [(v.member, v.label, v.probability) for v in done.votes] == [("a", "person", 0.9), ("b", "place", 0.6)]
    assert [v.proposed for v in done.votes] == [True, False]


def test_a_heavy_member_outvotes_light_ones() -> None:
    for_place, for_person = {"place": 1.0}, {"person": 1.0}
    assert share(("a", for_place), ("b", for_person), ("c", for_person)).span.label == "person"
    heavy = share(("a", for_place), ("b", for_person), ("c", for_person), a=3.0)
    assert heavy.span.label == "place" and heavy.probability == pytest.approx(0.6)


def test_none_wins_and_the_best_label_stays_for_the_verifier() -> None:
    done = share(("a", {"person": 0.2, "none": 0.8}), ("b", {"person": 0.3, "none": 0.7}))
    assert done.span.label == "person" and done.probability == pytest.approx(0.25)
    assert [v.label for v in done.votes] == ["", ""]
    text = "Ada."
    result = one(quorum(Script(extract={"*": "Ada\n"}, types={"Ada": {"person": 0.2, "none": 0.8}})), text)
    assert result.entities == ()
    assert [(e.span.label, round(e.confidence, 3)) for e in result.rejected] == [("person", 0.2)]


def test_a_tie_goes_to_the_label_that_stands_first_in_the_set() -> None:
    even = {"person": 0.5, "place": 0.5}
    assert share(("a", even)).span.label == "person"
    turned = Sheet.of(LabelSet.of("place", "person"))
    assert vote(CANDIDATE, [("a", even)], {"a": 1.0}, turned).span.label == "place"


def test_without_votes_nothing_is_decided() -> None:
    assert vote(CANDIDATE, [], {}, SHEET) == CANDIDATE


weight = st.floats(0.01, 100)
distribution = st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda v: sum(v) > 0.01)


@given(st.lists(st.tuples(weight, distribution), min_size=1, max_size=6))
def test_the_share_is_a_probability_and_lies_between_the_members(given_: list[tuple[float, list[float]]]) -> None:
    rows = []
    for n, (_, values) in enumerate(given_):
        total = sum(values)
        rows.append((f"m{n}", dict(zip(SHEET.choices, (v / total for v in values), strict=True))))
    done = vote(CANDIDATE, rows, {f"m{n}": w for n, (w, _) in enumerate(given_)}, SHEET)
    code = LABELS.codes[done.span.label]
    each = [row[code] for _, row in rows]
    assert min(each) - 1e-9 <= done.probability <= max(each) + 1e-9
    assert 0 <= done.probability <= 1 + 1e-9


# -- reading probabilities --------------------------------------------------------------------------------------------


def tokens(**logprobs: float) -> Completion:
    top = tuple(logprobs.items())
    return Completion(top[0][0], logprobs=(TokenAlternatives(top[0][0], top[0][1], top),))


def test_a_token_that_begins_several_codes_is_shared_evenly() -> None:
    # "p" is the beginning of both; "pers" only of one.
    read = choice_probabilities(tokens(p=math.log(0.4), pers=math.log(0.4), none=math.log(0.2)), SHEET.choices)
    assert read == pytest.approx({"person": 0.6, "place": 0.2, "none": 0.2})


def test_mass_outside_the_choices_is_left_out() -> None:
    read = choice_probabilities(tokens(person=math.log(0.2), xyz=math.log(0.7), none=math.log(0.1)), SHEET.choices)
    assert read == pytest.approx({"person": 2 / 3, "place": 0.0, "none": 1 / 3})


@pytest.mark.parametrize(
    "completion",
    [
        Completion("person"),
        Completion(failure=Failure(FailureKind.SERVER, "x"), finish="error"),
        Completion("x", logprobs=(TokenAlternatives("x", -0.1, (("x", -0.1),)),)),
        Completion("", logprobs=(TokenAlternatives("", 0.0),)),
        Completion("person", logprobs=(TokenAlternatives("person", math.nan),)),
        Completion("person", logprobs=(TokenAlternatives("person", -math.inf),)),
    ],
)
def test_what_cannot_be_read_is_empty_and_not_a_guess(completion: Completion) -> None:
    assert choice_probabilities(completion, SHEET.choices) == {}


def test_without_alternatives_the_written_token_counts() -> None:
    one_token = Completion("pla", logprobs=(TokenAlternatives("pla", -3.0),))
    assert choice_probabilities(one_token, SHEET.choices) == {"person": 0.0, "place": 1.0, "none": 0.0}


@given(st.lists(st.tuples(st.sampled_from(["p", "per", "place", "n", "", "zz"]), st.floats()), min_size=1, max_size=8))
def test_any_log_probabilities_give_a_distribution_or_nothing(top: list[tuple[str, float]]) -> None:
    read = choice_probabilities(Completion("p", logprobs=(TokenAlternatives(*top[0], tuple(top)),)), SHEET.choices)
    if read:
        assert set(read) == set(SHEET.choices)
        assert all(0 <= p <= 1 for p in read.values())
        assert sum(read.values()) == pytest.approx(1)


# -- codes of awkward label sets ---------------------------------------------------------------------------------------

AWKWARD = [
    ("PER", "PERSON", "person name"),
    ("none", "None", "nothing"),
    ("cell line", "cell type", "cell"),
    ("人物", "地点", "DNA", "Ämter", "E"),
    tuple(f"类{n}" for n in range(40)),
    tuple(f"type {n}" for n in range(30)),
    ("a", "b", "an", "bn"),
    ("yes", "no", "-"),
    ("{{ x }}", "<|im_end|>", "[INST]"),
]


@pytest.mark.parametrize("names", AWKWARD)
def test_codes_tell_labels_apart_by_how_they_begin(names: tuple[str, ...]) -> None:
    labels = LabelSet.of(*names)
    codes = list(labels.codes.values())
    assert list(labels.codes) == list(names)
    assert len(set(codes)) == len(codes) and NONE_CODE not in codes
    for code in codes:
        assert code.isascii() and code.isalnum()
        others = [c for c in (*codes, NONE_CODE) if c != code]
        assert not any(other.startswith(code) or code.startswith(other) for other in others), (code, others)


@pytest.mark.parametrize("names", AWKWARD)
def test_each_label_of_an_awkward_set_can_win_the_vote(names: tuple[str, ...]) -> None:
    labels = LabelSet.of(*names)
    for name, code in list(labels.codes.items())[:6]:
        script = Script(extract={"*": "Ada\n"}, types={"Ada": {code: 0.9, NONE_CODE: 0.1}})
        assert found(one(quorum(script, labels=labels), "Ada."), "Ada.") == [("Ada", name)]


# -- classify and its absence in the graph ------------------------------------------------------------------------------


def test_a_passage_with_too_few_votes_has_failed_and_says_why() -> None:
    def silent(asked: Asked) -> Completion | None:
        return Completion("person") if asked.step == "classify" and asked.member != "a" else None

    script = Script(extract={"*": "Ada\n"}, types={"Ada": {"person": 1.0}}, otherwise=silent)
    result = one(quorum(script), "Ada.")
    assert result.outcome.kind is OutcomeKind.FAILED
    assert "no log-probabilities" in result.outcome.reason
    assert (result.entities, result.rejected) == ((), ())


TYPED = (
    MemberConfig(name="list", model="m"),
    MemberConfig(name="t1", model="m", extract="typed.v1"),
    MemberConfig(name="t2", model="m", extract="typed.v1"),
)
NO_CLASSIFY = StepsConfig(classify=False, verify="off", calibrate=False)


def test_without_classify_typed_extraction_votes() -> None:
    text = "Ada met Bob in Bonn."
    script = Script(
        extract={"list": "Bob\n", "t1": "person: Ada\nplace: Bonn\n", "t2": "person: Ada\nperson: Bonn\n"},
    )
    opened = quorum(script, config(*TYPED, steps=NO_CLASSIFY))
    result = one(opened, text)
    # Bonn: one for place, one for person; each has a half. Bob has no type from anyone.
    assert found(result, text) == [("Ada", "person"), ("Bonn", "person")]
    assert [round(e.confidence, 3) for e in result.entities] == [1.0, 0.5]
    assert [e.span.text_in(text) for e in result.rejected] == ["Bob"]
    assert {asked.step for asked in script.asked} == {"extract"}


def test_two_types_from_one_member_share_its_vote() -> None:
    text = "Bonn."
    script = Script(extract={"t1": "person: Bonn\nplace: Bonn\n", "t2": "place: Bonn\n"})
    result = one(quorum(script, config(*TYPED, steps=NO_CLASSIFY)), text)
    assert found(result, text) == [("Bonn", "place")]
    assert result.entities[0].confidence == pytest.approx(0.75)


def test_without_classify_candidates_that_nobody_typed_are_a_failure_not_an_empty_list() -> None:
    def broken(asked: Asked) -> Completion | None:
        return Completion.failed(FailureKind.BAD_RESPONSE, "garbled") if asked.member.startswith("t") else None

    script = Script(extract={"*": "Ada\n"}, otherwise=broken)
    result = one(quorum(script, config(*TYPED, steps=NO_CLASSIFY, quorum=1)), "Ada.")
    assert result.outcome.kind is OutcomeKind.FAILED and "t1, t2" in result.outcome.reason
    assert (result.entities, result.rejected) == ((), ())


def test_without_classify_some_member_must_name_types() -> None:
    with pytest.raises(ConfigError, match="no member names types"):
        quorum(Script(), config(*members("a", "b"), steps=NO_CLASSIFY))
