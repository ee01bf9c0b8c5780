from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.annotation import Document, Span
from tools.annotation.prediction import Entity, Outcome, PassageResult
from tools.store import Decision, DocumentState, Store, fsck
from tui.labelling import graphemes
from tui.labelling.editor import Editor, Suggestion, Target
from tui.labelling.queue import StoreQueue
from tui.labelling.session import Session

PIECES = [
    "Ada",
    " ",
    "é",
    "e\u0301",
    "東京",
    "👨‍👩‍👧",
    "🇩🇪",
    "العربية",
    "\u0645\u0651",
    "\n",
    "\r\n",
    "a-b",
    "ก็",
    ".",
    "\u200f",
    "क्षि",
    "\ud800",
    "x",
]
TEXTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=30).map("".join)


def borders(text: str) -> set[int]:
    return {match.start() for match in regex.finditer(r"\X", text)} | {len(text)}


@given(TEXTS)
def test_steps_visit_every_character_once_each_way(text: str) -> None:
    wanted = sorted(borders(text))
    at, seen = 0, [0]
    while at < len(text):
        at = graphemes.next_cluster(text, at)
        seen.append(at)
    assert seen == wanted
    back = [at]
    while at > 0:
        at = graphemes.previous_cluster(text, at)
        back.append(at)
    assert back[::-1] == wanted


@given(TEXTS, st.integers(0, 200))
def test_any_offset_snaps_to_the_character_it_is_in(text: str, at: int) -> None:
    at = min(at, len(text))
    assert graphemes.snap(text, at) == max(b for b in borders(text) if b <= at)


@given(TEXTS)
def test_words_and_sentences_move_on_and_stand_at_borders(text: str) -> None:
    allowed = borders(text)
    for move in (graphemes.next_word, graphemes.next_sentence, graphemes.word_end):
        at = 0
        for _ in range(len(text) + 2):
            if at >= len(text):
                break
            new = move(text, at)
            assert new in allowed
            assert new > at or (move is graphemes.word_end and new >= at)
            if new == at:
                break
            at = new
    for move in (graphemes.previous_word, graphemes.previous_sentence):
        at = len(text)
        while at > 0:
            new = move(text, at)
            assert new in allowed and new < at
            at = new


@pytest.mark.parametrize(
    ("text", "at", "word"),
    [
        ("(IL-2), so", 2, "IL-2"), ("O'Brien's dog", 1, "O'Brien"), ("O'Brien's dog", 8, "'s"), ("東京都", 1, "京"),
        ("e\u0301tude!", 0, "e\u0301tude"), ("a  b", 1, None), ("well... no", 4, "..."), ("AT&T grew", 3, "AT&T"),
    ],
)  # fmt: skip
def test_the_word_under_the_cursor(text: str, at: int, word: str | None) -> None:
    found = graphemes.word_at(text, at)
    assert (None if found is None else text[slice(*found)]) == word


ACTIONS = (
    "type",
    "type2",
    "accept",
    "reject",
    "grow",
    "shrink",
    "grow_word",
    "move",
    "split",
    "merge",
    "all",
    "finish",
    "flag",
    "nothing",
    "skip",
    "undo",
    "redo",
    "walk",
    "select",
    "swap",
    "tab",
    "low",
)


