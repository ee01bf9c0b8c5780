"""Every invariant is broken by hand once, and found."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.annotation import Document, LabelSet, Span
from tools.annotation.prediction import OutcomeKind, PassageResult
from tools.errors import StoreError
from tools.store import Store, fsck


@pytest.fixture
def full(path: Path, documents: Callable[[int], list[Document]], result: Callable[..., PassageResult]) -> Path:
    with Store.open(path) as store:
        store.add_documents(documents(30))
        store.save_label_set(LabelSet.of("place", "thing"))
        store.set_gold("d1", [Span(0, 4, "place"), Span(0, 6, "thing")], "ann")
        store.set_gold("d2", [], "ann")
        store.clear_gold("d2", "ann")
        run = store.start_run({}, "h")
        store.record_part(run, 0, "f", [result("d1"), result("d2", kind=OutcomeKind.FAILED, spans=0)], {})
        store.record_part(run, 1, "f", [result("d3")], {})
        store.finish_run(run)
        assert fsck(store) == []
    return path


def vandalise(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA ignore_check_constraints = ON")
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("statement", "what", "at"),
    [
        ("UPDATE documents SET text = 'text NUMBER 1 of 30' WHERE id = 'd1'", "the text is not the one", "d1"),
        ("UPDATE documents SET text = x'ff' WHERE id = 'd4'", "the text is not the one", "d4"),
        ("UPDATE documents SET text = CAST(x'ff' AS TEXT) WHERE id = 'd5'", "the text is not the one", "d5"),
        ("UPDATE documents SET chars = 3 WHERE id = 'd5'", "the text is not the one", "d5"),
        ("UPDATE documents SET meta = '{' WHERE id = 'd5'", "the meta is not JSON", "d5"),
        ("DELETE FROM documents WHERE id = 'd3'", "refers to a missing row of documents", ""),
        ("UPDATE gold SET stop = 900 WHERE stop = 6", "gold 0:900 lies beyond", "d1"),
        ("UPDATE gold SET start = 6 WHERE stop = 4", "gold 6:4 lies beyond", "d1"),
        ("UPDATE gold SET label = 'other' WHERE stop = 6", "label outside the label set", "other"),
        ("DELETE FROM gold WHERE stop = 6", "ann's decision is not what its last event says", "d1"),
        ("UPDATE annotations SET state = 'flagged'", "ann's decision is not what its last event says", "d1"),
        ("UPDATE annotations SET state = 'whatever'", "ann's decision is not what its last event says", "d1"),
        (
            "INSERT INTO events (doc, annotator, time, what, source) VALUES (2, 'ann', 0, 'clear', 'x')",
            "event 4 is the last but does not count",
            "d1",
        ),
        ("DELETE FROM annotations", "refers to a missing row of annotations", ""),
        (
            "UPDATE predictions SET stop = 900 WHERE doc = 2 AND n = 0",
            "prediction 0:900 of passage 0 lies beyond",
            "d1",
        ),
        ("UPDATE predictions SET start = 0, stop = 1 WHERE doc = 2 AND n = 2", "passage 0 are not in text order", "d1"),
        ("UPDATE predictions SET confidence = 1.5 WHERE doc = 4 AND n = 1", "impossible confidence", "d3"),
        ("UPDATE predictions SET verdict = -1 WHERE doc = 4 AND n = 1", "impossible confidence", "d3"),
        ("UPDATE predictions SET votes = '[' WHERE doc = 4 AND n = 1", "impossible confidence, verdict or votes", "d3"),
        (
            "DELETE FROM predictions WHERE doc = 4 AND n = 1",
            "not whole: 1 of 1 passages, 3 of 4 predictions",
            "run 1 part 1",
        ),
        ("DELETE FROM outcomes WHERE doc = 3", "not whole: 1 of 2 passages, 4 of 4 predictions", "run 1 part 0"),
        ("UPDATE outcomes SET kind = 'failed' WHERE doc = 4", "passage 0 failed but has entities", "d3"),
        ("UPDATE outcomes SET kind = 'odd' WHERE doc = 4", "1 passages ended in an unknown way: odd", "run 1"),
        ("DELETE FROM parts WHERE part = 1", "refers to a missing row of parts", ""),
        ("DELETE FROM parts WHERE part = 0", "called complete but has 1 of 2 parts", "run 1"),
    ],
)
def test_what_is_broken_is_found(full: Path, statement: str, what: str, at: str) -> None:
    vandalise(full, statement)
    found = [finding for finding in fsck(full) if what in finding.what]
    assert found, fsck(full)
    assert found[0].id == at
    assert found[0].hint
    assert found[0].severity == ("warning" if "order" in what or "label set" in what else "error")


def test_a_running_run_may_have_gaps(full: Path) -> None:
    vandalise(
        full,
        "UPDATE runs SET state = 'running'",
        "DELETE FROM predictions WHERE doc = 2",
        "DELETE FROM outcomes WHERE part = 0",
        "DELETE FROM parts WHERE part = 0",
    )
    assert fsck(full) == []


def test_findings_are_bounded(full: Path) -> None:
    vandalise(full, "UPDATE documents SET text = 'other'")
    found = fsck(full)
    texts = [finding for finding in found if finding.what == "the text is not the one that was added"]
    assert len(texts) == 20
    assert sum("more like these were left out" in finding.what for finding in found) == 1


def test_checking_while_the_store_is_being_written(full: Path) -> None:
    with Store.open(full) as store:
        store.add_documents([Document("new", "text")])
        assert fsck(full) == []
        with store.transaction():
            store.add_documents([Document("newer", "text")])
            assert fsck(store) == []


def test_no_store_is_an_error_not_a_finding(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        fsck(tmp_path / "none.db")
