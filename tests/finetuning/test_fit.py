"""The loop: early stopping, the best kept, going on after a kill, faults that lose nothing."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.finetuning.gold import GOLD, LABELS, made
from tools.finetuning import fit as fitting
from tools.finetuning.errors import TrainingError
from tools.finetuning.fit import FitConfig, FitProgress, FitState, Fitted, fit, rate_at, resume_point
from tools.finetuning.lora import load_trainable, pick_device, targets_of
from tools.finetuning.objective import Objective
from tools.finetuning.records import Templates
from tools.finetuning.stream import PROJECT_MIX, Coding, Source
from tools.finetuning.tree import END_OF_TURN, Batch

ROOT = Path(__file__).parents[2]
CONFIG = FitConfig(steps=6, learning_rate=0.02, evaluate_every=2, checkpoint_seconds=-1.0)


def source_of(tokenizer: Any, passages: Any = GOLD, seed: int = 3) -> Source:
    coding = Coding(tokenizer, END_OF_TURN, 2, length=1500, rows=1)
    mix = replace(PROJECT_MIX, max_demonstrations=1)
    return Source(passages, made(6), LABELS, Templates(), mix, coding, seed)


@pytest.fixture(scope="module")
def source(tokenizer: Any) -> Source:
    import torch

    torch.set_num_threads(1)
    return source_of(tokenizer)


def run(tiny: Path, source: Source, out: Path, config: FitConfig = CONFIG, **options: Any) -> tuple[Fitted, list[int]]:
    step, adapter, state = resume_point(out, "same")
    seen: list[int] = []
    fitted = fit(
        load_trainable(tiny, init=adapter, rank=2),
        options.pop("batches", None) or source.endless(),
        options.pop("dev", None) or source.fixed(2),
        Objective(),
        config,
        out,
        watch=options.pop("watch", lambda p: seen.append(p.step)),
        state=state,
        first_step=step,
        **options,
    )
    return fitted, seen


# -- batches ------------------------------------------------------------------------------------------------------


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(a.tokens.equal(b.tokens) for a, b in zip(one, other, strict=True))


def test_an_epoch_is_the_same_again_and_another_is_another(source: Source, tokenizer: Any) -> None:
    first = source.epoch(0)
    assert same(first, source.epoch(0)) and not same(first, source.epoch(1))
    assert not same(first, source_of(tokenizer, seed=4).epoch(0))
    assert same(source.fixed(3), source.fixed(3)) and len(source.fixed(3)) <= len(source.fixed(9))
    endless = source.endless()
    assert same([next(endless) for _ in first], first)


def test_every_passage_is_in_an_epoch_unless_no_row_holds_it(source: Source) -> None:
    held = sum(int(batch.records.max()) + 1 for batch in source.epoch(0) if batch.records is not None)
    assert held == len(GOLD) - source.too_long() and source.too_long() == 0
    short = replace(source, coding=replace(source.coding, length=600))
    assert 0 < short.too_long() < len(GOLD)
    with pytest.raises(TrainingError, match="no passage fits into 64 tokens"):
        replace(source, coding=replace(source.coding, length=64)).epoch(0)


# -- the loop -----------------------------------------------------------------------------------------------------


def test_it_learns_keeps_the_best_and_says_what_it_did(tiny: Path, source: Source, tmp_path: Path) -> None:
    events: list[FitProgress] = []
    fitted, _ = run(tiny, source, tmp_path, watch=events.append)
    state = fitted.state
    assert fitted.steps == 6 and fitted.stopped == "steps" and fitted.adapter == tmp_path / "best"
    assert [step for step, _, _ in state.history] == [0, 2, 4, 6]
    assert state.best_loss == min(loss for *_, loss in state.history) < state.dev_before == state.history[0][2]
    assert state.best_step in (2, 4, 6)
    assert [e.step for e in events] == [1, 2, 3, 4, 5, 6] and events[-1].eta == 0
    assert events[0].eta > 0 and all(math.isfinite(e.losses.answers) for e in events)
    assert events[-1].tokens == state.tokens > 500
    assert sorted(p.suffix for p in (tmp_path / "best").iterdir() if "model" in p.name) == [".safetensors"]


def test_it_stops_where_the_dev_part_gets_no_better(
    tiny: Path, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = iter([2.0, 1.0, 0.9995, 1.2, 1.1, 0.1])
    monkeypatch.setattr(fitting, "measure", lambda *_: (next(given), math.nan))
    fitted, seen = run(tiny, source, tmp_path, replace(CONFIG, steps=50, evaluate_every=1, patience=2))
    assert fitted.stopped == "patience" and seen == [1, 2, 3]
    assert (fitted.state.best_step, fitted.state.best_loss, fitted.state.bad) == (1, 1.0, 2)
    # The best is the adapter of step 1, not the last.
    best = (tmp_path / "best" / "adapter_model.safetensors").read_bytes()
    assert best != (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes()


def test_where_nothing_gets_better_the_last_is_given_back_and_best_step_is_0(
    tiny: Path, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = iter([1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(fitting, "measure", lambda *_: (next(given), math.nan))
    fitted, _ = run(tiny, source, tmp_path)
    assert fitted.state.best_step == 0 and fitted.adapter == tmp_path / "adapter"


def test_time_is_up(tiny: Path, source: Source, tmp_path: Path) -> None:
    fitted, seen = run(tiny, source, tmp_path, replace(CONFIG, seconds=0.001))
    assert fitted.stopped == "time" and len(seen) <= 1


@pytest.mark.parametrize("progress", [0.0, 0.03, 0.06, 0.5, 1.0, 2.0])
def test_the_rate_warms_up_and_ends_at_a_tenth(progress: float) -> None:
    assert 0 < rate_at(progress, 0.06) <= 1
    assert rate_at(0.06, 0.06) == 1 and rate_at(1.0, 0.06) == pytest.approx(0.1)


# -- killed -------------------------------------------------------------------------------------------------------

KILLED = """
import sys
from pathlib import Path
from transformers import AutoTokenizer
sys.path.insert(0, sys.argv[1])
from tests.finetuning.test_fit import CONFIG, run, source_of
import torch
torch.set_num_threads(1)
tiny, out = Path(sys.argv[2]), Path(sys.argv[3])

