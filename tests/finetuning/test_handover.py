"""A new adapter for a running server: vLLM's endpoint, played by a small server that checks what it is asked."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.models import serverstate
from agent.models.handover import hand_over, server_for
from agent.models.processes import identity_of
from agent.models.registry import resolve
from agent.models.serverstate import ServerRecord
from tests.models.checkpoints import tiny_adapter, tiny_base
from tools.errors import EngineError


class Server(http.server.ThreadingHTTPServer):
    """Takes adapters as vLLM does: a name once, unless it is to replace the old one."""

    asked: list[dict[str, Any]]
    loaded: set[str]
    answer: tuple[int, str] | None


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append({"path": self.path, "type": self.headers["Content-Type"], **body})
        status, text = 200, f"Success: LoRA adapter '{body['lora_name']}' added successfully."
        if self.path != "/v1/load_lora_adapter":
            status, text = 404, '{"detail":"Not Found"}'
        elif self.server.answer:
            status, text = self.server.answer
        elif body["lora_name"] in self.server.loaded and not body.get("load_inplace"):
            status, text = 400, json.dumps({"error": {"message": "has already been loaded"}})
        else:
            self.server.loaded.add(body["lora_name"])
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *parts: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setenv("QUORUM_HOME", str(tmp_path / "home"))
    made = Server(("127.0.0.1", 0), Handler)
    made.asked, made.loaded, made.answer = [], set(), None
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(10)


def noted(server: Server, base: Path, **changed: Any) -> ServerRecord:
    record = ServerRecord(
        name="tiny-1",
        served_name="tiny",
        revision="r",
        pid=os.getpid(),
        identity=identity_of(os.getpid()) or "",
        port=server.server_address[1],
        command=("python", "--enable-lora"),
        log="",
        device="cuda",
        max_model_len=512,
        max_num_seqs=8,
        started=0.0,
        keep=True,
        path=str(base),
        adapters={},
    )
    record = replace(record, **changed)
    serverstate.write(record)
    return record


def test_an_adapter_is_loaded_and_noted_and_the_next_replaces_it(server: Server, tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    adapter = tiny_adapter(tmp_path / "mine")
    noted(server, base)
    ref = resolve(str(base), adapter=adapter, merge=False)
    record = server_for(ref)
    assert record is not None and record.name == "tiny-1"
    now = hand_over(ref, record)
    assert server.asked == [
        {
            "path": "/v1/load_lora_adapter",
            "type": "application/json",
            "lora_name": "base+mine",
            "lora_path": str(adapter.resolve()),
        }
    ]
    assert now.adapters == {"base+mine": ref.revision} == (serverstate.read("tiny-1") or now).adapters
    # Trained again: the same name, other weights.
    import shutil

    shutil.rmtree(adapter)
    tiny_adapter(adapter, seed=9)
    again = resolve(str(base), adapter=adapter, merge=False)
    assert again.revision != ref.revision
    assert hand_over(again, now).adapters == {"base+mine": again.revision}
    assert server.asked[1]["load_inplace"] is True


def test_only_a_living_server_of_the_same_base_that_applies_adapters_will_do(server: Server, tmp_path: Path) -> None:
    base, other = tiny_base(tmp_path / "base"), tiny_base(tmp_path / "other", seed=4)
    ref = resolve(str(base), adapter=tiny_adapter(tmp_path / "mine"), merge=False)
    for changed in ({"path": str(other)}, {"command": ("python",)}, {"identity": "somebody else"}):
        noted(server, base, **changed)
        assert server_for(ref) is None
    noted(server, base)
    assert server_for(ref) is not None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((400, '{"error": {"message": "LoRA rank 64 is greater than max_lora_rank 16"}}'), "rank 64 is greater"),
        ((404, '{"detail":"Not Found"}'), "404"),
        ((500, ""), "no reason given"),
    ],
)
def test_a_refusal_is_told(server: Server, tmp_path: Path, answer: tuple[int, str], said: str) -> None:
    base = tiny_base(tmp_path / "base")
    record = noted(server, base)
    server.answer = answer
    ref = resolve(str(base), adapter=tiny_adapter(tmp_path / "mine"), merge=False)
    with pytest.raises(EngineError, match=said) as caught:
        hand_over(ref, record)
    assert "quorum models stop tiny-1" in caught.value.hint
    assert (serverstate.read("tiny-1") or record).adapters == {}


def test_a_server_that_does_not_answer(server: Server, tmp_path: Path) -> None:
    from agent.models.health import free_port

    base = tiny_base(tmp_path / "base")
    ref = resolve(str(base), adapter=tiny_adapter(tmp_path / "mine"), merge=False)
    with pytest.raises(EngineError, match="does not answer"):
        hand_over(ref, noted(server, base, port=free_port()))


def test_vllm_has_this_endpoint_and_these_fields() -> None:
    """Read from vLLM's source, since importing it takes half a minute."""
    import importlib.util
    import re

    found = importlib.util.find_spec("vllm")
    if found is None or not found.submodule_search_locations:
        pytest.skip("vLLM is not installed")
    folder = Path(found.submodule_search_locations[0]) / "entrypoints" / "serve" / "lora"
    assert '"/v1/load_lora_adapter"' in (folder / "api_router.py").read_text()
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" in (folder / "api_router.py").read_text()
    protocol = (folder / "protocol.py").read_text()
    for name in ("lora_name", "lora_path", "load_inplace"):
        assert re.search(rf"^    {name}: ", protocol, re.MULTILINE)
