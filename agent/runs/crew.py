"""The quorum of a project as a run meets it: named at once, started only when there is work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config import ProjectConfig
from agent.runs.progress import Observer
from agent.runs.session import CountingExtractor
from tools.annotation.labels import LabelSet
from tools.store import Store

if TYPE_CHECKING:
    from agent.engines.cache import ResponseCache
    from agent.models.serve import Death
    from tools.demonstrations import Demonstration


@dataclass(frozen=True)
class QuorumCrew:
    """A ``Crew`` of the configured members.

    Attributes:
        config: The configuration.
        labels: The label set.
        gold: A file of gold to show as demonstrations; None shows what the
            project's own index holds, where there is one.
        index: The folder in which ``gold`` is indexed.
        project: Whether there is a project, whose store may keep answers.
        deaths: The servers of ours that died while this crew worked.
    """

    config: ProjectConfig
    labels: LabelSet
    gold: Path | None = None
    index: Path | None = None
    project: bool = False
    deaths: list[Death] = field(default_factory=list, init=False, repr=False, compare=False)
    _shown: list[Demonstration] = field(default_factory=list, init=False, repr=False, compare=False)

    def revisions(self) -> Mapping[str, str]:
        """Model name to revision, looked up without starting anything."""
        from agent.opening import models_of

        return {use.name: use.ref.revision for use in models_of(self.config)}

    def demonstrations(self) -> str:
        """A hash of what may be shown; empty for nothing.

        Raises:
            InputError: The file of gold cannot be read, or has an unknown label.
            DemonstrationIndexError: The project's index is damaged or of another model.
        """
        return self._digest

    @cached_property
    def _digest(self) -> str:
        if not any(self.config.demonstrations_of(member) for member in self.config.members):
            return ""
        if self.gold is not None:
            from tools.demonstrations.records import content_digest

            self._shown.extend(read_gold(self.gold, self.labels))
            return content_digest(self._shown)
        if not self.config.chroma_path.is_dir():
            return ""
        from tools.demonstrations import DemonstrationIndex, SentenceTransformerEmbedder

        embedder = SentenceTransformerEmbedder(self.config.demonstrations.embedder, root=self.config.root)
        with DemonstrationIndex(self.config.chroma_path, embedder, read_only=True) as index:
            return index.digest

    @asynccontextmanager
    async def open(self, store: Store, observer: Observer) -> AsyncIterator[CountingExtractor]:
        """Serve the models and open the demonstrations for as long as the block runs."""
        from agent.opening import open_quorum

        def died(death: Death) -> None:
            self.deaths.append(death)
            observer.note(f"a model server has ended: {death}")

        index = self._own_index()
        async with open_quorum(
            self.config,
            self.labels,
            index_path=index,
            cache=self._cache(store),
            report=observer.note,
            on_death=died,
        ) as quorum:
            yield quorum

    def _own_index(self) -> Path | None:
        """The folder of this run's own demonstrations, made where it is not what it should be."""
        if self.gold is None or self.index is None or not self.demonstrations():
            return None
        from tools.demonstrations import DemonstrationIndex, SentenceTransformerEmbedder

        embedder = SentenceTransformerEmbedder(self.config.demonstrations.embedder, root=self.config.root)
        DemonstrationIndex.ensured(self.index, embedder, self._shown).close()
        return self.index

    def _cache(self, store: Store) -> ResponseCache | None:
        from agent.engines.cache import StoreCache

        wanted = self.config.run.cache
        return StoreCache(store) if wanted == "on" or (wanted == "auto" and self.project) else None


def read_gold(path: Path, labels: LabelSet) -> list[Demonstration]:
    """The demonstrations in a file of gold: its sentences with their entities.

    Args:
        path: Records with ``text`` and ``entities``; see ``tools.formats``.
        labels: What the entities' labels must be of.

    Raises:
        InputError: The file cannot be read, a record has no entities key, or an
            entity is wrong; the message names it.
    """
    from tools.demonstrations.gold import from_gold
    from tools.errors import InputError
    from tools.formats.gold import gold_spans
    from tools.formats.reading import read_documents

    documents = list(read_documents(path))
    for document in documents:
        if "entities" not in document.meta:
            raise InputError(
                f"{path}: document {document.id!r} has no entities",
                'gold has a list "entities" in every record, empty where nothing is to be found',
            )
    return list(from_gold((document, gold_spans(document, labels)) for document in documents))
