"""Opening a quorum: models served, engines wrapped, demonstrations indexed; closed in reverse."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agent.config import MemberConfig, ModelConfig, ProjectConfig
from agent.engines.cache import CachedEngine, MemoryCache, ResponseCache
from agent.engines.protocol import Engine
from agent.engines.resilience import Policy, ResilientEngine
from agent.extraction.confidence import Calibrator, mode_of, own_file
from agent.extraction.context import DemonstrationSource
from agent.extraction.quorum import Quorum
from agent.models import serve
from agent.models.devices import available_engine
from agent.models.registry import ModelRef, resolve
from tools.annotation import LabelSet
from tools.demonstrations import Demonstration, DemonstrationIndex

Report = Callable[[str], None]
CALIBRATION_FILE = "calibration.json"
# A request waits its turn behind all others in flight, on a busy laptop for
# minutes. A server that died is noticed by its connection, not by this.
RECENT = 10_000
PATIENCE = Policy(max_in_flight=128, timeout=900.0, deadline=3600.0)


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A model that members name, resolved."""

    name: str
    config: ModelConfig
    ref: ModelRef

    @property
    def engine(self) -> str:
        """What runs it: vllm-server, vllm, transformers or openai."""
        if self.ref.kind == "url":
            return "openai" if self.config.engine == "openai" else "vllm-server"
        if self.config.engine != "auto":
            return self.config.engine
        return "transformers" if available_engine().kind == "transformers" else "vllm-server"


def models_of(config: ProjectConfig, report: Report | None = None) -> list[ModelUse]:
    """The distinct models of a project's members, resolved; nothing is started.

    Raises:
        ModelError: One is unknown, not on this machine, or unsafe.
    """
    uses: dict[str, ModelUse] = {}
    for member in config.members:
        if member.model not in uses:
            uses[member.model] = _use(config, member, report)
    return list(uses.values())


def _use(config: ProjectConfig, member: MemberConfig, report: Report | None) -> ModelUse:
    model = config.model_of(member)
    # On a GPU one server applies the adapters of a base; merged, each would need a server and the base's memory again.
    apart = model.engine in ("auto", "vllm-server") and available_engine().kind == "vllm-cuda"
    ref = resolve(
        model.source,
        adapter=model.adapter,
        merge=not apart,
        alias=member.model,
        context_tokens=model.context_tokens,
        root=config.root,
        known=config.models,
        progress=report,
    )
    return ModelUse(member.model, model, ref)


@asynccontextmanager
async def open_quorum(
    config: ProjectConfig,
    labels: LabelSet,
    *,
    demonstrations: Iterable[Demonstration] | None = None,
    index_path: Path | None = None,
    cache: ResponseCache | None = None,
    calibrator: Calibrator | None = None,
    models_at: str | None = None,
    report: Report | None = None,
    on_death: Callable[[serve.Death], None] | None = None,
) -> AsyncIterator[Quorum]:
    """Serve the members' models, open the demonstrations, and close both at the end.

    Args:
        config: Members and settings.
        labels: The label set.
        demonstrations: Gold to show, indexed for as long as the quorum is open;
            None takes the project's own index where there is one.
        index_path: The folder of an index to use, by default the project's.
        cache: Where answers of the models are kept for good; None keeps the latest in memory.
        calibrator: Instead of the project's or the shipped one.
        models_at: URL of a running server that serves every member, e.g. for tests.
        report: Told what takes its time.
        on_death: Told about a server that dies meanwhile.

    Raises:
        QuorumError: A model, the index or a prompt cannot be used.
    """
    async with AsyncExitStack() as stack:
        opened = open_engines(config, cache=cache, models_at=models_at, report=report, on_death=on_death)
        engines = await stack.enter_async_context(opened)
        count = engines[config.members[0].model].count_tokens
        source = _source(stack, config, demonstrations, index_path, count, report)
        yield Quorum(config, labels, engines, source, calibrator or _calibrator(config))


@asynccontextmanager
async def open_engines(
    config: ProjectConfig,
    *,
    cache: ResponseCache | None = None,
    models_at: str | None = None,
    report: Report | None = None,
    on_death: Callable[[serve.Death], None] | None = None,
) -> AsyncIterator[dict[str, Engine]]:
    """Serve the members' models for as long as the block runs; for many quorums over the same models.

    Args:
        config: Whose members' models are served.
        cache: As in :func:`open_quorum`, like all that follows.
        models_at: URL of a running server that serves every member.
        report: Told what takes its time.
        on_death: Told about a server that dies meanwhile.

    Yields:
        Model name, as members name it, to its engine with all that sits around it.

    Raises:
        QuorumError: A model cannot be used.
    """
    async with AsyncExitStack() as stack:
        engines = await _engines(stack, config, models_at, report, on_death)
        # Even without a lasting cache a short one pays: pre-extraction asks what a
        # member without demonstrations asks again, and corpora repeat sentences.
        kept = cache if cache is not None else MemoryCache(max_entries=RECENT)
        engines = {name: CachedEngine(engine, kept) for name, engine in engines.items()}
        for engine in engines.values():
            stack.push_async_callback(engine.close)
        yield engines


