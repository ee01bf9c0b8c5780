"""The page: everything escaped, every span told apart, nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from tools.annotation import Document, Label, LabelSet, Span
from tools.annotation.prediction import DocumentResult, Entity, Outcome, OutcomeKind, PassageResult, Vote
from tui.report.marks import Shown, compare, lay_out, visible
from tui.report.page import MOST_DOCUMENTS, Summary, Table, render_page

EVIL = "<script>alert(1)</script>\x1b[31m\"'&</textarea><!-- ]]> \u202e\ud800\0 {{ 7*7 }}"
LABELS = LabelSet((Label("person", "people <b>by</b> name"), Label("place")))


class Reader(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def entity(start: int, end: int, label: str = "person", confidence: float = 0.8, **more: object) -> Entity:
    return Entity(Span(start, end, label), confidence, **more)  # type: ignore[arg-type]


def shown(text: str, entities: list[Entity], gold: list[Span] | None = None, **more: object) -> Shown:
    passage = PassageResult("d", 0, Outcome(), tuple(entities), **more)  # type: ignore[arg-type]
    result = DocumentResult("d", Outcome(), tuple(entities), (passage,))
    return Shown(Document("d", text), result, None if gold is None else tuple(gold))


def test_hostile_text_stays_text_everywhere() -> None:
    votes = (Vote(EVIL, True, EVIL, 0.5),)
    passage = PassageResult(EVIL, 0, Outcome(OutcomeKind.UNGROUNDED, EVIL), (), (entity(0, 5, EVIL),), (EVIL,), (EVIL,))
    hit = Entity(Span(0, len(EVIL), "person"), 0.5, votes)
    result = DocumentResult(EVIL, Outcome(OutcomeKind.UNGROUNDED, EVIL), (hit, entity(3, 9, "<i>")), (passage,))
    labels = LabelSet((Label("person", EVIL), Label("<img src=x onerror=y>")))
    summary = Summary(EVIL, ((EVIL, EVIL),), (Table(EVIL, (EVIL, "b"), ((EVIL, "1"),)),), ((EVIL, EVIL),), {EVIL: EVIL})
    page = render_page([Shown(Document(EVIL, EVIL), result, (Span(1, 4, "place"),))], labels, summary)
    page.encode("utf-8")
    reader = Reader(page)
    assert len(reader.all("script")) == 2
    assert not {"img", "iframe", "object", "embed", "link", "textarea", "i", "base"} & {tag for tag, _ in reader.tags}
    for _, attributes in reader.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert "src" not in attributes
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e\ud800]", page)
    assert "{{ 7*7 }}" in page, "template syntax in a text is text"
    assert "<script>alert(1)</script>" in "".join(reader.words)


def test_the_page_needs_and_asks_nothing() -> None:
    page = render_page([shown("Ada", [entity(0, 3)])], LABELS, Summary("t"))
    assert "http://" not in page
    assert "https://" not in page
    assert "url(" not in page
    assert "@import" not in page
    (policy,) = (a["content"] for a in Reader(page).all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    script = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy, "the page's own script would be blocked"


def test_votes_verdict_and_demonstrations_are_in_the_data() -> None:
    votes = (Vote("list", True, "person", 0.912345), Vote("bare", False, "", 0.4))
    item = shown("Ada in Oslo", [entity(0, 3, votes=votes, verdict=0.7)], demonstrations=("d1",))
    page = render_page([item], LABELS, Summary("t", demonstrations={"d1": "Bo is here."}))
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data = json.loads(found[1])
    assert data["marks"][0]["votes"] == [["list", True, "person", 0.9123], ["bare", False, "", 0.4]]
    assert data["marks"][0]["verdict"] == 0.7
    assert data["marks"][0]["demonstrations"] == ["d1"]
    assert data["demonstrations"] == {"d1": "Bo is here."}


def test_how_predictions_stand_to_gold() -> None:
    gold = [Span(0, 3, "person"), Span(10, 14, "place"), Span(20, 25, "place"), Span(30, 34, "place")]
    entities = [entity(0, 3), entity(10, 14), entity(20, 23, "place"), entity(40, 44)]
    standing = {(span.start, span.end): how for span, how, _, _ in compare(entities, gold)}
    assert standing == {
        (0, 3): "right",
        (10, 14): "type",
        (20, 23): "boundary",
        (40, 44): "extra",
        (20, 25): "missed",
        (30, 34): "missed",
    }
    assert {how for _, how, _, _ in compare(entities, None)} == {"unknown"}
    assert [how for _, how, _, _ in compare([], [])] == []


def test_gold_of_another_version_of_a_text_does_not_break_the_page() -> None:
    assert "<article" in render_page([shown("Ada", [], [Span(0, 300, "person")])], LABELS, Summary("t"))


def test_more_documents_than_a_page_holds_are_counted() -> None:
    page = render_page((shown("x", []) for _ in range(MOST_DOCUMENTS + 7)), LABELS, Summary("t"))
    assert page.count("<article") == MOST_DOCUMENTS
    assert "7 more documents" in page


spans = st.builds(
    lambda start, size, label: Span(start, start + size, label),
    st.integers(0, 30),
    st.integers(1, 12),
    st.sampled_from(["person", "place"]),
)


@given(st.lists(spans, max_size=12, unique=True), st.lists(spans, max_size=6, unique=True))
def test_marks_that_overlap_lie_in_different_lanes_and_pieces_cover_the_text(
    predicted: list[Span], gold: list[Span]
) -> None:
    item = shown("x" * 45, [Entity(span, 0.5) for span in predicted], gold)
    marks, pieces = lay_out(item)
    for i, mark in enumerate(marks):
        for other in marks[:i]:
            assert mark.lane != other.lane or not mark.span.overlaps(other.span)
    assert [p.start for p in pieces] == [0, *(p.end for p in pieces[:-1])][: len(pieces)]
    assert pieces[-1].end == 45
    for index, mark in enumerate(marks):
        covered = [p for p in pieces if index in p.marks]
        assert (covered[0].start, covered[-1].end) == (mark.span.start, mark.span.end)
        assert [p for p in pieces if index in p.closing] == covered[-1:]
    drawn = {mark.span for mark in marks}
    assert set(predicted) <= drawn, "a prediction is not drawn"


@given(st.lists(spans, max_size=8, unique=True), st.text(max_size=45))
def test_the_text_is_on_the_page_exactly(predicted: list[Span], text: str) -> None:
    item = shown(text, [Entity(span, 0.5) for span in predicted if span.end <= len(text)])
    page = render_page([item], LABELS, Summary("t"))
    found = re.search(r'<p class="text" dir="auto">(.*?)</p>', page, re.DOTALL)
    assert found
    without_tags = re.sub(r"<button.*?</button>", "", found[1], flags=re.DOTALL)
    assert "".join(Reader(without_tags).words).replace("\r", "") == visible(text).replace("\r", "")


@given(st.text())
def test_visible_keeps_every_code_point_in_its_place(text: str) -> None:
    seen = visible(text)
    assert len(seen) == len(text)
    seen.encode("utf-8")
    assert all(a == b for a, b in zip(text, seen, strict=True) if a.isprintable())
    assert "\x1b" not in seen
