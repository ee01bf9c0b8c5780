"""The moving parts of a project's campaign: its models, its Chroma folder, its pool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from agent.campaign.choosing import POOL_FOLDER, StoreChooser
from agent.campaign.driver import Parts, Session, open_campaign
from agent.campaign.indexing import StoreIndexer
from agent.campaign.oracle import Oracle
from agent.campaign.predicting import OpenEngines, StorePredictor
from agent.campaign.services import Settings
from agent.campaign.settings import campaign_identity
from agent.campaign.training import ProjectTrainer
from agent.config import ProjectConfig
from agent.runs.progress import Observer, Silent
from tools.annotation import LabelSet
from tools.store import Store

if TYPE_CHECKING:
    from agent.models.serve import Death
    from tools.demonstrations import Embedder


@contextmanager
def project_campaign(
    config: ProjectConfig,
    store: Store,
    settings: Settings,
    *,
    labels: LabelSet | None = None,
    oracle: Oracle | None = None,
    observer: Observer | None = None,
    annotator: str = "person",
    fresh: bool = False,
    engines: OpenEngines | None = None,
    embedder: Embedder | None = None,
    models_at: str | None = None,
) -> Iterator[Session]:
    """A project's campaign, for as long as the block runs; models are started when something is to be extracted.

    Args:
        config: The project's configuration.
        store: Its store, open for writing.
        settings: What the person asks for.
        labels: The label set; the project's own by default.
        oracle: Answers instead of a person.
        observer: Shown what happens.
        annotator: In whose name answers without a name are recorded.
        fresh: Begin another campaign.
        engines: Opens the members' engines; the project's models by default.
        embedder: Embeds documents and demonstrations; the project's by default.
        models_at: URL of a running server that serves every member.

    Raises:
        QuorumError: See ``open_campaign``.
    """
    watcher = observer or Silent()
    label_set = labels or config.label_set()

    @lru_cache(maxsize=1)
    def embedding() -> Embedder:
        if embedder is not None:
            return embedder
        from tools.demonstrations import SentenceTransformerEmbedder

        return SentenceTransformerEmbedder(config.demonstrations.embedder, root=config.root)

    def died(death: Death) -> None:
        watcher.note(f"a model server has ended: {death}")

    def project_engines(settings: ProjectConfig) -> Any:
        from agent.engines.cache import StoreCache
        from agent.opening import open_engines

        cache = StoreCache(store) if config.run.cache != "off" else None
        return open_engines(settings, cache=cache, models_at=models_at, report=watcher.note, on_death=died)

    predictors: list[StorePredictor] = []
    sessions: list[Session] = []

    def parts(identity: Mapping[str, Any]) -> Parts:
        predictor = StorePredictor(config, label_set, store, identity, embedding, engines or project_engines, watcher)
        predictors.append(predictor)
        folder = config.store_path.parent / POOL_FOLDER

        def registered() -> None:
            fresh = ProjectConfig.load(config.root)
            changed = campaign_identity(fresh, label_set)
            predictor.use(fresh, changed)
            for session in sessions:
                session.services.identity = changed

        return Parts(
            chooser=StoreChooser(store, settings, embedding, folder, watcher),
            indexer=StoreIndexer(store, label_set, config.chroma_path, embedding),
            predictor=predictor,
            trainer=ProjectTrainer(config.root, registered, watcher),
        )

    try:
        with open_campaign(
            config,
            label_set,
            store,
            settings,
            make=parts,
            oracle=oracle,
            observer=watcher,
            annotator=annotator,
            fresh=fresh,
        ) as session:
            sessions.append(session)
            yield session
    finally:
        for predictor in predictors:
            predictor.close()
