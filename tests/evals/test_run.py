"""Running suites: figures by hand, cells shared, stops and refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.engines.protocol import Request
from agent.engines.scripted import Fault, FaultRule
from evals.errors import ContaminationError, EvalDataError, EvalLogError
from evals.figures import typing_figures
from evals.finished import find_run, finished, logs, runs
from evals.log import LogWriter, blocks, read_run
from evals.records import OracleDocument, OracleItem
from evals.run import Stopped
from evals.suite import load_suite
from tests.evals.script import (
    LABELS,
    PLACES,
    Heard,
    ScriptedModels,
    figures,
    frozen,
    measure,
    texts,
    write_lines,
    write_suite,
)
from tools.errors import QuorumLost

MATRIX = """
[[matrix]]
vote = ["weighted", "plain", "union"]
"steps.verify" = ["off", "on"]

[[matrix]]
members = [["a"], ["b"]]
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    return frozen(write_suite(tmp_path / "s", MATRIX))


def test_figures_are_what_a_hand_counts(suite: Path, tmp_path: Path) -> None:
    found = figures(measure(suite, tmp_path / "into"))
    records = texts(12)
    count = {place: sum(place in record["text"] for record in records) for place in PLACES}
    assert count["Turin"] and count["Riga"] and count["Porto"]
    alone = found["own vote=weighted verify=off members=a"]
    assert (alone["f1"], alone["precision"], alone["recall"], alone["support"]) == (1.0, 1.0, 1.0, 24.0)
    b = found["own vote=weighted verify=off members=b"]
    right = 24 - count["Riga"] - count["Turin"]
    assert b["recall"] == pytest.approx(right / 24, abs=1e-6)
    assert b["precision"] == pytest.approx(right / (24 - count["Riga"]), abs=1e-6)
    assert b["boundaries_f1"] > b["f1"]
    assert b["errors/missed/extract"] == count["Riga"] and b["errors/wrong_type/classify"] == count["Turin"]
    both = found["own vote=plain verify=on members=a+b"]
    assert both["recall"] == pytest.approx((24 - count["Turin"] - count["Porto"]) / 24, abs=1e-6)
    assert both["errors/missed/verify"] == count["Porto"]
    assert both["outcome/ok"] == 12 and both["grounding"] == 1.0
    assert both["f1_low"] <= both["f1"] <= both["f1_high"]


def test_every_scorer_stands_with_a_cell(tmp_path: Path) -> None:
    write_lines(tmp_path / "s" / "pool.jsonl", texts(4, 70))
    suite = write_suite(tmp_path / "s", MATRIX, data='pool = "pool.jsonl"')
    tree = LABELS + '\n[[labels]]\nname = "town"\nparent = "place"\n'
    (tmp_path / "s" / "labels.toml").write_text(tree, encoding="utf-8")
    result = measure(frozen(suite), tmp_path / "into")
    b = figures(result)["own vote=weighted verify=off members=b"]
    records = texts(12)
    turin = sum("Turin" in record["text"] for record in records)
    assert b["f1"] < b["boundaries_f1"] and b["f1"] <= b["type_only_f1"] <= 1 and b["partial_f1"] == b["boundaries_f1"]
    assert b["top_f1"] == b["f1"] and b["tree_f1/place"] == b["type_f1/place"] and b["tree_support/place"] == 12
    assert b["length_support/1 word"] == 24 and b["length_f1/1 word"] == b["f1"]
    shown = {r["text"][e["start"] : e["end"]] for r in texts(4, 70) for e in r["entities"]}
    seen = sum(r["text"][e["start"] : e["end"]] in shown for r in records for e in r["entities"])
    assert b["seen_support/seen"] == seen and b["seen_support/unseen"] == 24 - seen and 0 < seen < 24
    assert b["kinds/wrong type"] == turin and b["kinds/missed"] == sum("Riga" in record["text"] for record in records)
    only = load_suite(suite, ['scorers=["strict"]'])
    few = figures(measure(only, tmp_path / "into"))["own vote=weighted verify=off members=b"]
    assert set(few) == {"f1", "precision", "recall", "f1_low", "f1_high", "support", "macro_f1", "grounding"}


def test_one_pass_serves_all_that_only_decides(suite: Path, tmp_path: Path) -> None:
    models = ScriptedModels()
    result = measure(suite, tmp_path / "into", models)
    run = read_run(result.log)
    assert len(run.cells) == 8 and len(run.passes) == 3, "the quorum's, a's and b's"
    assert len(models.requests) == len({request.key("m") for request in models.requests})
    made = run.pass_of(run.cells[0])
    assert made is not None
    document = next(made.documents())
    steps = {row.step for row in document.steps}
    assert steps == {"extract", "classify", "verify"}
    prompts = made.prompts()
    assert all(row.prompt in prompts for d in made.documents() for row in d.steps)
    assert document.text in prompts[document.steps[0].prompt].messages[-1][1]
    about = {row.about for row in document.steps if row.step == "classify"}
    assert {(a, b) for a, b, _ in about if True} == {(c.span[0], c.span[1]) for c in document.candidates}  # type: ignore[misc]


