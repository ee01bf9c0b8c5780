from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.engines.checking import mismatch, repaired
from agent.engines.constraints import (
    choice,
    choice_probabilities,
    fault,
    first_tokens,
    spans_grammar,
    typed_grammar,
)
from agent.engines.protocol import Completion, Constraint, FailureKind, TokenAlternatives
from agent.engines.tokens import TokenCounter
from tools.annotation.chunks import word_chunks
from tools.annotation.modeltext import model_text

SCHEMA = Constraint("json_schema", '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}')


@pytest.mark.parametrize(
    "bad",
    [
        Constraint("grammar", "start: ("),
        Constraint("grammar", "%llguidance {}\nstart: UNKNOWN\n"),
        Constraint("grammar", ""),
        Constraint("grammar", 'start: "\ud800"'),
        Constraint("regex", "(["),
        Constraint("json_schema", "{"),
        Constraint("json_schema", "[]"),
        Constraint("json_schema", '{"type": "nonsense"}'),
        Constraint("choice"),
        Constraint("choice", choices=("a", "")),
        Constraint("choice", choices=("a", "\ud800")),
        Constraint("nonsense", "x"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_constraint_is_told_and_does_not_raise(bad: Constraint) -> None:
    assert fault(bad)


@pytest.mark.parametrize(
    "good",
    [
        Constraint("regex", "[a-z/]+"),
        SCHEMA,
        choice(("a", "\u00e9", "\U0001f600", 'say "x"', "a\nb")),
        spans_grammar('A "quoted" back\\slash, {{ braces }} and \x1b[31m escapes'),
        typed_grammar("Anna lives in Oslo.", ("PER", 'odd "code"')),
    ],
)
def test_a_sound_constraint_has_no_fault(good: Constraint) -> None:
    assert fault(good) == ""


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=80), st.data())
def test_every_run_of_words_is_an_answer_and_nothing_else_is(raw: str, data: st.DataObject) -> None:
    text = model_text(raw)
    pieces = word_chunks(text)
    places = [at for at, piece in enumerate(pieces) if not piece.isspace()]
    if not places or fault(spans_grammar(text)):
        # A grammar that cannot be is told by ``fault``: that is for blank texts and lone surrogates only.
        assert not places or any("\ud800" <= char <= "\udfff" for char in text)
        return
    first = data.draw(st.sampled_from(places))
    last = data.draw(st.sampled_from([at for at in places if at >= first]))
    mention = "".join(pieces[first : last + 1])
    constraint = spans_grammar(text)
    assert mismatch(constraint, f"{mention}\n") == ""
    assert mismatch(constraint, "-") == ""
    assert mismatch(constraint, f"{mention}\u2603absent\n") != ""
    assert mismatch(constraint, mention) != ""
    assert mismatch(constraint, mention, cut=True) == ""


def test_typed_answers_are_held_to_codes_and_text() -> None:
    constraint = typed_grammar("Anna lives in Oslo.", ("PER", "LOC"))
    assert mismatch(constraint, "PER: Anna\nLOC: Oslo\n") == ""
    assert "after 0 characters" in mismatch(constraint, "ORG: Anna\n")
    assert mismatch(constraint, "PER: Oslo, Norway\n") != ""


def test_choices_schemas_and_expressions_are_checked() -> None:
    assert mismatch(choice(("yes", "no")), "yes") == ""
    assert mismatch(choice(("yes", "no")), "ye") != ""
    assert mismatch(choice(("yes", "no")), "ye", cut=True) == ""
    assert mismatch(choice(("yes", "no")), "maybe", cut=True) != ""
    assert mismatch(SCHEMA, '{ "n" : 3 }') == ""
    assert mismatch(SCHEMA, '{"n": "3"}') != ""
    assert mismatch(SCHEMA, '{"n": 3') == "stops before the json_schema is complete"
    assert mismatch(Constraint("regex", "[0-9]{4}"), "1999") == ""
    assert mismatch(Constraint("regex", "[0-9]{4}"), "199") != ""


def test_a_character_that_the_limit_cut_in_two_is_no_fault() -> None:
    assert mismatch(spans_grammar("東京の豊田"), "東京\n豊\ufffd", cut=True) == ""


@pytest.mark.parametrize(
    ("constraint", "said", "meant"),
    [
        (choice(("yes", "no")), ' "Yes." ', "yes"),
        (SCHEMA, 'Here you are:\n```json\n{"n": 3}\n```\nAnything else?', '{"n": 3}'),
        (SCHEMA, 'Sure: {"n": 3}.', '{"n": 3}'),
        (spans_grammar("Anna met Bob"), "- Anna\n- Bob", "Anna\nBob\n"),
        (spans_grammar("Anna met Bob"), "1. Anna\n2. Bob\n", "Anna\nBob\n"),
        (spans_grammar("Anna met Bob"), "```\nAnna\n```", "Anna\n"),
        (spans_grammar("Anna met Bob"), " - ", "-"),
    ],
)
def test_wrapping_is_taken_off(constraint: Constraint, said: str, meant: str) -> None:
    assert mismatch(constraint, said)
    assert repaired(constraint, said) == meant


def test_what_was_said_is_never_replaced() -> None:
    assert repaired(spans_grammar("Anna met Bob"), "Charlie\n") is None
    assert repaired(choice(("yes", "no")), "yes and no") is None
    assert repaired(SCHEMA, "no idea") is None


def test_probabilities_of_choices_share_what_several_begin_with() -> None:
    tokens = (TokenAlternatives("b", -0.5, (("b", -0.5), ("a", -1.5), ("x", -3.0))),)
    found = choice_probabilities(Completion("ba", logprobs=tokens), ("ba", "bo", "a"))
    assert found["ba"] == found["bo"] > 0
    assert sum(found.values()) == pytest.approx(1.0)
    assert choice_probabilities(Completion.failed(FailureKind.SERVER, "x"), ("a",)) == {}
    assert choice_probabilities(Completion("a"), ("a",)) == {}


def test_a_token_that_begins_several_choices_belongs_to_those_it_is_the_first_token_of() -> None:
    tokens = (TokenAlternatives("c", -0.5, (("c", -0.5), ("creative", -1.5), ("g", -3.0))),)
    choices = ("corporation", "creative", "group", "goods")
    found = choice_probabilities(
        Completion("c", logprobs=tokens), choices, firsts={"corporation": "c", "creative": "creative"}
    )
    assert found["corporation"] / found["creative"] == pytest.approx(math.e)
    assert found["group"] == found["goods"] > 0, "where nothing is known, it is shared"


def test_first_tokens_by_counting(starter_path: Path) -> None:
    """The starter's tokenizer cuts corporation into c, orpor, ation; creative is one token."""
    count = TokenCounter(starter_path)
    options = ("corporation", "creative", "crystal", "characterization", "none", "DNA")
    assert first_tokens(options, count) == {
        **{name: name for name in ("creative", "none", "DNA")},
        "corporation": "c",
        "crystal": "c",
        "characterization": "character",
    }
    # An estimate names no first token that a model would write; then masses are shared as before.
    tokens = (TokenAlternatives("c", -0.1, (("c", -0.1),)),)
    guessed = first_tokens(("corporation", "creative"), TokenCounter(None))
    found = choice_probabilities(Completion("c", logprobs=tokens), ("corporation", "creative"), firsts=guessed)
    assert found == {"corporation": 0.5, "creative": 0.5}