async def _engines(
    stack: AsyncExitStack,
    config: ProjectConfig,
    models_at: str | None,
    report: Report | None,
    on_death: Callable[[serve.Death], None] | None,
) -> dict[str, Engine]:
    if models_at is not None:
        ref = resolve(models_at)
        served = await stack.enter_async_context(serve.serving([ref], progress=report))
        shared = _resilient(_server(served[ref.name], None, "vllm-server"), config)
        return {member.model: shared for member in config.members}
    uses = models_of(config, report)
    by_server = [use for use in uses if use.engine in ("vllm-server", "openai")]
    keys = {use.ref.name: key for use in by_server if (key := _key(use))}
    served = await stack.enter_async_context(
        serve.serving([use.ref for use in by_server], keys=keys, progress=report, on_death=on_death)
    )
    engines: dict[str, Engine] = {}
    for use in uses:
        if use in by_server:
            options = use.config.template_options
            engine = _server(served[use.ref.name], keys.get(use.ref.name), use.engine, options)
        else:
            engine = _in_process(use)
        engines[use.name] = _resilient(engine, config)
    return engines


def _key(use: ModelUse) -> str | None:
    return os.environ.get(use.config.api_key_env) if use.config.api_key_env else None


def _server(
    endpoint: serve.Endpoint, api_key: str | None, kind: str, template_options: Mapping[str, Any] | None = None
) -> Engine:
    from agent.engines.vllm_server import VllmServerEngine

    return VllmServerEngine(
        endpoint.url,
        endpoint.served_name,
        api_key=api_key,
        tokenizer_path=str(endpoint.tokenizer) if endpoint.tokenizer else None,
        context_tokens=endpoint.context_tokens,
        structured="openai" if kind == "openai" else "vllm",
        timeout=PATIENCE.timeout or 900.0,
        max_in_flight=PATIENCE.max_in_flight,
        revision=endpoint.revision,
        template_options=template_options or None,
    )


def _in_process(use: ModelUse) -> Engine:
    if use.engine == "vllm":
        from agent.engines.vllm_offline import VllmOfflineEngine

        return VllmOfflineEngine(
            str(use.ref.path), revision=use.ref.revision, template_options=use.config.template_options or None
        )
    from agent.engines.transformers_local import TransformersEngine

    return TransformersEngine(
        str(use.ref.path), revision=use.ref.revision, template_options=use.config.template_options or None
    )


def _resilient(engine: Engine, config: ProjectConfig) -> Engine:
    return ResilientEngine(engine, PATIENCE, rng=random.Random(config.run.seed))


def _source(
    stack: AsyncExitStack,
    config: ProjectConfig,
    demonstrations: Iterable[Demonstration] | None,
    index_path: Path | None,
    count_tokens: Callable[[str], int],
    report: Report | None,
) -> DemonstrationSource | None:
    if not any(config.demonstrations_of(member) for member in config.members):
        return None
    path = index_path or config.chroma_path
    given = list(demonstrations) if demonstrations is not None else None
    if given is None and not path.is_dir():
        return None
    if given == []:
        return None
    from tools.demonstrations import SentenceTransformerEmbedder

    if report:
        report("opening the demonstrations")
    embedder = SentenceTransformerEmbedder(config.demonstrations.embedder, root=config.root)
    if given is not None and index_path is None:
        path = Path(stack.enter_context(TemporaryDirectory(prefix="quorum-demonstrations-"))) / "chroma"
    # The project's own index is only read: another run or a person labelling may hold its writer's lock.
    index = stack.enter_context(DemonstrationIndex(path, embedder, read_only=given is None))
    if given is not None:
        index.add(given)
    return source_over(index, config, count_tokens)


def source_over(
    index: DemonstrationIndex, config: ProjectConfig, count_tokens: Callable[[str], int]
) -> DemonstrationSource:
    """Demonstrations of an open index, found the way a configuration says.

    Args:
        index: The index; stays the caller's.
        config: Retriever and token budget.
        count_tokens: The tokenizer of the members.
    """
    from agent.extraction.demonstrations import RetrievedDemonstrations
    from tools.demonstrations import retriever

    name = config.demonstrations.retriever
    return RetrievedDemonstrations(
        retriever(name, index),
        needs_spans=name == "span",
        count_tokens=count_tokens,
        budget_tokens=config.demonstrations.budget_tokens,
    )


def _calibrator(config: ProjectConfig) -> Calibrator | None:
    own = own_file(config.chroma_path.parent, mode_of(config.steps))
    return Calibrator.load(own) if config.steps.calibrate and own.is_file() else None