def test_cost_counts_what_a_choice_of_steps_would_ask(suite: Path, tmp_path: Path) -> None:
    result = measure(suite, tmp_path / "into")
    cost = {planned.header.name: end.cost for planned, end in result.cells}
    off, on = cost["own vote=weighted verify=off members=a+b"], cost["own vote=weighted verify=on members=a+b"]
    assert off["requests"] == 12 * 2 + 24 * 2
    assert on["requests"] == off["requests"] + 24
    assert off["failures"] == 0 and off["tokens_per_document"] > 0


def test_finished_cells_are_shared_between_runs_and_suites(suite: Path, tmp_path: Path) -> None:
    first = measure(suite, tmp_path / "into")
    models = ScriptedModels()
    second = measure(suite, tmp_path / "into", models)
    assert (second.measured, second.shared, models.requests) == (0, 8, [])
    assert figures(second) == figures(first)
    assert [cell.header.id for cell, _ in second.cells] == [cell.header.id for cell, _ in first.cells]
    whole = read_run(second.log)
    assert len(whole.passes) == 3 and len(list(whole.cells[3].documents())) == 12
    other = suite.with_name("other.toml")
    other.write_text(suite.read_text(encoding="utf-8").replace('"small"', '"other"'), encoding="utf-8")
    third = measure(load_suite(other, ["vote=plain", "steps.verify=on"]), tmp_path / "into", models)
    # vote=plain verify=on of a+b is known; that of a and b alone is not, but all answers are.
    assert third.shared == 1 and third.measured == 2
    assert {request.tag.split("/")[0] for request in models.requests} <= {"verify"}


def test_fresh_measures_again_without_asking_again(suite: Path, tmp_path: Path) -> None:
    measure(suite, tmp_path / "into")
    models = ScriptedModels()
    result = measure(suite, tmp_path / "into", models, fresh=True)
    assert result.measured == 8 and models.requests == []
    assert all(end.cost["replayed"] == 1.0 for _, end in result.cells)


@pytest.mark.parametrize(
    "change",
    [
        "run.threshold=0.9",
        "seeds=[7]",
        "data.own.sample=5",
        'members=[["b", "a"]]',
        "passages.max_tokens=64",
        "steps.verify_band=[0.1, 0.2]",
    ],
)
def test_whatever_changes_figures_makes_another_cell(suite: Path, tmp_path: Path, change: str) -> None:
    measure(suite, tmp_path / "into")
    assert measure(load_suite(suite, [change]), tmp_path / "into").shared == 0


def test_other_weights_make_another_cell(suite: Path, tmp_path: Path) -> None:
    class Other(ScriptedModels):
        def revisions(self, config: object) -> dict[str, str]:
            return {"m": "other weights"}

    measure(suite, tmp_path / "into")
    assert measure(suite, tmp_path / "into", Other()).shared == 0


def test_other_gold_makes_another_cell(suite: Path, tmp_path: Path) -> None:
    measure(suite, tmp_path / "into")
    records = texts(12)
    records[0]["entities"] = []
    write_lines(suite.parent / "test.jsonl", records)
    with pytest.raises(EvalDataError, match="'doc-0'"):
        measure(suite, tmp_path / "into")
    frozen(suite)
    assert measure(suite, tmp_path / "into").shared == 0


def test_a_member_that_types_nothing_has_no_accuracy() -> None:
    asked = OracleItem((0, 3, ""), "gold", "city", "city")
    document = OracleDocument("d", (asked, replace(asked, members=("a",), answer="river")))
    found = typing_figures([document], ["a", "b"])
    assert (found["accuracy"], found["accuracy/a"]) == (1.0, 0.0) and "accuracy/b" not in found


