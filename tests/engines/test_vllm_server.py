from __future__ import annotations

import asyncio
import time

import orjson
import pytest

from agent.engines.constraints import choice, spans_grammar
from agent.engines.protocol import Completion, Constraint, FailureKind, Request
from agent.engines.vllm_server import VllmServerEngine
from tools.errors import EngineError


def ask(text: str = "x", constraint: Constraint | None = None, **more) -> Request:
    return Request((("user", text),), 8, constraint, **more)


def send(url: str, *requests: Request, **options) -> list[Completion]:
    async def go() -> list[Completion]:
        engine = VllmServerEngine(url, "m", context_tokens=100, timeout=options.pop("timeout", 5.0), **options)
        try:
            return await engine.complete(requests)
        finally:
            await engine.close()
            await engine.close()

    return asyncio.run(go())


def kind(completion: Completion) -> FailureKind | None:
    return completion.failure.kind if completion.failure else None


def test_an_answer_is_read_whole(fault_server, make_answer) -> None:
    fault_server.replies = [make_answer("Oslo")]
    (done,) = send(fault_server.url, ask("Where?"), api_key="secret")
    assert (done.text, done.finish, done.prompt_tokens, done.cached_tokens, done.output_tokens) == (
        "Oslo",
        "stop",
        7,
        2,
        3,
    )
    assert done.latency > 0
    assert fault_server.paths == ["/v1/chat/completions"]
    assert "Bearer secret" in fault_server.headers[0]
    sent = fault_server.requests[0]
    assert sent["messages"] == [{"role": "user", "content": "Where?"}]
    assert (sent["temperature"], sent["max_tokens"], sent["model"]) == (0, 8, "m")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"not json at all", FailureKind.BAD_RESPONSE),
        (b"[]", FailureKind.BAD_RESPONSE),
        (b"{}", FailureKind.BAD_RESPONSE),
        (b'{"choices": []}', FailureKind.BAD_RESPONSE),
        (b'{"choices": [{"message": {"content": 3}}]}', FailureKind.BAD_RESPONSE),
        (b'{"choices": [{"message": "hello"}]}', FailureKind.BAD_RESPONSE),
        (b'{"choices": [{"message": {"content": "x"}}], "usage": [1]}', FailureKind.BAD_RESPONSE),
        (b"", FailureKind.BAD_RESPONSE),
    ],
)
def test_garbage_is_a_bad_response(fault_server, make_http, body: bytes, expected: FailureKind) -> None:
    fault_server.replies = [make_http(200, body)]
    assert kind(send(fault_server.url, ask())[0]) is expected


def test_statuses_are_told_apart(fault_server, make_http) -> None:
    fault_server.replies = [make_http(500, b"boom"), make_http(429, b"slow down", "Retry-After: 9")]
    assert kind(send(fault_server.url, ask())[0]) is FailureKind.SERVER
    (limited,) = send(fault_server.url, ask())
    assert kind(limited) is FailureKind.OVERLOADED
    assert limited.failure is not None
    assert limited.failure.retry_after == 9.0


def test_half_an_answer_nothing_and_no_http(fault_server, make_answer, make_http) -> None:
    whole = make_answer("ok")
    fault_server.replies = [whole[:-20], b"", b"", b"SSH-2.0-OpenSSH_9.6\r\n", make_http(200, b"{}", length=5000)]
    assert kind(send(fault_server.url, ask())[0]) is FailureKind.CONNECTION
    assert kind(send(fault_server.url, ask())[0]) is FailureKind.CONNECTION
    assert kind(send(fault_server.url, ask())[0]) is FailureKind.BAD_RESPONSE
    assert kind(send(fault_server.url, ask())[0]) is FailureKind.CONNECTION


def test_a_server_that_hangs_runs_into_the_timeout(fault_server) -> None:
    fault_server.replies = [None]
    start = time.perf_counter()
    (done,) = send(fault_server.url, ask(), timeout=0.3)
    assert kind(done) is FailureKind.TIMEOUT
    assert time.perf_counter() - start < 3