def act(session: Session, name: str, rng: random.Random) -> bool:
    """One random action through the session; whether it may have changed the store."""
    editor = session.editor
    target = editor.target
    text = editor.text
    done = None
    if name == "walk":
        moves = (graphemes.next_cluster, graphemes.previous_cluster, graphemes.next_word, graphemes.previous_word)
        session.editor = editor.step(rng.choice(moves), extend=rng.random() < 0.3)
    elif name == "select":
        session.editor = editor.selecting()
    elif name == "swap":
        session.editor = editor.swapped()
    elif name == "tab":
        session.editor = editor.to_target(rng.choice((1, -1)), own=rng.choice((None, True, False)))
    elif name == "low":
        session.editor = replace(editor, show_low=not editor.show_low)
    elif name in ("type", "type2"):
        if typed := editor.typed("p" if name == "type" else "q"):
            session.decide(typed[0], typed[1], typed[2])
    elif name == "skip":
        session.skip()
    elif name == "finish":
        session.finish()
    elif name == "flag":
        session.flag("why?")
    elif name == "nothing":
        session.decide("nothing", Decision(DocumentState.DONE))
    elif name == "all":
        session.decide("all", editor.with_all(editor.open))
    elif name == "undo":
        session.undo()
    elif name == "redo":
        session.redo()
    elif target is None:
        return False
    elif name == "accept":
        if (decision := editor.accepted(target)) is not None:
            session.decide("accept", decision, target.span)
    elif name == "reject":
        session.decide("reject", editor.removed(target), target.span)
    elif name == "grow":
        done = editor.resized(
            target, graphemes.previous_cluster if editor.at_start else graphemes.next_cluster, outward=True
        )
    elif name == "shrink":
        done = editor.resized(
            target, graphemes.next_cluster if editor.at_start else graphemes.previous_cluster, outward=False
        )
    elif name == "grow_word":
        done = editor.resized(target, graphemes.previous_word if editor.at_start else graphemes.next_word, outward=True)
    elif name == "move":
        done = editor.shifted(target, graphemes.next_cluster)
    elif name == "split":
        done = editor.split(target)
    elif name == "merge":
        done = editor.merged(target)
    if done is not None:
        session.decide(name, done[0], done[1], go_on=False)
    assert session.editor.text == text or name in ("undo", "redo")
    return True


@settings(max_examples=40)
@given(st.lists(TEXTS, min_size=1, max_size=2), st.lists(st.sampled_from(ACTIONS), max_size=25), st.integers(0, 999))
def test_any_work_can_be_undone_and_done_again_and_the_store_is_what_is_shown(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], names: list[str], seed: int
) -> None:
    rng = random.Random(seed)
    path = tmp_path_factory.mktemp("work") / "s.db"
    with Store.open(path) as store:
        store.add_documents(Document(f"d{n}", text) for n, text in enumerate(texts))
        run = store.start_run({}, "h")
        results = []
        for n, text in enumerate(texts):
            steps = sorted(borders(text))
            spans = [sorted(rng.sample(steps, 2)) for _ in range(3)] if len(steps) > 1 else []
            found = tuple(Entity(Span(a, b, rng.choice("pq")), rng.random()) for a, b in spans)
            results.append(PassageResult(f"d{n}", 0, Outcome(), found[:2], found[2:]))
        store.record_part(run, 0, "f", results, {})
        session = Session(store, "ada", StoreQueue(store, "ada"))
        assert session.next()
        states = [everything(store, texts)]
        for name in names:
            act(session, name, rng)
            if rng.random() < 0.1:
                session.next() or session.back()
            check(session)
            now = everything(store, texts)
            if now != states[-1]:
                states.append(now)
        last = states[-1]
        undone = 0
        while store.undo("ada"):
            undone += 1
        assert everything(store, texts) == states[0]
        for _ in range(undone):
            assert store.redo("ada")
        assert everything(store, texts) == last
        assert store.redo("ada") is None or "undo" in names
        assert not [finding for finding in fsck(store) if finding.severity == "error"]


def everything(store: Store, texts: list[str]) -> list[Decision]:
    return [store.decision(f"d{n}", "ada").decision for n in range(len(texts))]


def check(session: Session) -> None:
    """The screen shows what the store holds, and every offset stands between characters."""
    editor, document = session.editor, session.document
    assert document is not None
    held = session.store.decision(document.id, "ada").decision
    assert editor.decision == held
    allowed = borders(editor.text)
    for span in (*held.spans, *held.rejected):
        assert {span.start, span.end} <= allowed
        assert span.text_in(editor.text) == editor.text[span.start : span.end]
    assert editor.cursor in allowed
    gold = session.store.gold(document.id, "ada")
    assert (gold.spans if gold else ()) == held.spans


