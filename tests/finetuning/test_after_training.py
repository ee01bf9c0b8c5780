"""What follows a training: a running server is given the adapter, a campaign calls it as a tool, a disk that fills."""

from __future__ import annotations

import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.config import ProjectConfig
from agent.models import serverstate
from agent.training import train_project
from tests.cli.run import quorum, variables
from tests.finetuning.test_handover import Server, noted
from tests.finetuning.test_handover import server as server
from tests.finetuning.test_training import ASK, QUICK, ROOT, quiet
from tests.finetuning.test_training import _one_thread as _one_thread
from tests.finetuning.test_training import project as project
from tools.store import Store


def test_a_running_server_of_the_base_is_given_the_adapter_and_serves_it_next(
    project: Path, tiny: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent.models import serve

    noted(server, tiny)
    options = replace(QUICK, name="mine")
    outcome = train_project(project, options, quiet, even_if_worse=True)
    assert outcome.served == "tiny-1" and "member mine added" in outcome.registered
    [asked] = server.asked
    assert asked["lora_path"] == str(outcome.adapter.resolve()) and asked["lora_name"] == outcome.ref.served_name
    # Not merged: the server applies it. What the next run looks for is the server that was told.
    assert outcome.ref.unmerged
    assert serverstate.records()[0].adapters == {outcome.ref.served_name: outcome.ref.revision}
    monkeypatch.setattr(serve, "healthy", lambda *_, **__: True)
    found = serve._running(outcome.ref, None)
    assert found is not None and found[0].name == "tiny-1"
    endpoint = serve._endpoint(outcome.ref, found[0])
    assert endpoint.served_name == asked["lora_name"] and endpoint.url == found[0].url


def test_a_server_that_refuses_is_said_and_the_member_stays(project: Path, tiny: Path, server: Server) -> None:
    noted(server, tiny)
    server.answer = (400, '{"error": {"message": "rank too large"}}')
    outcome = train_project(project, replace(QUICK, name="mine"), quiet, even_if_worse=True, merge=False)
    assert outcome.served == "" and any("rank too large" in line for line in outcome.notes)
    assert "mine" in ProjectConfig.load(project, environment={}).models


def test_a_campaign_trains_by_its_tool(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.campaign import training
    from agent.campaign.tools import campaign_tools
    from agent.runs.progress import Silent

    monkeypatch.setattr(training, "MINUTES", 0.05)
    changed: list[bool] = []
    config = ProjectConfig.load(project, environment={})
    with Store.open(config.store_path) as store:
        trainer = training.ProjectTrainer(project, lambda: changed.append(True), Silent())
        services: Any = SimpleNamespace(store=store, trainer=trainer)
        [tool] = [one for one in campaign_tools(services, 1, lambda: None) if one.name == "train_adapter"]  # type: ignore[arg-type,return-value]
        said = tool.invoke({})["said"]
    assert said.startswith("trained campaign-1-0")
    assert (project / "adapters" / "campaign-1-0" / "adapter_model.safetensors").is_file()
    after = ProjectConfig.load(project, environment={})
    assert ("campaign-1-0" in after.models) == bool(changed) == ("stay as they are" not in said)


def test_a_full_disk_is_one_line_and_nothing_is_lost(project: Path, tmp_path: Path) -> None:
    before = (project / "quorum.toml").read_text()

    def full() -> None:
        # No file may grow beyond this; the kernel says so as it says that a disk is full.
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))

    # From a file: the store's own files are larger than what is allowed.
    words = ["train", "--project", str(project), "--data", str(tmp_path / "gold.jsonl"), *ASK, "--name", "mine"]
    line = [sys.executable, "-B", "-m", "tui.main", *words]
    environment = {**variables(), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=environment, preexec_fn=full, timeout=200)
    said = [one for one in done.stderr.splitlines() if one.startswith(("quorum: ", "hint: "))]
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr, done.stderr
    assert len(said) == 2 and "cannot be written" in said[0] and "room" in said[1]
    assert (project / "quorum.toml").read_text() == before and not (project / "adapters" / "mine").exists()
    status, _, err = quorum(*words)
    assert status == 0, err
    assert (project / "adapters" / "mine" / "adapter_model.safetensors").is_file()
