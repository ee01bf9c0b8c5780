"""Where the engines of an evaluation come from: the members' own models, or whatever a caller has."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

from agent.config import ProjectConfig
from agent.engines.cache import ResponseCache
from agent.engines.protocol import Engine
from agent.runs.progress import Observer

if TYPE_CHECKING:
    from agent.models.serve import Death


class Models(Protocol):
    """Serves what members name."""

    def revisions(self, config: ProjectConfig) -> dict[str, str]:
        """Model name to what identifies its weights and what runs it; nothing is started."""
        ...

    def open(
        self, config: ProjectConfig, cache: ResponseCache, watch: Observer
    ) -> AbstractAsyncContextManager[dict[str, Engine]]:
        """Serve a configuration's models for as long as the block runs, answers kept in the cache."""
        ...


class OwnModels:
    """The members' own models, or one running server that serves them all.

    Args:
        at: URL of that server; None starts what is needed.
    """

    def __init__(self, at: str | None = None) -> None:
        self._at = at
        self.deaths: list[Death] = []

    def revisions(self, config: ProjectConfig) -> dict[str, str]:
        """Revision of the weights and the kind of engine; the same weights answer a little differently elsewhere."""
        if self._at is not None:
            from agent.models.registry import resolve

            revision = resolve(self._at).revision
            return {member.model: f"{revision} server" for member in config.members}
        from agent.opening import models_of

        return {use.name: f"{use.ref.revision} {use.engine}" for use in models_of(config)}

    def open(
        self, config: ProjectConfig, cache: ResponseCache, watch: Observer
    ) -> AbstractAsyncContextManager[dict[str, Engine]]:
        """Start, or find running, what is needed."""
        from agent.opening import open_engines

        def died(death: Death) -> None:
            self.deaths.append(death)
            watch.note(f"a model server has ended: {death}")

        return open_engines(
            config,
            cache=cache,
            models_at=self._at,
            report=watch.note,
            on_death=died,
        )
