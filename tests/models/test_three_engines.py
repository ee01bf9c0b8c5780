"""Three engines on one CPU, really: the profiles with the starter's members, three adapters, three vLLM servers.

Some minutes and 10 GiB, so it runs where it is asked for: ``QUORUM_TEST_ENGINES=1``.
The adapters are one that ships and two copies of it with a little noise, so that
they are different models.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import psutil
import pytest
from safetensors.numpy import save_file

from agent.models import serve, shipped
from agent.models.devices import available_engine
from agent.models.serverspec import CPU_BASE, GIB
from tui.main import run

PROFILES = Path(__file__).parents[2] / "examples" / "profiles"
NAMES = ("everyday", "science", "broad")
TEXTS = (
    "Marta Ilves joined the Tallinn Harbour Board in 2019.",
    "The Orrin Institute in Leeds tests quenofil against asthma.",
    "Nothing to see here.",
    "Pavel Drost met Jun Abe at the Kestrel Bank in Osaka.",
)

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        os.environ.get("QUORUM_TEST_ENGINES") != "1", reason="minutes long; QUORUM_TEST_ENGINES=1 runs it"
    ),
]


@pytest.fixture
def adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, starter_path: Path) -> Path:
    if available_engine().kind != "vllm-cpu":
        pytest.skip("vLLM on a CPU is what is tested")
    cache = tmp_path / "cache"
    (cache / "models").mkdir(parents=True)
    (cache / "models" / starter_path.name).symlink_to(starter_path.resolve())
    monkeypatch.setenv("QUORUM_CACHE", str(cache))
    source = next(iter(shipped.blended(shipped.FOLDER).values())).folder
    folder = tmp_path / "adapters"
    for seed, name in enumerate(NAMES):
        (folder / name).mkdir(parents=True)
        shutil.copyfile(source / shipped.CONFIG, folder / name / shipped.CONFIG)
        rng = np.random.default_rng(seed)
        noisy = {
            key: (value + 0.02 * seed * value.std() * rng.normal(size=value.shape)).astype(np.float32)
            for key, value in shipped._tensors(source).items()
        }
        save_file(noisy, folder / name / shipped.WEIGHTS)
    monkeypatch.setenv(shipped.VARIABLE, str(folder))
    return folder


def test_three_engines_serve_one_extraction(
    adapters: Path, tmp_project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(PROFILES / "three-engines.toml", tmp_project / "quorum.toml")
    assert run(["models", "serve", "--project", str(tmp_project), "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    try:
        assert sorted(record["served_name"] for record in records) == [f"starter:{name}" for name in sorted(NAMES)]
        assert len({record["revision"] for record in records}) == 3
        texts = tmp_path / "texts.jsonl"
        texts.write_text("".join(json.dumps({"id": str(n), "text": text}) + "\n" for n, text in enumerate(TEXTS)))
        for profile in ("three-engines", "steps-over-members"):
            shutil.copyfile(PROFILES / f"{profile}.toml", tmp_project / "quorum.toml")
            out = tmp_path / f"{profile}.jsonl"
            words = ["extract", "--project", str(tmp_project), "--input", str(texts), "--output", str(out)]
            assert run(words) == 0, capsys.readouterr().err
            results = [json.loads(line) for line in out.read_text().splitlines()]
            assert [result["id"] for result in results] == ["0", "1", "2", "3"]
            found = {entity["text"] for result in results for entity in result["entities"]}
            assert {"Marta Ilves", "Osaka"} & found, found
            voters = {vote["member"] for result in results for e in result["entities"] for vote in e["votes"]}
            assert voters == (set(NAMES) if profile == "three-engines" else {"broad"})
        status = {each.record.name: each for each in serve.status(seconds=30.0)}
        assert [each.state for each in status.values()] == ["ready"] * 3
        for each in status.values():
            settings = psutil.Process(each.record.pid).environ()
            assert settings["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
            assert int(settings["OMP_NUM_THREADS"]) == max(1, len(os.sched_getaffinity(0)) // 3)
            # What the plan reckons with, and a quarter for what a machine's libraries differ in.
            room = CPU_BASE + 0.26 * GIB + int(settings["VLLM_CPU_KVCACHE_SPACE"]) * GIB
            assert each.memory <= 1.25 * room, f"{each.memory / GIB:.2f} GiB"
    finally:
        for record in records:
            serve.stop(record["name"])
    assert serve.status() == []