def test_a_selection_covers_the_character_under_the_cursor() -> None:
    editor = Editor("a👨‍👩‍👧b").moved(1).selecting()
    assert editor.selection == (1, 6)
    assert editor.step(graphemes.next_cluster).selection == (1, 7)
    assert editor.moved(0).selection == (0, 6)
    assert editor.swapped().cursor == 1


def test_blanks_around_a_selection_are_not_marked() -> None:
    editor = Editor("x  Ada  y").moved(1).selecting().moved(7)
    done = editor.typed("person")
    assert done is not None and done[2] == Span(3, 6, "person")
    assert Editor("x   y").moved(1).selecting().moved(2).typed("person") is None


def test_stepping_goes_through_suggestions_then_marks_round_and_round() -> None:
    spans = [Span(0, 3, "p"), Span(0, 1, "q"), Span(4, 5, "p")]
    editor = Editor("abc d", suggestions=tuple(Suggestion(s, 0.5, "run 1") for s in spans))
    seen = []
    for _ in range(4):
        editor = editor.to_target(1)
        assert editor.target is not None
        seen.append(editor.target.span)
    assert seen == [spans[0], spans[1], spans[2], spans[0]], (
        "outer first, and the inner one of the same place can be reached"
    )
    assert editor.to_target(-1).target == Target(spans[2], False)
    accepted = editor.after_deciding(editor.with_all(editor.suggestions))
    assert accepted.to_target(1).target == Target(spans[0], True)


def test_accepting_goes_on_to_the_next_one() -> None:
    spans = [Span(0, 3, "p"), Span(4, 5, "p")]
    editor = Editor("abc d", suggestions=tuple(Suggestion(s, 0.5, "run 1") for s in spans)).to_target(1)
    target = editor.target
    assert target is not None
    decision = editor.accepted(target)
    assert decision is not None and decision.marks == ((spans[0], "suggestion"),)
    assert editor.after_deciding(decision, target.span).target == Target(spans[1], False)


def test_a_suggestion_that_is_changed_is_turned_down_and_replaced() -> None:
    editor = Editor("abc def", suggestions=(Suggestion(Span(0, 3, "p"), 0.5, "run 1"),)).to_target(1)
    assert editor.target is not None
    done = editor.resized(editor.target, lambda text, at: at + 4, outward=True)
    assert done is not None
    assert done[0].marks == ((Span(0, 7, "p"), "human"),)
    assert done[0].rejected == (Span(0, 3, "p"),)
    retyped = editor.typed("q")
    assert retyped is not None and retyped[1].spans == (Span(0, 3, "q"),)
    same = editor.typed("p")
    assert same is not None and same[1].marks == ((Span(0, 3, "p"), "suggestion"),), "its own type's key accepts it"


def test_splitting_and_joining() -> None:
    decision = Decision(DocumentState.IN_PROGRESS, ((Span(0, 9, "p"), "human"),))
    editor = Editor("Ada  Zoë!", decision).moved(5)
    assert editor.target is not None
    done = editor.split(editor.target)
    assert done is not None and done[0].spans == (Span(0, 3, "p"), Span(5, 9, "p"))
    halves = Editor("Ada  Zoë!", done[0]).moved(0)
    assert halves.target is not None
    joined = halves.merged(halves.target)
    assert joined is not None and joined[0].spans == (Span(0, 9, "p"),)
    assert editor.moved(0).split(Target(Span(0, 9, "p"), True)) is None


def test_what_is_done_rejects_what_waits_but_not_what_the_quorum_had_turned_down(tmp_path: Path) -> None:
    suggestions = (Suggestion(Span(0, 1, "p"), 0.5, "run 1"), Suggestion(Span(1, 2, "p"), 0.1, "run 1", low=True))
    editor = Editor("ab", suggestions=suggestions)
    assert editor.ended(DocumentState.DONE).rejected == (Span(0, 1, "p"),)
