"""The other way round: any engine as a LangChain chat model."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import ConfigDict

from agent.engines.protocol import Completion, Constraint, Engine, Request
from tools.errors import EngineError

_ROLE = {"human": "user", "ai": "assistant", "system": "system"}


class QuorumChatModel(BaseChatModel):
    """An engine behind LangChain's interface, so that chains and agents can use it.

    A constraint can be bound: ``model.bind(constraint=...)``.

    Attributes:
        engine: What answers.
        max_tokens: The most tokens an answer may take, where the call says nothing.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    engine: Engine
    max_tokens: int = 512

    @property
    def _llm_type(self) -> str:
        return "quorum"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.engine.model_revision, "max_tokens": self.max_tokens}

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        constraint: Constraint | None = None,
        max_tokens: int | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        pairs = tuple((_ROLE.get(message.type, "user"), str(message.text)) for message in messages)
        request = Request(pairs, max_tokens or self.max_tokens, constraint)
        return _result((await self.engine.complete([request]))[0], stop)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return asyncio.run(self._agenerate(messages, stop, None, **kwargs))


def _result(completion: Completion, stop: list[str] | None) -> ChatResult:
    """A completion as LangChain has it.

    Raises:
        EngineError: It is a failure: LangChain has no other way to say so.
    """
    if completion.failure is not None:
        raise EngineError(f"{completion.failure.kind}: {completion.failure.message}")
    text = completion.text
    for word in stop or ():
        text = text.split(word, 1)[0]
    usage = UsageMetadata(
        input_tokens=completion.prompt_tokens,
        output_tokens=completion.output_tokens,
        total_tokens=completion.prompt_tokens + completion.output_tokens,
        input_token_details={"cache_read": completion.cached_tokens},
    )
    message = AIMessage(content=text, usage_metadata=usage, response_metadata={"finish_reason": completion.finish})
    return ChatResult(generations=[ChatGeneration(message=message)])
