"""``quorum status``: how far a project is, and what to do next."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui.commands.common import (
    HERE,
    JsonOption,
    ProjectOption,
    counted,
    load_project,
    note,
    open_store,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from agent.config import ProjectConfig
    from tools.store import Run, Store

RUNS_SHOWN = 5


def status(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """Say how far a project is: documents, gold, runs and their outcomes, and what to do next."""
    config = load_project(project)
    labels = config.label_set()
    found: dict[str, Any] = {
        "project": config.project.name,
        "folder": str(config.root),
        "labels": list(labels.names),
        "members": [member.name for member in config.members],
        "documents": 0,
        "states": {},
        "runs": [],
        "writer": None,
    }
    if config.store_path.exists():
        from tools.store import writer_of

        found["writer"] = writer_of(config.store_path)
        with open_store(config, read_only=True) as store:
            found |= _stored(store, config)
    found["next"] = _next_steps(found, project)
    if as_json:
        print_json(found)
    else:
        _print(found)


def _stored(store: Store, config: ProjectConfig) -> dict[str, Any]:
    from agent.campaign.driver import status_of

    kept = store.label_set()
    campaign = store.campaign()
    stands = None if campaign is None else status_of(store, campaign)
    return {
        "campaign": stands
        and {
            "id": stands.campaign,
            "round": stands.round,
            "labels": stands.labels,
            "waiting": len(stands.waiting),
            "stop": stands.stop,
        },
        "documents": store.document_count(),
        "states": {state.value: count for state, count in store.state_counts().items()},
        "labels_changed": kept is not None and kept.hash != config.label_set().hash,
        "runs": [_run(store, run) for run in store.runs()],
        "differing": _differing(store),
    }


def _differing(store: Store) -> int:
    """Documents that two people have finished differently, and nobody has reviewed."""
    reviewed = {one.document_id for one in store.resolutions()}
    return sum(
        len({gold.spans for who in people if (gold := store.gold(name, who)) is not None}) > 1
        for name, people in store.shared_documents().items()
        if name not in reviewed
    )


def _run(store: Store, run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "kind": run.kind,
        "state": run.state.value,
        "started": datetime.fromtimestamp(run.started, UTC).isoformat(timespec="seconds"),
        "outcomes": {kind.value: count for kind, count in store.outcome_counts(run.id).items()},
    }


def _next_steps(found: dict[str, Any], project: Path) -> list[str]:
    """What a person would sensibly do now, most urgent first; never nothing."""
    where = f"--project {project}"
    if not found["documents"]:
        return [f"read documents in: quorum import FILE {where}"]
    steps = []
    if found.get("labels_changed"):
        steps.append("the label set has changed since the last import; new runs use the new one")
    states, campaign = found["states"], found.get("campaign")
    extractions = [run for run in found["runs"] if run["kind"] == "extract"]
    latest = extractions[-1] if extractions else None
    if latest and latest["state"] in ("running", "paused", "stopped"):
        steps.append("a run is unfinished: run the same quorum extract command again to go on")
    if latest and latest["outcomes"].get("failed"):
        steps.append(f"run the failed passages again: quorum retry {where}")
    done, left = states.get("done", 0), found["documents"] - states.get("done", 0) - states.get("flagged", 0)
    if campaign and campaign["waiting"]:
        waiting = counted(campaign["waiting"], "document")
        steps.append(f"{waiting} of round {campaign['round']} wait to be labelled: quorum label {where}")
    elif campaign and not campaign["stop"]:
        steps.append(f"go on with the campaign: quorum run {where}")
    elif left and not campaign:
        begin = "label what helps the models most" if done else "label a first batch, chosen for you"
        steps.append(f"{begin}: quorum run {where}, then quorum label {where}")
    if not latest and left and done:
        steps.append(f"or extract the rest as it is: quorum extract --input FILE --output OUT.jsonl {where}")
    if states.get("flagged"):
        flagged = counted(states["flagged"], "document")
        steps.append(f"{flagged} set aside with a note: quorum label {where}, key Q, filter state:flagged")
    if found.get("differing"):
        steps.append(f"{counted(found['differing'], 'document')} with two opinions: quorum review {where}")
    if done and (not left or (campaign and campaign["stop"])):
        steps.append(f"write the gold out: quorum export --output GOLD.jsonl {where}")
    return steps


def _print(found: dict[str, Any]) -> None:
    states = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in found["states"].items() if count)
    rows = [
        ("project", f"{found['project']} ({found['folder']})"),
        ("labels", ", ".join(found["labels"])),
        ("members", ", ".join(found["members"])),
        ("documents", f"{found['documents']:,}" + (f" ({states})" if states else "")),
    ]
    if campaign := found.get("campaign"):
        how = f"stopped ({campaign['stop']})" if campaign["stop"] else f"{campaign['waiting']:,} waiting"
        said = f"{campaign['id']}, round {campaign['round']}: {campaign['labels']:,} labelled, {how}"
        rows.append(("campaign", said))
    if len(found["runs"]) > RUNS_SHOWN:
        rows.append(("runs", f"{counted(len(found['runs']), 'run')}, the last {RUNS_SHOWN}:"))
    for run in found["runs"][-RUNS_SHOWN:]:
        outcomes = ", ".join(f"{count:,} {name}" for name, count in run["outcomes"].items() if count)
        begun = run["started"][:16].replace("T", " ")
        said = f"{run['kind']} {run['state']}, begun {begun} UTC: {outcomes or 'no passages yet'}"
        rows.append((f"run {run['id']}", said))
    if found["writer"]:
        rows.append(("in use", f"by process {found['writer']}"))
    print_table(("what", "value"), rows)
    for step in found["next"]:
        note(f"next: {step}")
