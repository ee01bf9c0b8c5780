"""A large suite in slices: each ends cleanly, the next goes on, and nothing is asked twice."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from agent.engines.protocol import Completion, Request
from evals.errors import SuiteError
from evals.finished import logs
from evals.log import blocks, read_run
from evals.matrix import expand
from evals.plan import Planner
from evals.slices import Deadline, Slice, informative_first, parse_part
from evals.suite import SUITES, load_suite
from tests.evals.script import (
    BASE,
    PEOPLE,
    Heard,
    ScriptedModels,
    figures,
    frozen,
    measure,
    reply,
    texts,
    write_lines,
    write_suite,
)
from tests.evals.test_commands import told
from tests.extraction.script import read

SECOND = """
[[data]]
name = "other"
path = "other.jsonl"
labels = "labels.toml"

"""
MATRIX = """
[[matrix]]
title = "Votes"
vote = ["weighted", "plain"]

[[matrix]]
title = "Members"
note = "alone"
members = [["a", "b"], ["a"], ["b"]]

[[matrix]]
title = "Lengths"
members = [["a"]]
"passages.max_tokens" = [40, 50]
"""


def shipped_reply(request: Request) -> Completion | str:
    """For the members that ship: "typed" says types while it lists."""
    asked = read(request)
    if asked.step not in ("extract", "pre_extract"):
        return reply(request)
    words = re.findall(r"\b[A-Z][a-z]+\b", asked.passage)
    if asked.step == "extract" and asked.member == "typed":
        return "".join(f"{'person' if word in PEOPLE else 'place'}: {word}\n" for word in words) or "-"
    return "".join(f"{word}\n" for word in words) or "-"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    write_lines(tmp_path / "s" / "other.jsonl", texts(8, 200))
    text = BASE.replace("[[settings.members]]", SECOND + "[[settings.members]]", 1)
    return frozen(write_suite(tmp_path / "s", MATRIX, text=text))


def test_slices_by_data_set_go_on_with_one_run(suite: Path, tmp_path: Path) -> None:
    whole = measure(suite, tmp_path / "whole")
    into, models, heard = tmp_path / "into", ScriptedModels(), Heard()
    first = measure(suite, into, models, slice=Slice(only=("own",)))
    assert first.planned == len(whole.cells) == 12 and first.left == 6 and not first.halted
    assert {cell.header.data.name for cell, _ in first.cells} == {"own"}
    run = read_run(first.log)
    assert run.end is None and len(run.unfinished) == 6
    second = measure(suite, into, models, heard, slice=Slice(only=("other",)))
    assert second.log == first.log and any(f"going on with {first.run}" in note for note in heard.notes)
    assert second.left == 0 and read_run(first.log).end is not None and figures(second) == figures(whole)
    assert len(models.requests) == len({request.key("m") for request in models.requests})
    with pytest.raises(SuiteError, match="--only nobody") as caught:
        measure(suite, into, slice=Slice(only=("nobody",)))
    assert "own, other" in caught.value.hint


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 40])
def test_parts_are_all_of_it_once(suite: Path, tmp_path: Path, parts: int) -> None:
    from evals.data import load_data

    loaded = load_suite(suite)
    data = {spec.name: load_data(loaded, spec, None) for spec in loaded.suite.data}
    planned = Planner(data, ScriptedModels()).plan(expand(loaded), loaded.suite.scorers)
    cut = [Slice(part=(n, parts)).of(planned, loaded.suite) for n in range(1, parts + 1)]
    assert [one.id for part in cut for one in part] == [one.id for one in informative_first(planned, loaded.suite)]


def test_what_tells_most_comes_first(suite: Path, tmp_path: Path) -> None:
    result = measure(load_suite(suite, ["seeds=[1, 2]"]), tmp_path / "into")
    found = [block.id for block in blocks(result.log)[0] if block.kind == "pass_end"]
    passes = {p.header.id: p.header for p in read_run(result.log).passes.values()}
    told_ = [
        (passes[id].seed, len(passes[id].config["members"]), passes[id].config["passages"]["max_tokens"],
         passes[id].data.name) for id in found
    ]  # fmt: skip
    base = passes[found[0]].config["passages"]["max_tokens"]
    first = [(2, base), (1, base), (1, base), (1, 40), (1, 50)]
    expected = []
    for seed in (1, 2):
        expected += [(seed, *first[0], name) for name in ("own", "other")]
        expected += [(seed, *row, name) for name in ("own", "other") for row in first[1:3]]
        expected += [(seed, *row, name) for name in ("own", "other") for row in first[3:]]
    assert told_ == expected


def over_after(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline that is over when it has been asked so often, whatever the clock of a busy machine says."""
    left = [times]

    def over(self: Deadline) -> bool:
        left[0] -= 1
        return left[0] < 0

    monkeypatch.setattr(Deadline, "over", over)


