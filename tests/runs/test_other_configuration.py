"""A run goes on only as it was begun: other labels, settings, models, inputs and outputs are told apart."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.config import ProjectConfig, RunConfig, StepsConfig
from agent.runs.errors import RunInterrupted, RunMismatch
from agent.runs.identity import Reading
from agent.runs.sidecar import store_beside
from tests.runs.corpus import LABELS, ScriptedCrew, Stopper, config, job, records, run, write_corpus
from tests.runs.scripted import Scripted
from tools.annotation import LabelSet
from tools.errors import OutputError
from tools.store import Store, fsck

CHANGES = {
    "the label set": {"labels": LabelSet.of("name", "city")},
    "how the input is read": {"reading": Reading(limit=50)},
    "the settings": {"config": ProjectConfig.default(environment={}, run=RunConfig(batch=8, threshold=0.7))},
    "the steps": {
        "config": ProjectConfig.default(environment={}, run=RunConfig(batch=8), steps=StepsConfig(verify="on"))
    },
    "the members": {"config": config().with_members(["list", "typed"])},
    r"how documents are cut": {"config": ProjectConfig.default(environment={}, run=RunConfig(batch=9))},
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("stopped", [True, False])
def test_a_changed_configuration_is_refused_and_named(corpus: Path, tmp_path: Path, what: str, stopped: bool) -> None:
    output = tmp_path / "out.jsonl"
    if stopped:
        with pytest.raises(RunInterrupted):
            run(job(corpus, output), ScriptedCrew(Scripted(wait=0.01)), Stopper(20))
    else:
        run(job(corpus, output))
    kept = output.read_bytes() if output.exists() else None
    with pytest.raises(RunMismatch, match=what) as caught:
        run(job(corpus, output, **CHANGES[what]))
    assert "--fresh" in caught.value.hint
    assert (output.read_bytes() if output.exists() else None) == kept
    summary = run(job(corpus, output, fresh=True, **CHANGES[what]))
    assert summary.documents == (50 if "reading" in CHANGES[what] else 100)


@pytest.mark.parametrize(
    ("crew", "what"), [({"revision": "2"}, "a model"), ({"demonstrations": "x"}, "demonstrations")]
)
def test_another_model_or_other_demonstrations_are_refused(
    corpus: Path, tmp_path: Path, crew: dict[str, str], what: str
) -> None:
    run(job(corpus, tmp_path / "out.jsonl"))
    with pytest.raises(RunMismatch, match=what):
        run(job(corpus, tmp_path / "out.jsonl"), ScriptedCrew(**crew))


def test_pace_may_change(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(RunInterrupted):
        run(job(corpus, tmp_path / "out.jsonl"), ScriptedCrew(Scripted(wait=0.01)), Stopper(20))
    assert run(job(corpus, tmp_path / "out.jsonl", config=config(in_flight=1))).documents == 100


def test_the_input_may_move_but_not_change(corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    with pytest.raises(RunInterrupted):
        run(job(corpus, output), ScriptedCrew(Scripted(wait=0.01)), Stopper(20))
    moved = tmp_path / "elsewhere.jsonl.gz"
    moved.write_bytes(gzip.compress(corpus.read_bytes()))
    first = corpus.read_text().splitlines()
    for change in (
        [first[1], first[0], *first[2:]],
        [first[0].replace("Lagos", "Accra"), *first[1:]],
        first[:3],
        [json.dumps({"id": "new", "text": "Ada"}), *first],
    ):
        corpus.write_text("\n".join(change) + "\n")
        with pytest.raises(RunMismatch, match="the input changed"):
            run(job(corpus, output))
    assert run(job(moved, output)).documents == 100
    with pytest.raises(RunMismatch, match="the input changed"):
        run(job(corpus, output))


def test_a_foreign_output_is_not_touched(corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text("mine\n")
    with pytest.raises(OutputError, match="not made by a run") as caught:
        run(job(corpus, output))
    assert "--fresh" in caught.value.hint
    assert output.read_text() == "mine\n"
    assert not store_beside(output).exists()
    run(job(corpus, output, fresh=True))
    assert len(records(output)) == 100


def test_outputs_of_one_project_store_do_not_mix(corpus: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    other = write_corpus(tmp_path / "other.jsonl", 30, first=80)
    first = job(corpus, tmp_path / "a.jsonl", store=store, own_store=False)
    second = job(other, tmp_path / "b.jsonl", store=store, own_store=False)
    run(first)
    run(second)
    assert [r["id"] for r in records(tmp_path / "a.jsonl")] == [f"doc-{n}" for n in range(100)]
    assert [r["id"] for r in records(tmp_path / "b.jsonl")] == [f"doc-{n}" for n in range(80, 110)]
    assert run(first).already_complete
    again = run(replace(first, fresh=True, labels=LabelSet.of("name")))
    assert again.run == 3
    with Store.open(store) as there:
        assert there.document_count() == 110
        assert not fsck(there)


def test_a_calibration_is_part_of_the_configuration(tmp_path: Path) -> None:
    from agent.opening import CALIBRATION_FILE
    from agent.runs.identity import identity

    own = ProjectConfig.default(root=tmp_path, environment={})
    before = identity(own, LABELS, Reading(), models={})
    (tmp_path / ".quorum").mkdir()
    (tmp_path / ".quorum" / CALIBRATION_FILE).write_text("{}")
    after = identity(own, LABELS, Reading(), models={})
    assert [key for key in before if before[key] != after[key]] == ["calibration"]
