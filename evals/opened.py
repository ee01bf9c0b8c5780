"""What stays open while a suite is measured: embedders, and a quorum over engines that others share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.config import ProjectConfig
from agent.engines.protocol import Engine
from agent.extraction.quorum import Quorum
from tools.annotation import LabelSet

if TYPE_CHECKING:
    from tools.demonstrations import Demonstration, Embedder


class Embedders:
    """One embedder a name, loaded when first needed."""

    def __init__(self) -> None:
        self._loaded: dict[str, Embedder] = {}

    def get(self, name: str) -> Embedder:
        """The embedder of a name.

        Raises:
            ModelError: It does not load.
        """
        if name not in self._loaded:
            from tools.demonstrations import SentenceTransformerEmbedder

            self._loaded[name] = SentenceTransformerEmbedder(name)
        return self._loaded[name]


class OpenQuorum:
    """A quorum over engines that stay open, with demonstrations of its own for as long as the block runs.

    Args:
        config: Members and settings.
        labels: The label set.
        engines: Model name to engine.
        shown: The demonstrations; none where empty.
        embedders: Where their embedder comes from.
        index: The folder of their index; made where it is not there.
    """

    def __init__(
        self,
        config: ProjectConfig,
        labels: LabelSet,
        engines: Mapping[str, Engine],
        shown: tuple[Demonstration, ...],
        embedders: Embedders,
        index: Path,
    ) -> None:
        self._config, self._labels, self._engines = config, labels, engines
        self._shown, self._embedders, self._path = shown, embedders, index
        self._index: Any = None

    async def __aenter__(self) -> Quorum:
        source = None
        if self._shown:
            from agent.opening import source_over
            from tools.demonstrations import DemonstrationIndex

            embedder = self._embedders.get(self._config.demonstrations.embedder)
            self._index = DemonstrationIndex.ensured(self._path, embedder, self._shown)
            source = source_over(
                self._index, self._config, self._engines[self._config.members[0].model].count_tokens
            )  # fmt: skip
        return Quorum(self._config, self._labels, self._engines, source)

    async def __aexit__(self, *_: object) -> None:
        if self._index is not None:
            self._index.close()
