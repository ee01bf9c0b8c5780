"""A project's capabilities as LangChain tools: the resources behind ``tools.toolkit``, opened and closed."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from agent.config import ProjectConfig
from tools.annotation import LabelSet
from tools.store import Store
from tools.toolkit import build_toolkit

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from agent.api import Annotated
    from tools.demonstrations import Retriever

T = TypeVar("T")


@contextmanager
def project_toolkit(
    project_dir: str | Path,
    *,
    write: bool = True,
    annotator: str = "agent",
    models_at: str | None = None,
) -> Iterator[list[BaseTool]]:
    """The tools of a project, for as long as the block runs.

    Models are not started before ``annotate_texts`` is called, and each call
    gives them back; keep servers running with ``quorum models serve`` when
    there are many calls. Without a store or an index the tools that need them
    are left out.

    Args:
        project_dir: The project's folder.
        write: Whether gold may be recorded; the store's writer's lock is held then.
        annotator: In whose name.
        models_at: URL of a server to use for every member.

    Yields:
        The tools.

    Raises:
        QuorumError: The project file or the labels are wrong, another process
            writes the store, or the index was made with another model.
    """
    config = ProjectConfig.load(project_dir)
    labels = config.label_set()
    with ExitStack() as stack:
        store = None
        if config.store_path.is_file():
            store = stack.enter_context(Store.open(config.store_path, read_only=not write))
        built = build_toolkit(
            retriever=_retriever(stack, config),
            store=store,
            annotate=_annotate(config, models_at),
            labels=labels,
            prompts=config.prompts_folder,
            annotator=annotator,
            rng=random.Random(config.run.seed),
        )
        yield [*built, *_campaign_tools(stack, config, store, annotator, models_at)]


def _retriever(stack: ExitStack, config: ProjectConfig) -> Retriever | None:
    if not config.chroma_path.is_dir():
        return None
    from tools.demonstrations import DemonstrationIndex, SentenceTransformerEmbedder, retriever

    embedder = SentenceTransformerEmbedder(config.demonstrations.embedder, root=config.root)
    index = stack.enter_context(DemonstrationIndex(config.chroma_path, embedder, read_only=True))
    return retriever(config.demonstrations.retriever, index)


def _campaign_tools(
    stack: ExitStack,
    config: ProjectConfig,
    store: Store | None,
    annotator: str,
    models_at: str | None,
) -> list[BaseTool]:
    """The campaign's steps, where the project has a campaign and may be written."""
    if store is None or store.read_only or store.campaign() is None:
        return []
    from agent.campaign.driver import settings_for
    from agent.campaign.opening import project_campaign
    from agent.campaign.tools import campaign_tools

    opened = project_campaign(config, store, settings_for(config, store), annotator=annotator, models_at=models_at)
    session = stack.enter_context(opened)

    @contextmanager
    def finder() -> Iterator[Retriever | None]:
        # Opened anew each time: what index_gold changes, an index that is open already does not see.
        with ExitStack() as own:
            yield _retriever(own, config)

    return campaign_tools(session.services, session.campaign, finder)


def _annotate(config: ProjectConfig, models_at: str | None) -> Callable[[Sequence[str], LabelSet], Sequence[Annotated]]:
    def annotate(texts: Sequence[str], labels: LabelSet) -> Sequence[Annotated]:
        return blocking(_annotated(config, texts, labels, models_at))

    return annotate


async def _annotated(
    config: ProjectConfig, texts: Sequence[str], labels: LabelSet, models_at: str | None
) -> list[Annotated]:
    from agent.api import annotate_with
    from agent.opening import open_quorum

    async with open_quorum(config, labels, models_at=models_at) as quorum:
        return await annotate_with(quorum, texts)


def blocking(work: Coroutine[None, None, T]) -> T:
    """Run a coroutine to its end, also where an event loop is already running (in a thread of its own then).

    Args:
        work: The coroutine.

    Returns:
        Its result; what it raises is raised here.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(asyncio.run(work))
        except BaseException as error:  # carried over to the caller's thread
            failed.append(error)

    thread = threading.Thread(target=run, name="quorum-toolkit")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]
