"""From a project's gold to a member that the next run uses, on a tiny base; and every way in which it cannot."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.config import ProjectConfig
from agent.training import TrainOutcome, held_out, train_on, train_project
from agent.trainingrun import TrainOptions, is_better
from tests.cli.run import quorum, variables
from tests.finetuning.gold import made
from tools.annotation import Document, LabelSet, Span
from tools.errors import InputError, ModelError, QuorumError
from tools.finetuning.errors import TrainingError

ROOT = Path(__file__).parents[2]
LABELS = LabelSet.of("person", "place", "organization")
QUICK = TrainOptions(steps=3, rank=2, score=1, learning_rate=0.02, device="cpu", demonstrations=1, length=1100)


def documents(count: int = 14) -> list[tuple[Document, tuple[Span, ...]]]:
    return [(Document(f"d{n}", gold.text), gold.spans) for n, gold in enumerate(made(count))]


def quiet(event: object) -> None:
    """A watcher that wants nothing."""


def lines(count: int = 14, **more: Any) -> str:
    found = []
    for document, spans in documents(count):
        entities = [{"start": s.start, "end": s.end, "label": s.label} for s in spans]
        found.append(json.dumps({"id": document.id, "text": document.text, "entities": entities, **more}) + "\n")
    return "".join(found)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch

    torch.set_num_threads(1)
    monkeypatch.setenv("QUORUM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def project(tiny: Path, tmp_path: Path) -> Path:
    """A project on the tiny base, its gold imported."""
    folder = tmp_path / "paper"
    assert quorum("init", folder, "--labels", "person,place,organization")[0] == 0
    text = (folder / "quorum.toml").read_text()
    text += f'\n[models.tiny]\nsource = "{tiny}"\n\n[[members]]\nname = "one"  # the first\nmodel = "tiny"\nextract = "typed.v1"\n'
    (folder / "quorum.toml").write_text(text)
    data = tmp_path / "gold.jsonl"
    data.write_text(lines())
    assert quorum("import", data, "--project", folder, "--gold")[0] == 0
    return folder


def trained(project: Path, **options: Any) -> TrainOutcome:
    more = {key: options.pop(key) for key in ("data", "register", "even_if_worse") if key in options}
    more = {"even_if_worse": True, **more}
    return train_project(project, replace(QUICK, name="mine", **options), quiet, merge=False, **more)


# -- it works -----------------------------------------------------------------------------------------------------


def test_a_project_s_gold_becomes_a_member(project: Path, tiny: Path) -> None:
    outcome = trained(project)
    folder = project / "adapters" / "mine"
    assert outcome.adapter == folder
    assert sorted(p.name for p in folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "training.json",
    ]
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        assert {str(file.get_tensor(name).dtype) for name in file.keys()} == {"torch.bfloat16"}  # noqa: SIM118
    assert str(tiny.parent) not in (folder / "adapter_config.json").read_text()
    config = ProjectConfig.load(project, environment={})
    assert [m.name for m in config.members] == ["one", "mine"]
    assert config.models["mine"].adapter == "adapters/mine" and config.models["mine"].source == str(tiny)
    assert "# the first" in (project / "quorum.toml").read_text()
    # What the next run resolves is what was trained.
    from agent.models.registry import resolve

    mine = config.models["mine"]
    again = resolve(mine.source, adapter=mine.adapter, alias="mine", merge=False, root=config.root)
    assert again.revision == outcome.ref.revision and again.adapter == outcome.ref.adapter
    assert not (project / ".quorum" / "training" / "mine").exists()


def test_the_record_says_what_was_learned_and_from_which_documents(project: Path) -> None:
    outcome = trained(project, contrastive="infonce", adversarial=0.02)
    record = json.loads((outcome.adapter / "training.json").read_text())
    assert record == json.loads(json.dumps(outcome.summary))
    used = record["documents"]
    ids = {one["id"] for one in [*used["train"], *used["dev"]]}
    assert ids == {f"d{n}" for n in range(14)} and len(used["dev"]) == 3
    assert {one["hash"] for one in used["train"]} <= {document.hash for document, _ in documents()}
    mentions = record["counts"]["mentions"]
    assert sum(m["train"] + m["dev"] for m in mentions.values()) == 28
    assert record["steps"] == 3 and record["tokens"] > 100 and record["adapter_bytes"] > 1000 and record["rank"] == 2
    assert record["dev_loss"]["before"] > 0 and record["history"][0][0] == 0
    assert set(record["dev_f1"]) == {"before", "after"} and record["dev_f1"]["after"]["passages"] == 1
    assert set(record["prompts"]) >= {"extract/typed.v1", "extract/spans.v1", "classify/marked.v1", "verify/yes_no.v1"}
    assert record["options"]["contrastive"] == "infonce"


def test_the_same_training_again_is_done_already_and_another_is_not(project: Path) -> None:
    first = trained(project)
    before = (first.adapter / "adapter_model.safetensors").stat().st_mtime_ns
    second = trained(project)
    assert second.finished_before and not first.finished_before and second.registered == ""
    assert (first.adapter / "adapter_model.safetensors").stat().st_mtime_ns == before
    assert not trained(project, again=True).finished_before
    assert not trained(project, seed=5).finished_before


def test_an_adapter_remembers_the_documents_of_the_one_it_began_with(project: Path, tmp_path: Path) -> None:
    first = trained(project)
    other = [(Document(f"e{n}", f"{d.text} Indeed."), spans) for n, (d, spans) in enumerate(documents())]
    options = replace(QUICK, name="second", init=str(first.adapter))
    second = train_on(other, LABELS, str(first.ref.base), tmp_path / "second", options, quiet)
    inherited = {one["id"] for one in second.summary["inherited_documents"]}
    assert inherited == {f"d{n}" for n in range(14)} and second.summary["init"] == "mine"
    assert second.summary["rank"] == 2 and not (tmp_path / "second.work").exists()


def test_other_members_can_be_pointed_at_it(project: Path) -> None:
    outcome = trained(project, register="replace")
    assert outcome.registered == "[models.mine] added, member one uses mine"
    config = ProjectConfig.load(project, environment={})
    assert [(m.name, m.model) for m in config.members] == [("one", "mine")]
    # The member's model is now the adapter itself: the same command again trains nothing, other options go on from it.
    assert trained(project, register="replace").finished_before
    further = trained(project, register="replace", seed=5)
    assert not further.finished_before and further.summary["init"] == "mine" and further.registered == ""
    assert {one["id"] for one in further.summary["inherited_documents"]} == {f"d{n}" for n in range(14)}


def test_a_lower_loss_with_fewer_right_spans_is_no_gain() -> None:
    assert not is_better(True, {"f1": 0.714}, {"f1": 0.429})
    assert is_better(True, {"f1": 0.714}, {"f1": 0.714}) and is_better(True, None, None)
    assert not is_better(False, {"f1": 0.2}, {"f1": 0.9})


def test_what_got_no_better_is_not_registered(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tools.finetuning import fit

    given = iter([1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(fit, "measure", lambda *_: (next(given), float("nan")))
    before = (project / "quorum.toml").read_text()
    outcome = trained(project, even_if_worse=False)
    assert not outcome.improved and outcome.registered == "" and (project / "quorum.toml").read_text() == before
    assert any("--even-if-worse" in line for line in outcome.notes)


def test_inside_an_event_loop_it_runs_in_a_thread(tiny: Path, tmp_path: Path) -> None:
    async def inside() -> TrainOutcome:
        return await asyncio.to_thread(train_on, documents(), LABELS, str(tiny), tmp_path / "out", QUICK, quiet)

    assert asyncio.run(inside()).summary["steps"] == 3


# -- what is never trained on ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "kept"), [("train", True), ("", True), ("test", False), ("dev", False), ("audit", False), ("tset", False)]
)
def test_only_training_splits_are_trained_on(split: str, kept: bool) -> None:
    assert held_out(Document("x", "x", {"split": split})) is not kept
    assert not held_out(Document("x", "x"), "human") and held_out(Document("x", "x"), "audit")


def test_audit_and_test_documents_of_the_store_are_left_out(project: Path, tmp_path: Path) -> None:
    from tools.store import Store
    from tools.store.campaignrecords import Item

    config = ProjectConfig.load(project, environment={})
    data = tmp_path / "test.jsonl"
    data.write_text(lines(16, split="test").replace('"d', '"t'))
    assert quorum("import", data, "--project", project, "--gold")[0] == 0
    with Store.open(config.store_path) as store:
        # d3 was drawn for a campaign's audit stream, d4 only asked by it; d5 says itself that it is the audit's.
        number = store.start_campaign({}, {})
        asked = [Item("d3", 1, 0, audit=True, wanted=1, reason={}), Item("d4", 1, 1, audit=False, wanted=1, reason={})]
        store.open_round(number, 1, asked, {})
        store.set_gold("d5", dict(documents_by_id())["d5"], "tester", "audit")
    outcome = trained(project)
    used = outcome.summary["documents"]
    assert {one["id"] for one in [*used["train"], *used["dev"]]} == {f"d{n}" for n in range(14)} - {"d3", "d5"}
    assert any(line.startswith("18 labelled documents") for line in outcome.notes)


def documents_by_id() -> list[tuple[str, tuple[Span, ...]]]:
    return [(document.id, spans) for document, spans in documents()]


def test_a_file_of_gold_is_read_instead(project: Path, tmp_path: Path) -> None:
    data = tmp_path / "own.jsonl"
    data.write_text(lines(12).replace('"d', '"f') + lines(3, split="test").replace('"d', '"g'))
    outcome = trained(project, data=data)
    used = outcome.summary["documents"]
    assert {one["id"][0] for one in [*used["train"], *used["dev"]]} == {"f"}
    assert any(line.startswith("3 labelled documents") for line in outcome.notes)


# -- the command ----------------------------------------------------------------------------------------------------

ASK = ("--steps", "2", "--minutes", "5", "--rank", "2", "--length", "1100", "--device", "cpu", "--even-if-worse")


def test_the_command_trains_registers_merges_and_the_member_answers(project: Path) -> None:
    status, out, err = quorum("train", "--project", project, *ASK, "--name", "mine", "--json")
    assert status == 0, err
    told = json.loads(out)
    assert told["name"] == "mine" and "member mine added" in told["registered"]
    assert told["summary"]["counts"]["train"]["documents"] == 11
    assert "step 1 of 2" in err and "left at most" in err
    # Merged for CPU, once: resolving it now finds the merged checkpoint at once.
    from agent.models.registry import resolve

    config = ProjectConfig.load(project, environment={})
    begun = time.monotonic()
    mine = config.models["mine"]
    ref = resolve(mine.source, adapter=mine.adapter, root=config.root)
    assert ref.path is not None and ref.path != ref.base and (ref.path / "model.safetensors").is_file()
    assert ref.revision == told["revision"] and time.monotonic() - begun < 3
    from agent.engines.constraints import choice
    from agent.engines.protocol import Request
    from agent.engines.transformers_local import TransformersEngine

    engine = TransformersEngine(ref.path, device="cpu")
    [answer] = asyncio.run(engine.complete([Request((("user", "x"),), 4, choice(("yes", "no")))]))
    assert answer.text in ("yes", "no")
    # The table for people says the same, and that nothing was left to do.
    status, out, err = quorum("train", "--project", project, *ASK, "--name", "mine")
    assert status == 0 and "done before" in out and "dev loss" in out and "11 documents" in out


def test_killed_by_kill_9_the_command_goes_on(project: Path) -> None:
    line = [
        sys.executable,
        "-m",
        "tui.main",
        "train",
        "--project",
        str(project),
        *ASK,
        "--name",
        "mine",
        "--register",
        "none",
    ]
    line[line.index("--steps") + 1] = "400"
    work = project / ".quorum" / "training" / "mine"
    environment = {**variables(), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    start = "from tools.finetuning import fit; import sys; from tui.main import run;"
    start += "real = fit.FitConfig;"
    start += "fit.FitConfig = lambda **k: real(**{**k, 'checkpoint_seconds': 0.0, 'patience': 0}); sys.exit(run(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", start, *line[3:]],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 200
    while not (work / "state.json").is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    step = json.loads((work / "state.json").read_text())["step"]
    assert 0 < step < 400 and not (project / "adapters").exists()
    said: list[str] = []
    options = replace(
        TrainOptions(), name="mine", steps=400, minutes=5.0, rank=2, length=1100, device="cpu", allow_few=False
    )

    def watch(event: object) -> None:
        said.append(str(event))
        if len(said) > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_project(project, options, watch, register="none", merge=False)
    assert any(line == f"going on after step {step}" for line in said), said


# -- bad input ------------------------------------------------------------------------------------------------------


def told(project: Path, *arguments: str | Path) -> tuple[str, str]:
    """The line and the hint of a command that must fail."""
    status, out, err = quorum("train", "--project", project, *ASK, *arguments)
    said = [line for line in err.splitlines() if line.startswith(("quorum: ", "hint: "))]
    assert status == 2 and out == "" and "Traceback" not in err, err
    assert len(said) == 2 and said[0].startswith("quorum: ") and said[1].startswith("hint: "), err
    return said[0], said[1]


def test_no_gold(tmp_path: Path, tiny: Path) -> None:
    folder = tmp_path / "empty"
    quorum("init", folder, "--labels", "person")
    line, hint = told(folder, "--base", str(tiny))
    assert "nothing to train on: there is no labelled document" in line and "quorum import" in hint
    shutil.rmtree(folder / ".quorum")
    line, hint = told(folder, "--base", str(tiny))
    assert "nothing is labelled yet" in line and "quorum import" in hint
    data = tmp_path / "texts.jsonl"
    data.write_text('{"id": "a", "text": "Ada."}\n')
    quorum("import", data, "--project", folder)
    assert "nothing to train on: there is no labelled document" in told(folder, "--base", str(tiny))[0]
    assert "document 'a' has no entities" in told(folder, "--base", str(tiny), "--data", data)[0]
    assert "no such file" in told(folder, "--data", tmp_path / "none.jsonl")[0]


def test_too_few_examples_of_a_type(project: Path) -> None:
    text = (project / "labels.toml").read_text()
    (project / "labels.toml").write_text(text + '\n[[labels]]\nname = "river"\n')
    line, hint = told(project)
    assert "too few examples of 1 of 4 types (river 0; at least 3 are needed)" in line and "--allow-few" in hint
    assert "too few" in told(project, "--minimum", "99")[0]
    outcome = trained(project, allow_few=True)
    assert outcome.summary["left_out"] == {"river": 0} and outcome.summary["labels"] == [
        "person",
        "place",
        "organization",
    ]
    assert any("river (0)" in line for line in outcome.notes)


def test_gold_that_does_not_ground(project: Path, tmp_path: Path) -> None:
    data = tmp_path / "bad.jsonl"
    bad = {"id": "bad", "text": "Ilse Varga left.", "entities": [{"start": 0, "end": 3, "label": "person"}]}
    data.write_text(lines() + json.dumps(bad) + "\n")
    line, hint = told(project, "--data", data)
    assert "'bad'" in line and "cuts a word" in line and "--skip-bad" in hint
    bad["entities"] = [{"start": 0, "end": 10, "label": "person", "text": "Ilse Vargo"}]
    data.write_text(lines() + json.dumps(bad) + "\n")
    assert "its text is 'Ilse Vargo'" in told(project, "--data", data)[0]


def test_bases_that_cannot_be_trained(project: Path, tmp_path: Path) -> None:
    assert "unknown model 'tyni'" in told(project, "--base", "tyni")[0]
    assert "not on this machine" in told(project, "--base", "nobody/nothing")[0]
    assert "served elsewhere" in told(project, "--base", "http://127.0.0.1:9/v1#m")[0]
    pickle = tmp_path / "pickled"
    pickle.mkdir()
    (pickle / "config.json").write_text('{"model_type": "llama"}')
    (pickle / "pytorch_model.bin").write_bytes(b"x")
    assert "pickle" in told(project, "--base", pickle)[0]


def test_adapters_that_cannot_be_begun_with(project: Path, tmp_path: Path) -> None:
    good = trained(project, register="none").adapter
    pickled = tmp_path / "pickled"
    shutil.copytree(good, pickled)
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    line, hint = told(project, "--init", pickled)
    assert "a pickle (adapter_model.bin) is refused" in line and "safetensors" in hint
    assert "no such folder" in told(project, "--init", tmp_path / "nowhere")[0]
    # Of another rank than was asked for.
    assert "has rank 2, not 8" in told(project, "--init", good, "--rank", "8")[0]
    # Of a base of another width, and with layers that the base does not have.
    from safetensors.torch import load_file, save_file

    tensors = load_file(good / "adapter_model.safetensors")
    wide = tmp_path / "wide"
    shutil.copytree(good, wide)
    save_file(
        {k: v.repeat(1, 2) if "lora_A" in k else v for k, v in tensors.items()}, wide / "adapter_model.safetensors"
    )
    assert "does not fit" in told(project, "--init", wide, "--rank", "16")[0]
    deep = tmp_path / "deep"
    shutil.copytree(good, deep)
    save_file({k.replace("layers.1", "layers.7"): v for k, v in tensors.items()}, deep / "adapter_model.safetensors")
    assert "the base has no layer" in told(project, "--init", deep, "--rank", "16")[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--contrastive", "triplet"), "--contrastive 'triplet' is not known"),
        (("--register", "all"), "--register 'all' is not known"),
        (("--name", "my member"), "'my member' cannot be a member's name"),
        (("--device", "tpu"), "unknown device 'tpu'"),
        (("--contrastive", "infonce", "--layer", "9"), "hidden states 0 to 2, not 9"),
    ],
)
def test_options_that_mean_nothing(project: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in told(project, *arguments)[0]


def test_a_loss_that_is_no_number_leaves_the_project_as_it_was(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tools.finetuning import fit
    from tools.finetuning.objective import Losses

    real, calls = fit.learn, 0

    def learn(*given: Any) -> Losses:
        nonlocal calls
        calls += 1
        return Losses(float("nan")) if calls == 2 else real(*given)

    monkeypatch.setattr(fit, "learn", learn)
    before = (project / "quorum.toml").read_text()
    line, hint = told(project, "--name", "mine")
    assert "the loss is nan after 1 steps" in line and "lower --learning-rate" in hint
    assert (project / "quorum.toml").read_text() == before and not (project / "adapters").exists()


def test_errors_are_of_the_one_tree() -> None:
    assert issubclass(TrainingError, QuorumError) and TrainingError("x").exit_code == 2
    assert {ModelError("x").exit_code, InputError("x").exit_code} == {2}
