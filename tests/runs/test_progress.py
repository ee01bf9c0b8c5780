"""Counting, rates, and how much there is to do."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path

import pytest

from agent.engines.protocol import Usage
from agent.runs.progress import Progress
from agent.runs.sizing import count_documents
from tests.runs.scripted import result
from tools.annotation import Passage
from tools.annotation.prediction import Outcome, OutcomeKind, PassageResult
from tui.report.progress import Lines, describe, duration, first_answers, progress_on


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def advanced(clock: Clock, steps: int = 10) -> Progress:
    progress = Progress(total=200, clock=clock)
    progress.skip(20, 30)
    progress.begin()
    for number in range(steps):
        clock.now += 2
        results = [result(Passage(f"d{number}", 0, 0, "Ada"))] * 4
        progress.done(4, results, {"extract/a": Usage(requests=4, prompt_tokens=90, output_tokens=10)}, ())
    return progress


def test_rates_count_from_where_this_call_began() -> None:
    snapshot = advanced(Clock()).snapshot()
    assert (snapshot.documents, snapshot.skipped, snapshot.passages) == (60, 20, 70)
    assert snapshot.documents_per_second == pytest.approx(2.0)
    assert snapshot.tokens_per_second == pytest.approx(50.0)
    assert snapshot.eta == pytest.approx(70.0)
    assert snapshot.seconds == pytest.approx(20.0)
    assert snapshot.outcomes == {"ok": 40}


def test_rates_are_of_the_last_minute() -> None:
    clock = Clock()
    progress = advanced(clock, 40)
    for _ in range(10):
        clock.now += 10
        progress.done(1, [], {}, ())
    assert progress.snapshot().documents_per_second == pytest.approx(0.1)


def test_an_unknown_total_has_no_eta() -> None:
    clock = Clock()
    progress = advanced(clock)
    progress.total = None
    assert progress.snapshot().eta is None
    assert "of" not in describe(progress.snapshot()).split("documents")[0]


def test_outcomes_are_in_order_and_keep_what_earlier_calls_had() -> None:
    progress = Progress()
    progress.outcomes["failed"] = 2
    progress.done(1, [PassageResult("d", 0, Outcome(OutcomeKind.FAILED))], {}, ["typed"])
    progress.done(1, [PassageResult("e", 0, Outcome())], {}, ["typed"])
    snapshot = progress.snapshot()
    assert list(snapshot.outcomes.items()) == [("ok", 1), ("failed", 3)]
    assert describe(snapshot).endswith("ok 1, failed 3; down: typed")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.6, "1m 00s"), (200, "3m 20s"), (7500, "2h 05m"), (356_400, "4d 03h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_lines_come_every_ten_seconds_and_notes_at_once() -> None:
    clock, lines = Clock(), list[str]()
    observer = Lines(lines.append, clock)
    snapshot = advanced(Clock()).snapshot()
    for _ in range(25):
        clock.now += 1
        observer.update(snapshot)
    assert len(lines) == 2
    assert lines[0].startswith("60 of 200 documents; 2.0 docs/s, 50 tokens/s; 1m 10s left; ok 40")
    observer.note("x")
    assert lines[-1] == "x"


def test_a_pipe_gets_plain_lines_and_nothing_dangerous() -> None:
    stream = io.StringIO()
    with progress_on(stream) as observer:
        observer.note("left out: \x1b[31mred")
    assert stream.getvalue() == "left out: \\x1b[31mred\n"


def test_a_terminal_gets_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with progress_on(stream) as observer:
        observer.update(advanced(Clock()).snapshot())
        observer.note("member [bold]typed[/bold] \x1b[2J is down")
    assert "60/200" in stream.getvalue()
    assert "[bold]typed[/bold] \\x1b[2J" in stream.getvalue()


def test_documents_are_counted_without_parsing(tmp_path: Path) -> None:
    lined = tmp_path / "a.jsonl"
    lined.write_bytes(b"{}\n{}\n{}")
    assert count_documents(lined) == 3
    assert count_documents(lined, limit=2) == 2
    assert count_documents(lined, shard=(1, 3)) == 1
    (tmp_path / "b.csv").write_bytes(b"id,text\n1,a\n2,b\n")
    assert count_documents(tmp_path / "b.csv") == 2
    (tmp_path / "c.txt").write_bytes(b"one\ntwo\n")
    assert count_documents(tmp_path / "c.txt") == 1
    assert count_documents(tmp_path / "c.txt", lines=True) == 2
    assert count_documents(tmp_path) == 6
    (tmp_path / "d.jsonl.gz").write_bytes(gzip.compress(b"{}\n"))
    assert count_documents(tmp_path) is None
    assert count_documents("-") is None
    assert count_documents(tmp_path / "none") is None
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert count_documents(tmp_path / "pipe.jsonl") is None, "counting would have taken what is to be read"


def test_a_large_file_is_counted_from_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lined = tmp_path / "a.jsonl"
    lined.write_bytes(b"0123456789abcde\n" * 100_000)
    monkeypatch.setattr("agent.runs.sizing._COUNTED_WHOLE", 1000)
    monkeypatch.setattr("agent.runs.sizing._SAMPLE", 100_000)
    assert count_documents(lined) == pytest.approx(100_000, rel=0.01)


def test_parquet_rows_are_known(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / "a.parquet")
    assert count_documents(tmp_path / "a.parquet") == 2
    (tmp_path / "b.parquet").write_bytes(b"no parquet")
    assert count_documents(tmp_path / "b.parquet") is None


def test_what_engines_answer_shows_before_the_first_part_is_done() -> None:
    clock = Clock()
    progress = Progress(total=10, clock=clock)
    progress.begin()
    progress.heard(100, 5000)  # an earlier run of the same engines
    clock.now += 10
    progress.heard(140, 7000)
    first = progress.snapshot()
    assert (first.answers, first.tokens_per_second, first.documents) == (40, 200.0, 0)
    assert first_answers(first) == "40 answers"
    progress.done(5, [], {"extract/a": Usage(prompt_tokens=1900, output_tokens=100)}, ())
    clock.now += 10
    then = progress.snapshot()
    assert progress.tokens == 2000, "told live already, not counted twice"
    assert then.eta is not None and first_answers(then) == ""
