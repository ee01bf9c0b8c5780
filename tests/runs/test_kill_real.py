"""Kills of a real run: Quorum's own command, the starter on a real vLLM server, a real store."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.runs.kill_real import ROOT, check, corpus, kill_until_done, project, whole


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_five_kills_of_a_real_run_lose_and_repeat_nothing(vllm_server: str, tmp_path: Path) -> None:
    source = corpus(tmp_path / "in.jsonl", 16)
    folder = project(tmp_path / "project", vllm_server, members=("list", "typed"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    output = tmp_path / "out.jsonl"
    done = kill_until_done(
        source, output, folder, kills=5, rng=random.Random(5), environment=environment, longest=5.0
    )  # fmt: skip
    assert done.kills > 0
    assert list(done.parts) == sorted(done.parts)
    whole(source, tmp_path / "replay.jsonl", folder, environment)
    check(source, output, tmp_path / "replay.jsonl", folder)