def test_oracle_cells_score_steps_alone(tmp_path: Path) -> None:
    suite = frozen(write_suite(tmp_path / "s", MATRIX))
    loaded = load_suite(suite, ['oracle=["extract", "classify", "verify"]'])
    result = measure(loaded, tmp_path / "into")
    found = figures(result)
    records = texts(12)
    count = {place: sum(place in record["text"] for record in records) for place in PLACES}
    extraction = found["own oracle extract"]
    assert (extraction["recall"], extraction["recall/a"], extraction["precision"]) == (1.0, 1.0, 1.0)
    assert extraction["recall/b"] == pytest.approx((24 - count["Riga"]) / 24, abs=1e-6)
    typing = found["own oracle classify"]
    assert typing["accuracy/a"] == 1.0
    # b is never asked less because it had not proposed Riga itself.
    assert typing["accuracy/b"] == pytest.approx((24 - count["Turin"]) / 24, abs=1e-6)
    assert typing["accuracy"] == pytest.approx((24 - count["Turin"]) / 24, abs=1e-6)
    verification = found["own oracle verify"]
    assert verification["recall"] == pytest.approx((24 - count["Porto"]) / 24, abs=1e-6)
    assert verification["support"] == 48.0
    assert 0 < verification["precision"] < 1, "this verifier says yes to nearly everything"
    run = read_run(result.log)
    asked = [
        item
        for cell in run.cells
        for d in cell.oracle_documents()
        for item in d.items
        if cell.header.kind == "oracle_verify"
    ]
    gold = {(record["id"], e["start"], e["end"], e["label"]) for record in records for e in record["entities"]}
    cell = next(cell for cell in run.cells if cell.header.kind == "oracle_verify")
    for document in cell.oracle_documents():
        for item in document.items:
            assert (item.kind == "gold") == ((document.id, *item.span) in gold), "a wrong candidate is wrong"
    assert {item.kind for item in asked} == {"gold", "type", "border", "elsewhere"}


def test_a_limit_on_cost_asks(suite: Path, tmp_path: Path) -> None:
    loaded = load_suite(suite, ["cost.max_minutes=0.0001"])
    slow = ScriptedModels(latency=0.02)
    asked = []

    def no(estimate: object) -> bool:
        asked.append(estimate)
        return False

    heard = Heard()
    with pytest.raises(Stopped, match="above the suite's limit"):
        measure(loaded, tmp_path / "into", slow, heard, no)
    [estimate] = asked
    assert (estimate.cells, estimate.passes, estimate.documents) == (8, 3, 36)
    assert estimate.requests > 0 and estimate.prompt_tokens > 0 and estimate.seconds > 0
    assert any("pilot" in line for line in heard.notes) and any("thousand tokens" in line for line in heard.notes)
    before = len(slow.requests)
    result = measure(loaded, tmp_path / "into", slow, confirm=lambda estimate: True)
    assert result.measured == 8
    keys = [request.key("m") for request in slow.requests]
    assert len(set(keys)) == len(keys), f"the pilot's {before} answers are kept"


def test_limits_are_another_run(suite: Path, tmp_path: Path) -> None:
    result = measure(suite, tmp_path / "into", limit=3)
    assert all(end.documents == 3 for _, end in result.cells)
    assert measure(suite, tmp_path / "into").shared == 0


def test_seeds_are_cells_of_their_own(suite: Path, tmp_path: Path) -> None:
    result = measure(load_suite(suite, ["seeds=[1, 2]"]), tmp_path / "into")
    assert len(result.cells) == 16
    assert {planned.header.name.rsplit(" ", 1)[1] for planned, _ in result.cells} == {"seed=1", "seed=2"}


def test_progress_is_told(suite: Path, tmp_path: Path) -> None:
    heard = Heard()
    measure(suite, tmp_path / "into", observer=heard)
    assert heard.documents == 36


def test_what_leaves_the_pool_is_told_and_logged(tmp_path: Path) -> None:
    pool = [{**texts(1)[0], "id": "twin"}, *texts(4, 70)]
    write_lines(tmp_path / "s" / "pool.jsonl", pool)
    suite = frozen(write_suite(tmp_path / "s", data='pool = "pool.jsonl"'))
    heard = Heard()
    result = measure(suite, tmp_path / "into", observer=heard)
    assert any("'twin'" in line and "never shown" in line for line in heard.notes)
    [note] = read_run(result.log).notes
    assert note.about["dropped"] == [["twin", "doc-0"]]
    with pytest.raises(ContaminationError):
        measure(load_suite(suite, ["data.own.duplicates=refuse"]), tmp_path / "into")


def test_an_engine_that_stumbles_spoils_no_cell(suite: Path, tmp_path: Path) -> None:
    whole = figures(measure(suite, tmp_path / "whole"))

    def classifying(request: Request) -> bool:
        return request.tag.startswith("classify/b")

    heard = Heard()
    # Eleven failures: the pilot meets some of them, the first pass the rest.
    stumbles = FaultRule(Fault.SERVER, classifying, times=11)
    result = measure(suite, tmp_path / "once", ScriptedModels(faults=stumbles), heard)
    assert figures(result) == whole
    assert any("were not answered" in note and "HTTP 500" in note for note in heard.notes)
    run = read_run(result.log)
    assert all(not row.failure for p in run.passes.values() for d in p.documents() for row in d.steps)
    broken = ScriptedModels(
        faults=FaultRule(Fault.CONNECTION, lambda r: classifying(r) and "Vigo" in r.messages[-1][1])
    )
    with pytest.raises(QuorumLost, match="not answered, twice") as caught:
        measure(suite, tmp_path / "never", broken)
    assert caught.value.exit_code == 3 and "--resume" in caught.value.hint
    assert not finished(tmp_path / "never").cells
    assert figures(measure(suite, tmp_path / "never", resume=True)) == whole