def test_nobody_listens(closed_port) -> None:
    assert kind(send(f"http://127.0.0.1:{closed_port}", ask())[0]) is FailureKind.CONNECTION


def test_a_bad_constraint_or_text_is_never_sent(fault_server, make_answer) -> None:
    fault_server.replies = [make_answer("ok")]
    bad = ask(constraint=Constraint("grammar", "start: ("))
    done = send(fault_server.url, bad, ask("lone \ud800"), ask("fine"))
    assert [kind(one) for one in done] == [FailureKind.INVALID_REQUEST, FailureKind.INVALID_REQUEST, None]
    assert len(fault_server.requests) == 1


def test_answers_are_held_to_their_constraint(fault_server, make_answer) -> None:
    fault_server.replies = [make_answer("maybe")]
    (done,) = send(fault_server.url, ask(constraint=choice(("yes", "no"))))
    assert kind(done) is FailureKind.BAD_RESPONSE
    assert done.prompt_tokens == 7
    grammar = spans_grammar("Anna met Bob")
    fault_server.replies = [make_answer("Charlie\n"), make_answer("Anna\n")]
    assert kind(send(fault_server.url, ask(constraint=grammar))[0]) is FailureKind.BAD_RESPONSE
    assert send(fault_server.url, ask(constraint=grammar))[0].text == "Anna\n"


def test_a_server_that_ignores_grammars_is_found_out_and_checked_from_then_on(fault_server, make_answer) -> None:
    fault_server.replies = [make_answer("Anna\n")] * 63 + [make_answer("Charlie\n")]

    async def go() -> list[FailureKind | None]:
        engine = VllmServerEngine(fault_server.url, "m", context_tokens=100)
        found = []
        for _ in range(70):
            found.append(kind((await engine.complete([ask(constraint=spans_grammar("Anna met Bob"))]))[0]))
        await engine.close()
        return found

    found = asyncio.run(go())
    # The 64th is one of those that are checked; all after it are.
    assert found == [None] * 63 + [FailureKind.BAD_RESPONSE] * 7


def test_what_other_servers_do_not_enforce_is_unwrapped_or_refused(fault_server, make_answer) -> None:
    fault_server.replies = [make_answer("Yes."), make_answer("perhaps"), make_answer("- Anna\n- Bob")]
    yes = choice(("yes", "no"))
    assert send(fault_server.url, ask(constraint=yes), structured="openai")[0].text == "yes"
    assert kind(send(fault_server.url, ask(constraint=yes), structured="openai")[0]) is FailureKind.BAD_RESPONSE
    grammar = spans_grammar("Anna met Bob")
    assert send(fault_server.url, ask(constraint=grammar), structured="none")[0].text == "Anna\nBob\n"


def test_a_whole_choice_is_not_cut(fault_server, make_answer) -> None:
    fault_server.replies = [make_answer("a", "length")]
    assert send(fault_server.url, ask(constraint=choice(("a", "b"))))[0].finish == "stop"
    assert send(fault_server.url, ask(constraint=choice(("ab", "b"))))[0].finish == "length"


def test_equal_requests_share_a_batch_and_a_404_falls_back(fault_server, make_answer, make_http) -> None:
    labels = choice(("a", "b"))
    content = [{"token": "a", "logprob": -0.1, "top_logprobs": []}]
    body = {
        "choices": [
            {"index": at, "message": {"content": "ab"[at]}, "finish_reason": "stop", "logprobs": {"content": content}}
            for at in (1, 0)
        ],
        "usage": {"prompt_tokens": 31, "completion_tokens": 2},
    }
    fault_server.replies = [make_http(200, orjson.dumps(body))]
    done = send(fault_server.url, ask("1", labels, logprobs=2), ask("2", labels, logprobs=2), batch_size=8)
    assert [one.text for one in done] == ["a", "b"]
    assert sum(one.prompt_tokens for one in done) == 31
    assert [one.output_tokens for one in done] == [1, 1]
    assert fault_server.paths == ["/v1/chat/completions/batch"]
    assert [len(sent) for sent in fault_server.requests[0]["messages"]] == [1, 1]

    fault_server.paths.clear()
    fault_server.replies = [make_http(404, b"{}"), make_answer("a")]
    done = send(fault_server.url, ask("1", labels), ask("2", labels), batch_size=8)
    assert [one.text for one in done] == ["a", "a"]
    assert fault_server.paths == ["/v1/chat/completions/batch"] + ["/v1/chat/completions"] * 2


