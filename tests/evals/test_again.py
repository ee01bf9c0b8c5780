"""An evaluation whose model server dies goes on with a new one: the same run, the same cells, the time that is left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import evals.run
from agent.models.health import Death
from evals.run import RunOptions, RunResult
from tests.evals.script import ScriptedModels, frozen, write_suite
from tools.errors import QuorumLost
from tui.main import run

DEATH = Death("starter", "its process ended", (), "log", 0.0)


def test_it_goes_on_with_the_same_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = write_suite(tmp_path)
    frozen(suite)
    models, given = ScriptedModels(), []
    whole = evals.run.run_suite

    async def dies_first(loaded: object, options: RunOptions, **more: object) -> RunResult:
        given.append((options, more["confirm"]))
        if len(given) == 1:
            # Begun, and dead before anything is measured.
            await whole(loaded, replace(options, slice=replace(options.slice, max_minutes=1e-9)), **more)  # type: ignore[arg-type]
            models.deaths.append(DEATH)
            raise QuorumLost("0 of 1 members answer", "see there")
        return await whole(loaded, options, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("evals.models.OwnModels", lambda: models)
    monkeypatch.setattr("evals.run.run_suite", dies_first)
    arguments = [
        "eval",
        "run",
        str(suite),
        "--into",
        str(tmp_path / "into"),
        "--max-minutes",
        "9",
        "--yes",
        "--only",
        "own",
    ]
    status = run(arguments)
    err = capsys.readouterr().err
    assert status == 0 and "0 of 1 members answer; starting the server again and going on" in err
    (first, _), (second, agreed) = given
    assert not first.resume and second.resume and second.fresh == first.fresh
    assert 8.0 < second.slice.max_minutes < 9.0 and second.slice.only == first.slice.only
    assert len(list((tmp_path / "into" / "runs").iterdir())) == 1, "the same run"
    assert agreed(None), "what was agreed to is not asked again"