# -- going on -----------------------------------------------------------------------------------------------------


def cut(log: Path, keep: int) -> None:
    """The log as a kill would have left it: the first blocks, and a piece of the next."""
    found, _ = blocks(log)
    data = log.read_bytes()
    log.write_bytes(data[: found[keep].offset + 3])


def test_an_interrupted_log_is_gone_on_with(suite: Path, tmp_path: Path) -> None:
    whole = measure(suite, tmp_path / "whole")
    for keep in range(1, len(blocks(whole.log)[0]), 3):
        into = tmp_path / f"into-{keep}"
        done = measure(suite, into)
        cut(done.log, keep)
        before = read_run(done.log)
        assert before.torn and before.end is None
        models = ScriptedModels()
        again = measure(suite, into, models, resume=True)
        assert again.log == done.log and models.requests == []
        assert again.measured == 8 - len(before.cells)
        assert figures(again) == figures(whole)
        after = read_run(again.log)
        kinds = [block.id for block in blocks(again.log)[0] if block.kind == "cell"]
        assert len(kinds) == len(set(kinds)) == 8 and after.end is not None and not after.torn


def test_nothing_to_go_on_with_is_told(suite: Path, tmp_path: Path) -> None:
    with pytest.raises(EvalLogError, match="no run in"):
        measure(suite, tmp_path / "into", resume=True)
    done = measure(suite, tmp_path / "into")
    with pytest.raises(EvalLogError, match="no run in"):
        measure(suite, tmp_path / "into", resume=True)
    cut(done.log, 3)
    with pytest.raises(EvalLogError, match="begun otherwise"):
        measure(load_suite(suite, ["run.threshold=0.9"]), tmp_path / "into", resume=True)


def test_cells_of_a_killed_run_are_shared_without_resuming(suite: Path, tmp_path: Path) -> None:
    done = measure(suite, tmp_path / "into")
    cut(done.log, len(blocks(done.log)[0]) - 2)
    kept = len(read_run(done.log).cells)
    again = measure(suite, tmp_path / "into")
    assert again.log != done.log and kept and again.shared == kept


def test_a_damaged_log_is_left_out_and_told(suite: Path, tmp_path: Path) -> None:
    done = measure(suite, tmp_path / "into")
    data = bytearray(done.log.read_bytes())
    at = blocks(done.log)[0][2].end
    data[at : at + 4] = b"oops"
    done.log.write_bytes(data)
    heard = Heard()
    again = measure(suite, tmp_path / "into", observer=heard)
    assert again.measured == 8 and any("damaged" in line for line in heard.notes)
    assert list(runs(tmp_path / "into")) == [read_run(again.log)]


def test_runs_are_found_by_name(suite: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    done = measure(suite, into)
    assert find_run(into, done.run) == find_run(into, "latest") == find_run(into, str(done.log)) == logs(into)[-1]
    with pytest.raises(EvalLogError, match="there is no run 'x'"):
        find_run(into, "x")
    assert set(finished(into).cells) == {planned.header.id for planned, _ in done.cells}


def test_an_unavailable_cell_hides_no_finished_one(suite: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    done = measure(suite, into)
    run = read_run(done.log)
    cell = run.cells[0]
    missing = replace(cell.end, state="unavailable", figures={}, documents=0, reason="no trainer")
    with LogWriter(into / "runs" / "zz.jsonl.zst") as log:
        log.write("run", [replace(run.header, run="zz")])
        log.write("unavailable", [cell.header, missing], id=cell.id)
    assert read_run(log.path).cells[0].end.state == "unavailable"
    assert measure(suite, into).shared == 8


def test_without_a_trainer_it_says_so(suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import evals.training

    monkeypatch.setattr(evals.training.importlib.util, "find_spec", lambda name: None)
    loaded = load_suite(suite, ["finetune.method=lora", "finetune.examples=5", "members=[['a']]", "vote=weighted"])
    heard = Heard()
    result = measure(loaded, tmp_path / "into", observer=heard)
    assert result.unavailable == len(result.cells) > 0
    assert all(end.state == "unavailable" and "trainer" in end.reason for _, end in result.cells)
    assert any("not measured" in line for line in heard.notes)
    monkeypatch.undo()
    assert not [block for block in blocks(result.log)[0] if block.kind == "cell"]
