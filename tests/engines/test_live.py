"""The same prompts through a real vLLM server, vLLM in this process, and transformers."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import pytest

from agent.engines.checking import mismatch
from agent.engines.constraints import choice, choice_probabilities, spans_grammar, typed_grammar
from agent.engines.protocol import Completion, Constraint, Engine, FailureKind, Request
from agent.engines.transformers_local import TransformersEngine
from agent.engines.vllm_server import VllmServerEngine

TEXTS = (
    "Angela Merkel met Emmanuel Macron in Paris on Tuesday.",
    "Aspirin lowers fever in children and adults.",
    'She said "never" to Grünheide & Söhne.',
)
LABELS = ("a", "b", "c", "n")
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["n"],
        "additionalProperties": False,
    }
)


def prompts() -> list[Request]:
    found = []
    for text in TEXTS:
        system = ("system", "List the named entities of the text, one a line. A dash if there is none.")
        found.append(Request((system, ("user", text)), 16, spans_grammar(text)))
        system = (
            "system",
            "Which type has the mention?\na person\nb place\nc organisation\nn none\nAnswer with a letter.",
        )
        user = ("user", f"Text: {text}\nMention: {text.split()[0]}")
        found.append(Request((system, user), 1, choice(LABELS), logprobs=8))
        found.append(
            Request((("user", f"In which year did this happen? {text}"),), 8, Constraint("regex", "(19|20)[0-9]{2}"))
        )
    found.append(Request((("user", f"Label the names: {TEXTS[0]}"),), 16, typed_grammar(TEXTS[0], ("PER", "LOC"))))
    found.append(Request((("user", "A digit as JSON"),), 16, Constraint("json_schema", SCHEMA)))
    found.append(Request((("user", "Say hello."),), 6))
    return found


def check(requests: list[Request], done: list[Completion]) -> None:
    """What must hold whatever the model says."""
    for request, one in zip(requests, done, strict=True):
        assert one.failure is None, one.failure
        assert 0 < one.output_tokens <= request.max_tokens
        assert one.prompt_tokens > 10
        assert one.latency > 0
        if request.constraint is None:
            continue
        assert mismatch(request.constraint, one.text, cut=one.finish == "length") == ""
        if request.logprobs:
            found = choice_probabilities(one, LABELS)
            assert sum(found.values()) == pytest.approx(1.0)
            # Masked and renormalised: what was not allowed has no mass.
            assert {token for token, _ in one.logprobs[0].top} == set(LABELS)
            assert max(found, key=found.__getitem__) == one.text
            assert one.finish == "stop"


def run(engine: Engine, requests: list[Request]) -> list[Completion]:
    return asyncio.run(engine.complete(requests))


@pytest.fixture(scope="module")
def local(request) -> Iterator[TransformersEngine]:
    engine = TransformersEngine(_folder(request), batch_size=8, device="cpu")
    yield engine
    asyncio.run(engine.close())


def _folder(request) -> str:
    """The model that the session's server serves, where one runs; the starter otherwise."""
    if "vllm_endpoint" in request.fixturenames or any(
        "vllm_endpoint" in item.fixturenames for item in request.session.items
    ):
        endpoint = request.getfixturevalue("vllm_endpoint")
        if endpoint.tokenizer is not None:
            return str(endpoint.tokenizer)
    return str(request.getfixturevalue("starter_path"))


@pytest.fixture(scope="module")
def local_answers(local) -> list[Completion]:
    return run(local, prompts())


@pytest.fixture
def server(vllm_endpoint) -> VllmServerEngine:
    return VllmServerEngine(vllm_endpoint.url, vllm_endpoint.served_name, tokenizer_path=vllm_endpoint.tokenizer)


@pytest.mark.transformers
def test_transformers_keeps_every_constraint(local_answers) -> None:
    check(prompts(), local_answers)


CIRCLE = Request((("user", "Say it."),), 240, Constraint("regex", "(Oslo by night, )+"), stop_loops=True)
FREE = replace(CIRCLE, stop_loops=False)


def check_circles(engine: Engine) -> None:
    """An answer that can only repeat itself ends early where that was asked for, and only there."""
    stopped, ran = run(engine, [CIRCLE, FREE])
    assert (stopped.finish, ran.finish) == ("repetition", "length")
    assert ran.output_tokens == 240 and stopped.output_tokens < 60
    assert stopped.text.startswith("Oslo by night, Oslo by night, Oslo by night")


@pytest.mark.transformers
def test_transformers_stops_going_round_in_circles(local) -> None:
    check_circles(local)


@pytest.mark.vllm
def test_vllm_stops_going_round_in_circles(server) -> None:
    check_circles(server)


@pytest.mark.transformers
def test_transformers_tells_what_it_cannot_answer(local) -> None:
    bad = Request((("user", "x"),), 4, Constraint("grammar", "start: ("))
    long = Request((("user", "word " * 9000),), 4)
    broken = Request((("user", "\ud800"),), 4)
    fine = Request((("user", "Say yes or no."),), 1, choice(("yes", "no")))
    kinds = [one.failure and one.failure.kind for one in run(local, [bad, long, broken, fine])]
    assert kinds == [FailureKind.INVALID_REQUEST, FailureKind.CONTEXT_LENGTH, FailureKind.INVALID_REQUEST, None]


@pytest.mark.transformers
def test_transformers_stops_when_nobody_waits(local) -> None:
    async def go() -> None:
        long = Request((("user", "Count to a million."),), 4000, Constraint("regex", "(1 ){4000}"))
        task = asyncio.create_task(local.complete([long]))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The thread is free again within a token, not after thousands.
        (done,) = await asyncio.wait_for(local.complete([Request((("user", "Hi"),), 1)]), 60)
        assert done.failure is None

    asyncio.run(go())


