from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from agent.engines.constraints import choice, spans_grammar
from agent.engines.langchain_chat import LangChainEngine
from agent.engines.protocol import Completion, Constraint, Engine, FailureKind, Request
from agent.engines.quorum_chat import QuorumChatModel
from agent.engines.scripted import ScriptedEngine
from tools.errors import EngineError


class Canned(BaseChatModel):
    """Answers what it was made with, or raises it."""

    reply: Any
    model_name: str = "canned-1"
    seen: list[tuple[list[BaseMessage], dict[str, Any]]] = []  # noqa: RUF012

    @property
    def _llm_type(self) -> str:
        return "canned"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs) -> ChatResult:
        self.seen.append((messages, kwargs))
        if isinstance(self.reply, Exception):
            raise self.reply
        message = self.reply if isinstance(self.reply, AIMessage) else AIMessage(content=self.reply)
        return ChatResult(generations=[ChatGeneration(message=message)])


def ask(constraint: Constraint | None = None) -> Request:
    return Request((("system", "Be brief."), ("user", "x"), ("assistant", "y"), ("user", "z")), 8, constraint)


def send(model: BaseChatModel, *requests: Request, **options) -> list[Completion]:
    engine = LangChainEngine(model, **options)
    assert isinstance(engine, Engine)
    return asyncio.run(engine.complete(requests))


def test_messages_usage_and_the_end_are_translated() -> None:
    reply = AIMessage(
        content="Oslo",
        usage_metadata={
            "input_tokens": 9,
            "output_tokens": 2,
            "total_tokens": 11,
            "input_token_details": {"cache_read": 4},
        },
        response_metadata={"finish_reason": "length", "logprobs": {"content": [{"token": "Oslo", "logprob": -0.5}]}},
    )
    model = Canned(reply=reply, seen=[])
    (done,) = send(model, ask())
    assert (done.text, done.finish, done.prompt_tokens, done.cached_tokens, done.output_tokens) == (
        "Oslo",
        "length",
        9,
        4,
        2,
    )
    assert done.logprobs[0].logprob == -0.5
    messages, arguments = model.seen[0]
    assert [message.type for message in messages] == ["system", "human", "ai", "human"]
    assert arguments["max_tokens"] == 8


def test_constraints_are_checked_and_wrapping_is_taken_off() -> None:
    grammar = spans_grammar("Anna met Bob")
    assert send(Canned(reply="```\nAnna\nBob\n```"), ask(grammar))[0].text == "Anna\nBob\n"
    assert send(Canned(reply="YES!"), ask(choice(("yes!", "no"))))[0].text == "yes!"
    (wrong,) = send(Canned(reply="Charlie\n"), ask(grammar))
    assert wrong.failure is not None
    assert wrong.failure.kind is FailureKind.BAD_RESPONSE
    model = Canned(reply="x", seen=[])
    (bad,) = send(model, ask(Constraint("grammar", "start: (")))
    assert bad.failure is not None
    assert bad.failure.kind is FailureKind.INVALID_REQUEST
    assert model.seen == []


class StatusError(Exception):
    def __init__(self, status: int, message: str = "no", headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status_code = status
        self.response = type("Response", (), {"status_code": status, "headers": headers or {}})()


class APIConnectionError(Exception):
    pass


class ReadTimeout(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StatusError(429, headers={"Retry-After": "3"}), FailureKind.OVERLOADED),
        (StatusError(500), FailureKind.SERVER),
        (StatusError(401), FailureKind.UNAVAILABLE),
        (StatusError(400, "maximum context length is 10"), FailureKind.CONTEXT_LENGTH),
        (APIConnectionError("refused"), FailureKind.CONNECTION),
        (ConnectionRefusedError("refused"), FailureKind.CONNECTION),
        (ReadTimeout("slow"), FailureKind.TIMEOUT),
        (ValueError("bad"), FailureKind.INVALID_REQUEST),
        (RuntimeError("odd"), FailureKind.SERVER),
    ],
)
def test_errors_of_any_client_become_failures(error: Exception, kind: FailureKind) -> None:
    (done,) = send(Canned(reply=error), ask())
    assert done.failure is not None
    assert done.failure.kind is kind
    if kind is FailureKind.OVERLOADED:
        assert done.failure.retry_after == 3.0


def test_a_model_that_hangs_and_one_that_refuses() -> None:
    class Slow(Canned):
        async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs) -> ChatResult:
            await asyncio.sleep(30)
            raise AssertionError

    (slow,) = send(Slow(reply="x"), ask(), timeout=0.1)
    assert slow.failure is not None
    assert slow.failure.kind is FailureKind.TIMEOUT
    refusal = AIMessage(content="", response_metadata={"finish_reason": "content_filter"})
    (refused,) = send(Canned(reply=refusal), ask())
    assert refused.failure is not None
    assert refused.failure.kind is FailureKind.REFUSED


def test_an_engine_is_a_chat_model() -> None:
    model = QuorumChatModel(engine=ScriptedEngine(lambda r: f"{r.messages[-1][1]}!{r.max_tokens}!{bool(r.constraint)}"))
    answer = model.invoke([("system", "s"), ("human", "hello")])
    assert answer.text == "hello!512!False"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] > 0
    bound = model.bind(constraint=choice(("a",)), max_tokens=3, stop=["!"])
    assert asyncio.run(bound.ainvoke("hi")).text == "hi"
    # And through our own engine again.
    assert send(model, ask())[0].text == "z!8!False"
    failing = QuorumChatModel(engine=ScriptedEngine(lambda r: Completion.failed(FailureKind.SERVER, "dead")))
    with pytest.raises(EngineError, match="server: dead"):
        failing.invoke("x")
