"""``quorum run``: a campaign, as far as it goes without a person, or with one simulated from gold."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    user_name,
)

if TYPE_CHECKING:
    from agent.campaign.driver import Status
    from agent.config import ProjectConfig
    from tools.store import Round


def run(
    project: ProjectOption = HERE,
    oracle: Annotated[
        Path | None, typer.Option("--oracle", metavar="GOLD", help="Answer from this gold instead of asking a person.")
    ] = None,
    noise: Annotated[
        float, typer.Option("--noise", min=0, max=1, help="How often the oracle slips on a mention.")
    ] = 0.0,
    annotator: Annotated[
        str, typer.Option("--annotator", "-a", help="In whose name; you, or 'oracle' with --oracle.")
    ] = "",
    strategy: Annotated[
        str | None, typer.Option("--strategy", "-s", help="allabel, random, coreset, similarity, uncertainty, ...")
    ] = None,
    budget: Annotated[int | None, typer.Option("--budget", help="The most documents to ask for.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Documents asked for in one round.")] = None,
    audit: Annotated[float | None, typer.Option("--audit", min=0, max=1, help="Share drawn at random.")] = None,
    overlap: Annotated[
        float | None, typer.Option("--overlap", min=0, max=1, help="Share that two annotators label.")
    ] = None,
    target_f1: Annotated[
        float | None, typer.Option("--target-f1", help="Stop when F1 is this high at the lower end of its interval.")
    ] = None,
    min_gain: Annotated[
        float | None, typer.Option("--min-gain", help="Stop when another batch should add less F1 than this.")
    ] = None,
    whole: Annotated[
        bool | None, typer.Option("--whole/--passages", help="Ask for long documents whole, or passage by passage.")
    ] = None,
    per_second: Annotated[
        bool | None,
        typer.Option("--per-second/--per-item", help="Prefer what gains most a second, by your own timing."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Where chance begins.")] = None,
    fresh: Annotated[
        bool, typer.Option("--new", help="Begin another campaign; the old one stays in the store.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a campaign: choose documents, have them labelled, measure, and say when it is enough.

    Without --oracle the command does the machine's part, says what waits to be
    labelled, and goes on when it is run again after that. Options override
    the campaign table of quorum.toml, and hold for the campaign until others
    are given. Stopped or killed at any moment, the same command goes on.
    """
    from agent.campaign.driver import settings_for
    from agent.campaign.opening import project_campaign
    from agent.campaign.oracle import read_oracle
    from tui.report.progress import progress_on

    config = load_project(project)
    labels = config.label_set()
    who = annotator or ("oracle" if oracle is not None else user_name())
    with open_store(config) as store:
        settings = settings_for(
            config,
            store,
            fresh=fresh,
            strategy=_strategy(strategy),
            budget=budget,
            batch=batch,
            audit=audit,
            overlap=overlap,
            target_f1=target_f1,
            min_gain=min_gain,
            longest=_longest(config, whole),
            cost_aware=per_second,
            seed=seed,
        )
        simulated = None
        if oracle is not None:
            settings = replace(settings, suggest=False)  # nobody would see them
            simulated = read_oracle(oracle, store, labels, annotator=who, noise=noise, seed=settings.seed)
            if simulated.left_out:
                note(f"{counted(simulated.left_out, 'document')} of {oracle} not in the project are left out")
            if simulated.without:
                note(f"{counted(simulated.without, 'document')} without gold in {oracle} are never asked")
        with (
            _stoppable(),
            progress_on() as observer,
            project_campaign(
                config, store, settings, labels=labels, oracle=simulated, observer=observer, annotator=who, fresh=fresh
            ) as session,
        ):
            status = session.advance(simulated)
        _tell(status, project, as_json=as_json)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the campaign between two statements, with servers given back and the hint how to go on."""
    from agent.runs.errors import RunInterrupted

    def stop(signum: int, frame: object) -> None:
        for one in taken:
            signal.signal(one, signal.SIG_IGN)  # what is being put away is not interrupted again
        raise RunInterrupted(
            signum, "stopped: what was answered and extracted is kept", "run the same command again to go on"
        )

    taken = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.signal(one, stop) for one in taken}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _longest(config: ProjectConfig, whole: bool | None) -> int | None:
    """From where documents are cut: what was asked for, else nothing said."""
    from tools.selection.items import LONGEST

    return None if whole is None else 0 if whole else config.campaign.longest or LONGEST


def _strategy(name: str | None) -> str | None:
    if name is not None:
        from tools.errors import ConfigError
        from tools.selection import STRATEGIES

        if name not in STRATEGIES:
            raise ConfigError(f"there is no strategy {name!r}", f"one of {', '.join(STRATEGIES)}")
    return name


def _tell(status: Status, project: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(status_json(status))
    else:
        headings = ("round", "labels", "audit", "F1", "low", "high", "prec.", "recall", "seconds")
        print_table(headings, [_row(one) for one in status.rounds], right=range(len(headings)))
    last = next((one for one in reversed(status.rounds) if one.report), None)
    if last is not None:
        if last.report.get("f1") is None:
            note("F1 is not known: no audit document has been labelled, or the models could not be had")
        if last.report.get("failed"):
            note(f"{counted(last.report['failed'], 'audit document')} could not be extracted and count as empty")
        note(str(last.report["outlook"]["sentence"]))
    if status.waiting:
        note(f"{counted(len(status.waiting), 'document')} of round {status.round} wait for a person")
        note(f"next: quorum label --project {project}, then: quorum run --project {project}")
    elif status.stop:
        note(f"stopped after {counted(status.labels, 'label')}: {status.reason}")
        note(f"next: quorum extract --input FILE --output OUT.jsonl --project {project}")


def _row(one: Round) -> tuple[object, ...]:
    report = one.report
    seconds = f"{report['seconds']:.1f}" if "seconds" in report else ""
    if report.get("f1") is None:
        return (one.number, report.get("labels", ""), "", "", "", "", "", "", seconds)
    low, high = report["f1_interval"]
    figures = (report["f1"], low, high, report["precision"], report["recall"])
    return (one.number, report["labels"], report["audit_documents"], *(f"{x:.3f}" for x in figures), seconds)


def status_json(status: Status) -> dict[str, Any]:
    """A campaign's state as JSON values."""
    return {
        "campaign": status.campaign,
        "round": status.round,
        "asked": status.asked,
        "labels": status.labels,
        "waiting": list(status.waiting),
        "stopped": bool(status.stop),
        "reason": status.stop,
        "settings": dict(status.settings),
        "rounds": [
            {
                "round": one.number,
                "state": one.state.value,
                "opened": one.opened,
                "closed": one.closed,
                "run": one.run,
                **{key: value for key, value in one.report.items() if key != "matrix"},
            }
            for one in status.rounds
        ],
    }
