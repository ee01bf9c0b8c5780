"""What all tests share: a clean environment, the real starter, one real vLLM server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from agent.models.places import cache_home
from agent.models.serve import Endpoint

# Models are big and shared with the user's own cache; notes about running servers are not.
os.environ["QUORUM_CACHE"] = str(cache_home())
_HOME = tempfile.mkdtemp(prefix="quorum-tests-")
os.environ["QUORUM_HOME"] = _HOME
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["ANONYMIZED_TELEMETRY"] = "False"
os.environ["LANGSMITH_TRACING"] = "false"
os.environ["DO_NOT_TRACK"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

# Machines under load make deadlines flaky; a fixed seed makes a failure in CI one that can be repeated.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("dev", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

ROOT = Path(__file__).parents[1]
SERVER_VARIABLE = "QUORUM_TEST_VLLM_URL"


_GUARD = """
import shutil, sys
sys.stdin.read()
from agent.models import serverstate
from agent.models.processes import end_session
for record in serverstate.records():
    end_session(record.pid, record.identity, seconds=5)
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""
"""Waits for the end of the session, however it comes, a timeout's hard exit and kill -9 among them."""


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's own state folder."""
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the first test that starts the server the minutes a busy machine needs."""
    for item in items:
        if {"vllm_endpoint", "starter_path"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session", autouse=True)
def _no_orphans_of_this_session() -> Iterator[None]:
    guard = subprocess.Popen(
        [sys.executable, "-c", _GUARD, _HOME], cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True
    )
    yield
    guard.communicate()


@pytest.fixture(scope="session")
def starter_path() -> Path:
    """The starter's base checkpoint; fetched and converted when it is not in the cache yet."""
    from agent.models import starter

    return starter.pull()


@pytest.fixture(scope="session")
def vllm_endpoint(starter_path: Path) -> Iterator[Endpoint]:
    """A real vLLM server with the default starter, one for the whole session.

    ``QUORUM_TEST_VLLM_URL`` (``http://host:port/v1``) names a running one instead,
    which must serve its model as ``starter``.
    """
    from agent.models import serve
    from agent.models.devices import available_engine
    from agent.models.planning import plan
    from agent.models.registry import resolve

    if url := os.environ.get(SERVER_VARIABLE):
        yield serve.remote_endpoint(resolve(url))
        return
    choice = available_engine()
    if choice.kind == "transformers":
        pytest.skip(f"no vLLM server can run here: {choice.why}")
    ref = resolve("starter")
    [(spec, _)] = plan([ref], max_model_len=4096)
    record = serve.start(spec, keep=True)
    try:
        yield Endpoint(ref.name, record.url, record.served_name, ref.revision, record.max_model_len, ref.path, record)
    finally:
        serve.stop(record.name)


@pytest.fixture(scope="session")
def vllm_server(vllm_endpoint: Endpoint) -> str:
    """The address of that server; its model is called ``starter``."""
    return vllm_endpoint.url


@pytest.fixture
def tmp_project(tmp_path: Path) -> Path:
    """A fresh project folder with its ``quorum.toml`` and three labels."""
    from agent.config import write_template
    from tools.annotation import Label, LabelSet

    folder = tmp_path / "project"
    labels = LabelSet(
        (
            Label("person", "people by name"),
            Label("organization", "companies and other organised groups"),
            Label("location", "places that have a name"),
        )
    )
    write_template(folder, labels)
    return folder


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Server notes and logs of this test alone."""
    home = tmp_path / "home"
    monkeypatch.setenv("QUORUM_HOME", str(home))
    return home
