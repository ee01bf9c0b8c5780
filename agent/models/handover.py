"""Giving a new adapter to a server that is already running."""

from __future__ import annotations

import http.client
import json
from dataclasses import replace

from agent.models import serverstate
from agent.models.registry import ModelRef
from agent.models.serverspec import HOST
from agent.models.serverstate import ServerRecord
from tools.errors import EngineError

SECONDS = 120.0


def server_for(ref: ModelRef) -> ServerRecord | None:
    """A running server that could apply an adapter itself: of the same base, started with ``--enable-lora``."""
    for record in serverstate.records():
        same = ref.base is not None and record.path in (str(ref.base), str(ref.base.resolve()))
        if same and record.alive and "--enable-lora" in record.command:
            return record
    return None


def hand_over(ref: ModelRef, record: ServerRecord) -> ServerRecord:
    """Load an adapter into a running vLLM server, in the place of an older one of its name.

    vLLM's ``POST /v1/load_lora_adapter``; it exists where the server was started
    with ``VLLM_ALLOW_RUNTIME_LORA_UPDATING`` (``build_environment`` does that for
    servers with adapters) and knows ranks up to its ``--max-lora-rank``.

    Args:
        ref: A base with an adapter, not merged.
        record: From ``server_for``.

    Returns:
        The note about the server, which now names the adapter.

    Raises:
        EngineError: The server refuses it or does not answer.
    """
    if ref.adapter is None:
        raise EngineError(f"{ref.name} has no adapter", "hand over a model with an adapter")
    body: dict[str, str | bool] = {"lora_name": ref.served_name, "lora_path": str(ref.adapter.resolve())}
    if ref.served_name in record.adapters:
        body["load_inplace"] = True
    connection = http.client.HTTPConnection(HOST, record.port, timeout=SECONDS)
    try:
        connection.request(
            "POST", "/v1/load_lora_adapter", json.dumps(body), headers={"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        said = answer.read(2**16).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise EngineError(
            f"the server {record.name} does not answer ({error})", "quorum models status says more"
        ) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise EngineError(
            f"the server {record.name} refuses the adapter ({answer.status}: {_message(said)})",
            f"start it again, and it takes the adapter with it: quorum models stop {record.name}",
        )
    with serverstate.changing():
        now = serverstate.read(record.name) or record
        now = replace(now, adapters={**now.adapters, ref.served_name: ref.revision})
        serverstate.write(now)
    return now


def _message(said: str) -> str:
    try:
        data = json.loads(said)
        inner = data.get("error", data)
        said = str(inner.get("message", said)) if isinstance(inner, dict) else str(inner)
    except (ValueError, AttributeError):
        # Not JSON: what it says is shown as it is.
        said = said or "no reason given"
    return " ".join(said.split())[:200]