def test_the_context_is_asked_of_the_server(fault_server, make_http) -> None:
    listed = {"data": [{"id": "m", "max_model_len": 4321}, {"id": "other"}]}
    fault_server.replies = [make_http(200, orjson.dumps(listed))]
    assert VllmServerEngine(fault_server.url, "m").context_tokens == 4321
    assert VllmServerEngine(f"{fault_server.url}/v1/", "other").context_tokens == 4096
    with pytest.raises(EngineError, match="does not serve 'absent'") as caught:
        VllmServerEngine(fault_server.url, "absent").check()
    assert "m, other" in caught.value.hint


def test_a_server_that_is_none_is_told_in_a_line(fault_server, make_http, closed_port) -> None:
    fault_server.replies = [make_http(401, b""), make_http(200, b"<html>")]
    with pytest.raises(EngineError, match="answers 401"):
        VllmServerEngine(fault_server.url, "m").check()
    with pytest.raises(EngineError, match="no OpenAI-compatible"):
        VllmServerEngine(fault_server.url, "m").check()
    with pytest.raises(EngineError, match="no server at"):
        VllmServerEngine(f"http://127.0.0.1:{closed_port}", "m").check()
    for wrong in ("127.0.0.1:8000", "ftp://x/", "http://", ""):
        with pytest.raises(EngineError, match="not a URL"):
            VllmServerEngine(wrong, "m")


def test_the_revision_tells_servers_options_and_weights_apart() -> None:
    made = [
        VllmServerEngine("http://a", "m"),
        VllmServerEngine("http://b", "m"),
        VllmServerEngine("http://a", "m", revision="abc"),
        VllmServerEngine("http://a", "m", revision="abc", template_options={"enable_thinking": False}),
    ]
    assert len({engine.model_revision for engine in made}) == 4
    elsewhere = VllmServerEngine("http://b", "m", revision="abc")
    assert elsewhere.model_revision == made[2].model_revision


def test_no_more_requests_are_open_than_allowed(fault_server) -> None:
    fault_server.replies = [None]

    async def go() -> None:
        engine = VllmServerEngine(fault_server.url, "m", context_tokens=9, max_in_flight=3, timeout=5)
        task = asyncio.create_task(engine.complete([ask(str(at)) for at in range(10)]))
        await asyncio.sleep(0.4)
        assert len(fault_server.requests) == 3
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await engine.close()

    asyncio.run(go())


def test_kept_connections_that_turn_out_closed_are_asked_again_on_new_ones(make_answer) -> None:
    """What happens when the loop was busy between choosing a kept connection and writing on it."""
    opened = asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened, asked
        opened += 1
        for turn in (1, 2):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            asked += 1
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            if turn == 1:
                writer.write(make_answer("Oslo").replace(b"Connection: close\r\n", b""))
                await writer.drain()
        # The second question on a connection is never answered.
        writer.close()

    async def go() -> list[Completion]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        engine = VllmServerEngine(f"http://127.0.0.1:{port}", "m", context_tokens=100, timeout=5.0)
        try:
            first = await engine.complete([ask(str(number)) for number in range(20)])
            return first + await engine.complete([ask(str(number)) for number in range(20)])
        finally:
            await engine.close()
            server.close()

    done = asyncio.run(go())
    assert [completion.text for completion in done] == ["Oslo"] * 40
    assert opened == 40 and asked == 60, "twenty questions were asked twice"


def test_a_server_that_always_hangs_up_is_told_as_it_is() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def go() -> Completion:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        engine = VllmServerEngine(f"http://127.0.0.1:{port}", "m", context_tokens=100, timeout=5.0)
        try:
            return (await engine.complete([ask()]))[0]
        finally:
            await engine.close()
            server.close()

    assert kind(asyncio.run(go())) is FailureKind.CONNECTION
