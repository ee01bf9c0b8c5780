"""Extraction: the union of what members write, grounded, with every failure told."""

from __future__ import annotations

import re

import pytest

from agent.config import MemberConfig
from agent.engines.protocol import Completion
from agent.extraction.extract import MAX_CANDIDATES, read_answer
from agent.extraction.member import Sheet
from prompts import load
from tests.extraction.script import LABELS, Script, config, found, one, quorum
from tools.annotation import Span
from tools.annotation.prediction import OutcomeKind

PERSON, PLACE = {"person": 0.9, "none": 0.1}, {"place": 0.8, "none": 0.2}
SHEET = Sheet.of(LABELS)


def test_candidates_are_the_union_of_what_members_wrote() -> None:
    text = "Ada met Bob in Bonn."
    script = Script(
        extract={"a": "Ada\n", "b": "Bonn\nAda\n", "c": "-"},
        types={"Ada": PERSON, "Bonn": PLACE, "Bob": PERSON},
    )
    result = one(quorum(script), text)
    assert found(result, text) == [("Ada", "person"), ("Bonn", "place")]
    proposed = {e.span.text_in(text): [v.member for v in e.votes if v.proposed] for e in result.entities}
    assert proposed == {"Ada": ["a", "b"], "Bonn": ["b"]}
    assert [v.member for v in result.entities[0].votes] == ["a", "b", "c"]
    assert result.outcome.kind is OutcomeKind.OK


def test_every_occurrence_of_a_repeated_mention_is_a_candidate() -> None:
    text = "Bonn, Bonn and Bonner. In Bonn!"
    result = one(quorum(Script(extract={"a": "Bonn\n"}, types={"Bonn": PLACE})), text)
    assert [(e.span.start, e.span.end) for e in result.entities] == [(0, 4), (6, 10), (26, 30)]


def test_nested_and_overlapping_spans_live_side_by_side() -> None:
    text = "The University of Bonn Library opened."
    answer = "University of Bonn\nBonn\nBonn Library\n"
    types = {"University of Bonn": PLACE, "Bonn": PLACE, "Bonn Library": PLACE}
    result = one(quorum(Script(extract={"*": answer}, types=types)), text)
    assert [t for t, _ in found(result, text)] == ["University of Bonn", "Bonn", "Bonn Library"]


def test_typed_answers_carry_their_label_and_code_words_are_no_mentions() -> None:
    template = load("extract", "typed.v1")
    completion = Completion("person: Ada\nplace: Ada\nmonster: Bob\nplace: place\n")
    read = read_answer("Ada met Bob at this place.", completion, template, SHEET)
    assert set(read.spans) == {Span(0, 3, "person"), Span(0, 3, "place"), Span(8, 11, ""), Span(20, 25, "place")}
    assert read.outcome.kind is OutcomeKind.OK


def test_a_typed_member_proposes_beside_plain_ones() -> None:
    voters = (
        MemberConfig(name="list", model="m"),
        MemberConfig(name="typed", model="m", extract="typed.v1", classify="asked.v1"),
    )
    text = "Ada met Bob."
    script = Script(extract={"list": "Ada\n", "typed": "person: Bob\n"}, types={"Ada": PERSON, "Bob": PERSON})
    assert found(one(quorum(script, config(*voters)), text), text) == [("Ada", "person"), ("Bob", "person")]


def test_a_cut_answer_keeps_its_whole_lines() -> None:
    text = "Ada met Bob in Bonn."

    def cut(asked: object) -> Completion:
        return Completion("Ada\nBonn\nBo", "length")

    result = one(quorum(Script(extract={"*": cut}, types={"Ada": PERSON, "Bonn": PLACE, "Bo": PLACE})), text)
    assert [t for t, _ in found(result, text)] == ["Ada", "Bonn"]
    assert result.outcome.kind is OutcomeKind.TRUNCATED
    assert result.ungrounded == ()


def test_a_cut_answer_without_a_whole_line_is_truncated_and_empty() -> None:
    read = read_answer("Ada met Bob.", Completion("Ad", "length"), load("extract", "spans.v1"), SHEET)
    assert read.spans == () and read.outcome.kind is OutcomeKind.TRUNCATED


def test_what_stands_nowhere_is_recorded_and_never_emitted() -> None:
    text = "Ada met Bob."
    script = Script(extract={"a": "Ada\nCharles Babbage\n", "b": "Ad\n"}, types={"Ada": PERSON})
    result = one(quorum(script), text)
    assert [t for t, _ in found(result, text)] == ["Ada"]
    assert result.ungrounded == ("Charles Babbage", "Ad")
    assert result.outcome.kind is OutcomeKind.UNGROUNDED
    assert not any("Babbage" in e.span.text_in(text) for e in result.rejected)


def test_another_spelling_is_repaired_to_the_text_as_it_stands() -> None:
    text = "They saw “Don’t Look Up” there."
    result = one(quorum(Script(extract={"a": "Don't  Look Up\n"}, types={"Don’t Look Up": PLACE})), text)
    assert found(result, text) == [("Don’t Look Up", "place")]
    assert result.outcome.kind is OutcomeKind.REPAIRED


def test_a_dash_says_none_and_that_is_ok() -> None:
    result = one(quorum(Script(extract={"*": "-"})), "Nothing here.")
    assert (result.entities, result.rejected, result.outcome.kind) == ((), (), OutcomeKind.OK)


def test_too_many_candidates_are_cut_to_what_most_members_wrote_and_it_is_told() -> None:
    words = [f"w{n}" for n in range(MAX_CANDIDATES + 20)]
    text = " ".join(words)
    everything = "".join(f"{word}\n" for word in words)
    last = "".join(f"{word}\n" for word in words[-30:])
    types = dict.fromkeys(words, PERSON)
    result = one(quorum(Script(extract={"a": everything, "b": last}, types=types)), text)
    assert len(result.entities) == MAX_CANDIDATES
    kept = {e.span.text_in(text) for e in result.entities}
    assert set(words[-30:]) <= kept
    assert result.outcome.kind is OutcomeKind.TRUNCATED
    assert "20 candidate(s)" in result.outcome.reason


@pytest.mark.parametrize("answer", ["", "\n\n", "   \n", "- \n", "-"])
def test_blank_answers_are_no_mentions(answer: str) -> None:
    result = one(quorum(Script(extract={"*": answer})), "A - b.")
    assert result.entities == () and result.ungrounded == ()


def test_the_grammar_of_an_extract_request_is_made_of_its_own_passage() -> None:
    script = Script(extract={"*": "-"})
    one(quorum(script), 'He said "no" in Bonn.')
    for request in script.requests:
        assert request.constraint is not None
        chunks = re.search(r'"substring_chunks": (\[.*\])}', request.constraint.value)
        assert chunks is not None
        assert "Bonn" in chunks.group(1) and request.max_tokens >= 24


def test_a_cut_answer_that_went_round_in_circles_is_repaired_not_truncated() -> None:
    from agent.extraction.extract import read_answer
    from agent.extraction.member import Sheet
    from prompts import load
    from tools.annotation import LabelSet

    sheet, template = Sheet.of(LabelSet.of("person")), load("extract", "spans.v1")
    shown = "Ada met Bo and Cy."

    def kind(answer: str, finish: str) -> str:
        completion = Completion(answer, finish=finish)  # type: ignore[arg-type]
        return str(read_answer(shown, completion, template, sheet).outcome.kind)

    assert kind("Ada\nBo\nAda\nBo\nAd", "length") == "repaired"
    assert kind("Ada\nBo\nC", "length") == "truncated"
    assert kind("Ada\nAda\n", "stop") == "ok"