def watch(progress):
    print(progress.step, flush=True)
    if progress.step == 4 and len(sys.argv) > 4:
        sys.stdin.read()

run(tiny, source_of(AutoTokenizer.from_pretrained(tiny)), out, watch=watch)
"""


def test_killed_by_kill_9_it_goes_on_and_ends_where_it_would_have(tiny: Path, source: Source, tmp_path: Path) -> None:
    whole, _ = run(tiny, source, tmp_path / "whole")
    out = tmp_path / "killed"
    line = [sys.executable, "-c", KILLED, str(ROOT), str(tiny), str(out), "wait"]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    seen = [int(process.stdout.readline()) for _ in range(4)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    assert seen == [1, 2, 3, 4]
    step, adapter, state = resume_point(out, "same")
    assert step == 3 and adapter is not None and state.tokens > 0 and state.seconds > 0
    fitted, seen = run(tiny, source, out)
    assert seen == [4, 5, 6] and fitted.steps == 6
    assert fitted.state.dev_before == whole.state.dev_before
    assert [s for s, _, _ in fitted.state.history] == [0, 2, 4, 6]
    for one, other in zip(fitted.state.history, whole.state.history, strict=True):
        assert one[2] == pytest.approx(other[2], rel=5e-3)
    assert fitted.state.tokens == whole.state.tokens


def test_a_checkpoint_of_another_training_is_of_no_use(tiny: Path, source: Source, tmp_path: Path) -> None:
    run(tiny, source, tmp_path)
    assert resume_point(tmp_path, "same")[0] == 6
    step, adapter, state = resume_point(tmp_path, "other")
    assert (step, adapter, state) == (0, None, FitState("other")) and not tmp_path.exists()


def test_a_best_caught_between_two_renames_is_found(tiny: Path, source: Source, tmp_path: Path) -> None:
    run(tiny, source, tmp_path)
    (tmp_path / "best").rename(tmp_path / "best.old")
    assert resume_point(tmp_path, "same")[0] == 6 and (tmp_path / "best").is_dir()


# -- faults -------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_keeps_the_last_checkpoint(tiny: Path, source: Source, tmp_path: Path) -> None:
    first, second, *_ = source.epoch(0)
    poisoned = replace(second, weights=second.weights * math.nan)
    with pytest.raises(TrainingError, match="the loss is nan after 1 steps") as caught:
        run(tiny, source, tmp_path, batches=iter([first, poisoned]))
    assert "checkpoint of step 1 is kept" in caught.value.hint and caught.value.exit_code == 2
    step, adapter, _ = resume_point(tmp_path, "same")
    assert step == 1
    model = load_trainable(tiny, init=adapter)
    assert all(bool(p.isfinite().all()) for p in model.parameters())


def test_a_gradient_that_is_no_number_is_not_stepped(
    tiny: Path, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(math.inf))
    with pytest.raises(TrainingError, match="gradient's norm is inf") as caught:
        run(tiny, source, tmp_path)
    assert "no checkpoint yet" in caught.value.hint


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from pathlib import Path
from transformers import AutoTokenizer
sys.path.insert(0, sys.argv[1])
from tests.finetuning.test_fit import run, source_of
from tools.finetuning.errors import TrainingError
import torch
torch.set_num_threads(1)
tiny, out = Path(sys.argv[2]), Path(sys.argv[3])

def watch(progress):
    if progress.step == 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))

try:
    run(tiny, source_of(AutoTokenizer.from_pretrained(tiny)), out, watch=watch)
except TrainingError as error:
    print(error.message, "|", error.hint, flush=True)
"""


def test_a_full_disk_at_a_checkpoint_leaves_the_one_before_whole(tiny: Path, source: Source, tmp_path: Path) -> None:
    line = [sys.executable, "-c", FULL, str(ROOT), str(tiny), str(tmp_path / "work")]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=200)
    assert "a checkpoint cannot be written" in done.stdout and "make room" in done.stdout, done.stderr[-2000:]
    assert done.stdout.count("\n") == 1
    step, adapter, _ = resume_point(tmp_path / "work", "same")
    assert step == 2 and adapter is not None
    fitted, seen = run(tiny, source, tmp_path / "work")
    assert seen == [3, 4, 5, 6] and fitted.steps == 6


# -- devices and bases ----------------------------------------------------------------------------------------------


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    assert pick_device("cpu") == "cpu"
    for wrong in ("tpu", "cpu:1", "cuda:x", ""):
        with pytest.raises(TrainingError, match="unknown device"):
            pick_device(wrong)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device() == "cpu"
    with pytest.raises(TrainingError, match="no device cuda here"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_device() == pick_device("cuda") == "cuda" and pick_device("cuda:0") == "cuda:0"
    with pytest.raises(TrainingError, match="no device cuda:1 here"):
        pick_device("cuda:1")


def test_state_survives_as_json(tiny: Path, source: Source, tmp_path: Path) -> None:
    run(tiny, source, tmp_path, replace(CONFIG, steps=2))
    kept = json.loads((tmp_path / "state.json").read_text())
    assert kept["step"] == 2 and kept["fit"]["fingerprint"] == "same" and kept["config"]["patience"] == 4
    assert targets_of(load_trainable(tiny).base_model.model)