@pytest.mark.vllm
def test_the_server_keeps_every_constraint(server) -> None:
    assert server.context_tokens > 1000
    done = run(server, prompts())
    check(prompts(), done)


@pytest.mark.vllm
def test_a_bad_grammar_does_not_kill_the_server(server) -> None:
    bad = Constraint("grammar", "%llguidance {}\nstart: (")
    good = Request((("user", "Yes or no?"),), 1, choice(("yes", "no")))

    async def go() -> list[Completion]:
        done = await server.complete([Request((("user", "x"),), 4, bad), good])
        await server.close()
        return done

    first, second = asyncio.run(go())
    assert first.failure is not None
    assert first.failure.kind is FailureKind.INVALID_REQUEST
    assert second.text in ("yes", "no")
    # Past our own check the server still lives.
    body = {"model": server.model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 4}
    body["structured_outputs"] = {"grammar": bad.value}
    request = urllib.request.Request(
        f"{server.url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(request, timeout=60)
    assert run(server, [good])[0].text in ("yes", "no")


@pytest.mark.vllm
def test_what_the_server_turns_down_is_told_apart(server) -> None:
    long = Request((("user", "word " * 20000),), 4)
    nul = Request((("user", "a\x00b \x1b[31m {{ x }} 🙂"),), 2)
    absent = VllmServerEngine(server.url, "absent", context_tokens=100)
    done = run(server, [long, nul])
    assert done[0].failure is not None
    assert done[0].failure.kind is FailureKind.CONTEXT_LENGTH
    assert done[1].failure is None
    (unknown,) = run(absent, [nul])
    assert unknown.failure is not None
    assert unknown.failure.kind is FailureKind.UNAVAILABLE


@pytest.mark.vllm
def test_a_batch_answers_as_single_requests_do(server, vllm_endpoint) -> None:
    requests = [request for request in prompts() if request.logprobs]
    batched = VllmServerEngine(vllm_endpoint.url, vllm_endpoint.served_name, context_tokens=100, batch_size=3)
    one, many = run(server, requests), run(batched, requests)
    check(requests, many)
    assert sum(done.prompt_tokens for done in one) == sum(done.prompt_tokens for done in many)
    for a, b in zip(one, many, strict=True):
        mine, theirs = choice_probabilities(a, LABELS), choice_probabilities(b, LABELS)
        assert all(abs(mine[label] - theirs[label]) < 0.1 for label in LABELS)


def weighed(requests: list[Request]) -> list[Request]:
    """The same with alternatives for every token of an answer under a constraint."""
    return [replace(request, logprobs=8) if request.constraint else request for request in requests]


def agreement(requests: list[Request], first: list[Completion], second: list[Completion]) -> None:
    """Equal texts in at least nine of ten cases, and probabilities that are close.

    Args:
        requests: What was asked.
        first: Answers to ``weighed(requests)``.
        second: Another engine's.
    """
    held = [(a, b) for request, a, b in zip(requests, first, second, strict=True) if request.constraint]
    # Rounding differs between the two; where the two best tokens are within it, either may win.
    equal = sum(a.text == b.text or _tie(a, b.text) for a, b in held)
    assert equal >= 0.9 * len(held), [(a.text, b.text, a.logprobs[:2]) for a, b in held if a.text != b.text]
    for request, a, b in zip(requests, first, second, strict=True):
        assert a.prompt_tokens == b.prompt_tokens
        if request.logprobs:
            mine, theirs = choice_probabilities(a, LABELS), choice_probabilities(b, LABELS)
            assert max(abs(mine[label] - theirs[label]) for label in LABELS) < 0.08


NEAR = 0.35
"""Of two log-probabilities; what bf16 makes of prompts that the starter was not trained on."""


def _tie(one: Completion, other: str) -> bool:
    """Whether, where another answer parts from this one, its token was nearly as probable."""
    written = ""
    for token in one.logprobs:
        if not other.startswith(written + token.token):
            return any(
                text and other.startswith(written + text) and token.logprob - logprob < NEAR
                for text, logprob in token.top
            )
        written += token.token
    return False


@pytest.mark.vllm
@pytest.mark.transformers
def test_transformers_answers_as_the_server_does(server, local_answers) -> None:
    agreement(prompts(), run(server, weighed(prompts())), local_answers)


@pytest.mark.vllm
@pytest.mark.slow
def test_vllm_in_this_process_answers_as_the_server_does(server, request, monkeypatch) -> None:
    from agent.engines.vllm_offline import VllmOfflineEngine

    for name, value in {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)
    engine = VllmOfflineEngine(_folder(request), context_tokens=2048, engine_options={"enforce_eager": True})
    try:
        # Two event loops, one after the other, and then two calls side by side.
        done = run(engine, prompts())
        check(prompts(), done)
        agreement(prompts(), run(server, weighed(prompts())), done)
        bad = Request((("user", "x"),), 4, Constraint("grammar", "start: ("))
        long = Request((("user", "word " * 9000),), 4)
        kinds = [one.failure and one.failure.kind for one in run(engine, [bad, long])]
        assert kinds == [FailureKind.INVALID_REQUEST, FailureKind.CONTEXT_LENGTH]

        async def both() -> list[list[Completion]]:
            return await asyncio.gather(engine.complete(prompts()[:2]), engine.complete(prompts()[2:4]))

        assert [one.failure for part in asyncio.run(both()) for one in part] == [None] * 4
    finally:
        asyncio.run(engine.close())
        asyncio.run(engine.close())
