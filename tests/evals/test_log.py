"""The log: whole after any kill, readable by others, copied block by block."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.errors import EvalLogError
from evals.log import LogWriter, blocks, encode, read_run, records_of
from evals.recordlines import from_line, to_line
from evals.records import (
    CandidateRow,
    CellDocument,
    CellEnd,
    CellHeader,
    DataRef,
    Note,
    OracleDocument,
    OracleItem,
    PassDocument,
    PassEnd,
    PassHeader,
    PredictedRow,
    PromptText,
    Record,
    RunEnd,
    RunHeader,
    StepRow,
    VoteRow,
)

ROOT = Path(__file__).resolve().parents[2]
DATA = DataRef("own", "test", 2, "hash")
HEADER = RunHeader(
    "r1", "small", "name = 'small'", ("seeds=[1]",), None, ("c1", "c2"), "2026-01-01", {"quorum": "0"}, {}
)
TEXT = "Zoë left 東京.\r\nThen \u2028 nothing."


def document(name: str, text: str = TEXT) -> PassDocument:
    step = StepRow(
        "classify", "a", "p1", (0, 3, "person"), "person", "stop", "", (10, 5, 1), 0.25, False, (("p", -0.1),)
    )
    candidate = CandidateRow((0, 3, "person"), 0, ("a",), (), (VoteRow("a", True, "person", 0.9),), 0.9, None)
    return PassDocument(name, text, ((0, 3, "person"),), (step,), (candidate,), "ok", "", (), ("d1",), 1)


def cell(name: str) -> list[Record]:
    header = CellHeader(name, f"cell {name}", "end_to_end", "p1", DATA, 13, {"vote": "plain"}, ("strict",), {})
    end = CellEnd(name, "done", 1, {"f1": 0.5}, {"requests": 3.0})
    return [header, end, CellDocument("d", ((0, 3, "person"),), (PredictedRow(0, 3, "person", 0.9),), "ok", (), "d")]


def write(path: Path) -> list[int]:
    """A whole run; where each block ends."""
    ends = []
    with LogWriter(path) as log:
        steps: list[tuple[str, list[Record], str, str]] = [
            ("run", [HEADER], "", ""),
            ("pass", [PassHeader("p1", DATA, 13, {}, [], {}, {}, {})], "p1", ""),
            ("documents", [PromptText("p1", (("user", TEXT),)), document("d")], "p1", ""),
            ("documents", [document("e", "")], "p1", ""),
            ("pass_end", [PassEnd("p1", 2, 1.5, {"extract/a": {"requests": 2.0}})], "p1", ""),
            ("cell", cell("c1"), "c1", "p1"),
            ("note", [Note("something")], "", ""),
            ("cell", cell("c2"), "c2", "p1"),
            ("run", [RunEnd("r1", 2, 0, 0, 2.0)], "", ""),
        ]
        for kind, records, id, of in steps:
            log.write(kind, records, id=id, of=of)
            ends.append(path.stat().st_size)
    return ends


def test_a_run_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "r1.jsonl.zst"
    write(path)
    run = read_run(path)
    assert (run.header, run.torn, run.unfinished) == (HEADER, False, ())
    assert run.end == RunEnd("r1", 2, 0, 0, 2.0)
    assert [cell.id for cell in run.cells] == ["c1", "c2"]
    first = run.cells[0]
    assert list(first.documents()) == cell("c1")[2:]
    made = run.pass_of(first)
    assert made is not None
    assert list(made.documents()) == [document("d"), document("e", "")]
    assert made.prompts()["p1"].messages == (("user", TEXT),)
    assert run.notes == (Note("something"),)


def test_cut_anywhere_it_keeps_every_whole_block(tmp_path: Path) -> None:
    path = tmp_path / "whole.jsonl.zst"
    ends = write(path)
    data = path.read_bytes()
    torn = tmp_path / "torn.jsonl.zst"
    near = {stop + by for stop in ends for by in (-1, 0, 1, 5)}
    for length in sorted({*range(ends[0], len(data), 41), *near} & set(range(ends[0], len(data) + 1))):
        torn.write_bytes(data[:length])
        found, end = blocks(torn)
        whole = [stop for stop in ends if stop <= length]
        assert len(found) == len(whole) and end == whole[-1]
        run = read_run(torn)
        assert run.torn == (length not in ends)
        assert len(run.cells) == sum(stop in whole for stop in (ends[5], ends[7]))
        # A pass without its end is as if it had never begun.
        assert bool(run.passes) == (ends[4] <= length)


def test_going_on_after_a_cut_gives_the_same_log(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.zst"
    ends = write(path)
    whole = path.read_bytes()
    for length in (ends[4] + 3, ends[6] - 1, ends[7]):
        path.write_bytes(whole[:length])
        kept = max(stop for stop in ends if stop <= length)
        with LogWriter(path) as log:
            assert path.stat().st_size == kept
            log.write("note", [Note("went on")])
        assert path.read_bytes()[:kept] == whole[:kept]
        assert read_run(path).notes[-1] == Note("went on")


def test_lost_bytes_in_the_last_block_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.zst"
    ends = write(path)
    data = bytearray(path.read_bytes())
    data[-4:] = b"\0\0\0\0"
    path.write_bytes(data)
    assert read_run(path).torn and blocks(path)[1] == ends[-2]


def test_damage_before_the_end_is_told_and_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.zst"
    ends = write(path)
    data = bytearray(path.read_bytes())
    data[ends[4] : ends[4] + 4] = b"xxxx"
    path.write_bytes(data)
    with pytest.raises(EvalLogError, match=f"damaged at byte {ends[4]:,}"):
        blocks(path)
    write(tmp_path / "other.jsonl.zst")
    data = bytearray((tmp_path / "other.jsonl.zst").read_bytes())
    data[ends[5] - 2] ^= 255
    path.write_bytes(data)
    with pytest.raises(EvalLogError, match="damaged"):
        read_run(path)


@pytest.mark.parametrize("content", [b"", b"{}\n", b"\x28\xb5\x2f\xfd" + b"x" * 40])
def test_what_is_no_log_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.jsonl.zst"
    path.write_bytes(content)
    with pytest.raises(EvalLogError):
        read_run(path)
    with pytest.raises(EvalLogError, match="cannot be read"):
        read_run(tmp_path / "none")


def test_blocks_are_copied_as_they_are(tmp_path: Path) -> None:
    source, target = tmp_path / "a.jsonl.zst", tmp_path / "b.jsonl.zst"
    write(source)
    run = read_run(source)
    with LogWriter(target) as log:
        log.write("run", [HEADER])
        log.copy(source, run.passes["p1"].blocks)
        log.copy(source, [run.cells[1].block])
    copied = read_run(target)
    assert [cell.id for cell in copied.cells] == ["c2"] and copied.unfinished == ("c1",)
    assert list(copied.passes["p1"].documents()) == list(run.passes["p1"].documents())


def test_any_zstandard_reader_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.zst"
    write(path)
    with path.open("rb") as file:
        text = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
    lines = [json.loads(line) for line in text.decode().split("\n")[:-1]]
    kinds = ["run", "pass", "prompt", "document", "document", "pass_end", "cell", "cell_end", "cell_document", "note"]
    assert [line["t"] for line in lines][:10] == kinds


def test_reading_needs_no_model_library(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl.zst"
    write(path)
    heavy = ("torch", "vllm", "transformers", "chromadb", "langgraph", "sentence_transformers", "textual")
    code = (
        "import sys; from evals.log import read_run; run = read_run(sys.argv[1]); "
        "list(run.cells[0].documents()); list(run.passes['p1'].documents()); "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_record_of_another_form_is_told() -> None:
    with pytest.raises(EvalLogError, match="another form"):
        from_line(b'{"t": "cell_end", "id": 3}')
    with pytest.raises(EvalLogError, match="another form"):
        from_line(b'{"t": "unheard of"}')


rows = st.tuples(st.integers(0, 99), st.integers(0, 99), st.text(max_size=5))
items = st.builds(
    OracleItem,
    rows,
    st.text(max_size=5),
    st.text(max_size=5),
    st.text(max_size=5),
    st.floats(0, 1),
    st.tuples(st.text()),
)


@settings(max_examples=50)
@given(st.text(), st.lists(items, max_size=3))
def test_every_text_survives(text: str, questions: list[OracleItem]) -> None:
    record = OracleDocument(text, tuple(questions))
    assert from_line(to_line(record)) == record
    assert to_line(record).count(b"\n") == 1


def test_a_block_knows_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_bytes(encode("cell", cell("c"), id="c", of="p"))
    [block], end = blocks(path)
    assert (block.kind, block.id, block.of, block.records, end) == ("cell", "c", "p", 3, path.stat().st_size)
    assert list(records_of(path, block)) == cell("c")
