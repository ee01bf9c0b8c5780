from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tools.annotation import Document, Span
from tools.demonstrations.gold import MAX_CHARACTERS, demonstrations_of, from_gold


def test_sentences_with_their_mentions() -> None:
    text = "Ada met Bob in Rome. It rained.  Nobody saw the Acme Corp. Later they left for good."
    spans = [Span(0, 3, "PER"), Span(8, 11, "PER"), Span(15, 19, "LOC"), Span(48, 57, "ORG")]
    found = demonstrations_of(Document("d", text, {"split": "train"}), spans)
    assert [item.text for item in found] == [
        "Ada met Bob in Rome.",
        "Nobody saw the Acme Corp.",
        "Later they left for good.",
    ]
    assert [[(s.text_in(item.text), s.label) for s in item.spans] for item in found] == [
        [("Ada", "PER"), ("Bob", "PER"), ("Rome", "LOC")],
        [("Acme Corp", "ORG")],
        [],
    ]
    assert [item.id for item in found] == ["d#0", "d#2", "d#3"]
    assert {item.document_hash for item in found} == {Document("x", text).hash}


def test_borders_inside_mentions_are_ignored() -> None:
    text = "We saw Who Is He? The Movie. It was long enough. The end came."
    title = Span(7, 27, "WORK")
    assert title.text_in(text) == "Who Is He? The Movie"
    found = demonstrations_of(Document("d", text), [title, Span(11, 13, "X")])
    assert found[0].text == "We saw Who Is He? The Movie."
    assert found[0].spans == (title, Span(11, 13, "X"))


def test_splits_and_lengths() -> None:
    gold = [(Document("a", "One plain sentence here.", {"split": "audit"}), ()), (Document("b", "word " * 600), ())]
    assert [(item.document_id, item.split) for item in from_gold(gold)] == [("a", "audit")]
    assert demonstrations_of(Document("a", "One two three"), (), split="dev")[0].split == "dev"
    assert demonstrations_of(Document("a", "Hi there"), ()) == []
    assert demonstrations_of(Document("a", "Hi Bo"), [Span(3, 5, "P")])[0].text == "Hi Bo"


@given(
    st.text(st.sampled_from("aB .!?\n\u3002東\u0301\ud800"), max_size=60),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 25)), max_size=5),
)
def test_no_mention_is_lost_or_moved(text: str, cuts: list[tuple[int, int]]) -> None:
    spans = {Span(start, start + length, f"L{start}") for start, length in cuts if start + length <= len(text)}
    spans = {span for span in spans if not span.text_in(text)[0].isspace() and not span.text_in(text)[-1].isspace()}
    found = demonstrations_of(Document("d", text), spans)
    assert len(text) < MAX_CHARACTERS
    assert sorted((s.label, s.text_in(item.text)) for item in found for s in item.spans) == sorted(
        (span.label, span.text_in(text)) for span in spans
    )
    assert len({item.id for item in found}) == len(found)
