"""The real thing: vLLM with the starter, started by ``agent.models.serve``."""

from __future__ import annotations

import asyncio
import json
import urllib.request

import pytest

from agent.models import serve
from agent.models.health import healthy
from agent.models.serve import Endpoint

pytestmark = pytest.mark.vllm


def test_it_answers_within_a_grammar(vllm_endpoint: Endpoint) -> None:
    grammar = '%llguidance {}\nstart: (SPAN "\\n")*\nSPAN: %regex {"substring_words": "Ada met Bob in Rome."}'
    body = {
        "model": vllm_endpoint.served_name,
        "messages": [{"role": "user", "content": "List the names: Ada met Bob in Rome."}],
        "max_tokens": 24,
        "temperature": 0,
        "structured_outputs": {"grammar": grammar},
        "logprobs": True,
        "top_logprobs": 5,
    }
    request = urllib.request.Request(
        f"{vllm_endpoint.url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        choice = json.load(answer)["choices"][0]
    lines = choice["message"]["content"].split("\n")
    assert all(line in "Ada met Bob in Rome." for line in lines)
    assert choice["logprobs"]["content"]


def test_it_is_noted_and_used_again(vllm_endpoint: Endpoint) -> None:
    if vllm_endpoint.server is None:
        pytest.skip("the server was started elsewhere")
    assert healthy(vllm_endpoint.server.port, vllm_endpoint.served_name)
    assert [each.state for each in serve.status()] == ["ready"]

    async def work() -> Endpoint:
        async with serve.serving(["starter"]) as endpoints:
            return endpoints["starter"]

    again = asyncio.run(work())
    assert again.server is not None
    assert again.server.pid == vllm_endpoint.server.pid
    assert [each.state for each in serve.status()] == ["ready"]