def test_time_is_up_between_batches(suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    into, calls = tmp_path / "into", 0
    whole = measure(suite, tmp_path / "whole")
    asked: set[str] = set()
    while True:
        calls += 1
        over_after(5, monkeypatch)
        models = ScriptedModels()
        # Enough for a few batches: a pass is left in its middle.
        result = measure(suite, into, models, slice=Slice(max_minutes=60))
        keys = {request.key("m") for request in models.requests}
        assert not keys & asked, "what a slice was answered is kept, the middle of a pass included"
        asked |= keys
        assert result.halted == bool(result.left) and calls < 60
        if not result.left:
            break
    assert calls > 1 and len(logs(into)) == 1
    assert figures(result) == figures(whole) and read_run(result.log).end is not None


def test_a_slice_that_ends_soon_does_not_ask(suite: Path, tmp_path: Path) -> None:
    loaded = load_suite(suite, ["cost.max_minutes=0.0001"])

    def never(estimate: object) -> bool:
        raise AssertionError("a slice of no time costs nothing")

    slow = ScriptedModels(latency=0.02)
    result = measure(loaded, tmp_path / "into", slow, confirm=never, slice=Slice(max_minutes=0.00005))
    assert result.halted and result.left == 12


@pytest.mark.parametrize("text", ["", "3", "0/2", "3/2", "a/b", "1/0", "-1/2"])
def test_parts_that_are_none(text: str) -> None:
    with pytest.raises(SuiteError, match="not a part"):
        parse_part(text)


def test_the_header_says_what_is_planned_and_asked(suite: Path, tmp_path: Path) -> None:
    result = measure(suite, tmp_path / "into", slice=Slice(only=("own",)))
    header = read_run(result.log).header
    assert [row.id for row in header.plan] == list(header.cells)
    assert [(q.title, q.note, len(q.cells)) for q in header.questions] == [
        ("Votes", "", 4), ("Members", "alone", 6), ("Lengths", "", 4)
    ]  # fmt: skip
    names = {row.id: row.name for row in header.plan}
    first = names[header.questions[1].cells[0]]
    assert first.startswith("own vote=weighted members=a+b"), "the base of a question is its table's first choice"


def test_one_pass_serves_the_el4ner_suite(tmp_path: Path) -> None:
    """The suite's own matrix over our data: what the quorum was asked is not asked again for members, votes, modes."""
    shipped = tomllib.loads((SUITES / "el4ner.toml").read_text(encoding="utf-8"))
    write_lines(tmp_path / "s" / "pool.jsonl", texts(20, 60))
    head = [
        "name = 'small'",
        "summary = 'Ours.'",
        "oracle = ['extract', 'classify', 'verify']",
        "[[data]]",
        "name = 'own'",
    ]
    head += ["path = 'test.jsonl'", "labels = 'labels.toml'", "pool = 'pool.jsonl'", "spans = 'flat'", "[settings.run]"]
    head += ["batch = 4", "[settings.steps]", "verify = 'selective'", "[settings.demonstrations]", "retriever = 'span'"]
    head += ["k = 5"]

    def written(tables: list[dict[str, object]]) -> str:
        lines = []
        for table in tables:
            lines += ["[[matrix]]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items())]
        return "\n".join([*head, *lines]) + "\n"

    def requests(name: str, tables: list[dict[str, object]]) -> tuple[Counter[str], int, int]:
        path = tmp_path / "s" / f"{name}.toml"
        path.write_text(written(tables), encoding="utf-8")
        frozen(path)
        models = ScriptedModels(shipped_reply)
        result = measure(path, tmp_path / name, models)
        keys = [request.key("m") for request in models.requests]
        assert len(keys) == len(set(keys)), "no question twice"
        steps = Counter(request.tag.split("/")[0] for request in models.requests)
        return steps, len(result.cells), len(read_run(result.log).passes)

    write_suite(tmp_path / "s", count=6)
    tables = shipped["matrix"]
    quorum, _, _ = requests("quorum", [{"steps.verify": ["on"]}])
    votes, cells, passes = requests("votes", tables[:2])
    assert votes == quorum and (cells, passes) == (6 + 2 + 3, 1), "modes, votes and oracles for the price of one pass"
    served, cells, passes = requests("served", tables[:4])
    assert (cells, passes) == (6 + 2 + 3 + 2 + 3, 5)
    # Who is alone does all steps, and so asks what others did for it in the quorum; nothing else.
    assert served["extract"] <= quorum["extract"] + 6 and served["verify"] == quorum["verify"]
    assert served["classify"] <= quorum["classify"] + 2 * 12
    everything, all_cells, _ = requests("everything", tables)
    assert all_cells == cells + 3 + 4 + 1
    more = everything - served
    assert more.total()
    # Eight other choices of demonstrations, one member each, no verification: far less than eight quorums.
    assert more.total() < 8 * quorum.total() / 2 and not more["verify"] and not more["pre_extract"]
    assert all(
        len(table["members"][0]) == 1 and table["steps.verify"] == ["off"] and "one member" in table["note"]
        for table in tables[4:]
    )


def test_the_commands(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr("evals.models.OwnModels", ScriptedModels)
    into = str(tmp_path / "into")
    status, _, err = told(capsys, "run", str(suite), "--into", into, "--only", "own", "--part", "1/2")
    assert status == 0 and "this slice is done" in err and "--resume" in err
    status, out, err = told(capsys, "run", str(suite), "--into", into, "--resume", "--json")
    assert status == 0 and json.loads(out)["left"] == 0 and json.loads(out)["planned"] == 12
    status, _, err = told(capsys, "run", str(suite), "--into", into, "--part", "9")
    assert status == 2 and "not a part" in err and err.splitlines()[1].startswith("hint: ")
    status, _, err = told(capsys, "run", str(suite), "--into", into, "--only", "nobody")
    assert status == 2 and "no such data set" in err


def test_ctrl_c_says_how_to_go_on(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:

    class Interrupted(ScriptedModels):
        """Somebody presses Ctrl-C at the thirtieth question."""

        def __init__(self) -> None:
            def answer(request: Request) -> Completion | str:
                if len(self.requests) > 30:
                    raise KeyboardInterrupt
                return reply(request)

            super().__init__(answer)

    monkeypatch.setattr("evals.models.OwnModels", Interrupted)
    status, _, err = told(capsys, "run", str(suite), "--into", str(tmp_path / "into"))
    assert status == 130 and "what is finished is kept" in err and "--resume" in err
    monkeypatch.setattr("evals.models.OwnModels", ScriptedModels)
    status, _, err = told(capsys, "run", str(suite), "--into", str(tmp_path / "into"), "--resume")
    assert status == 0 and len(logs(tmp_path / "into")) == 1
