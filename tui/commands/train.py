"""``quorum train``: an adapter from a project's own labels, registered as a member."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.common import HERE, JsonOption, ProjectOption, counted, note, print_json, print_table, printable

if TYPE_CHECKING:
    from agent.training import TrainOutcome
    from tools.finetuning.fit import FitProgress

LINE_SECONDS = 10.0
_FORMS = ("none", "sigmoid", "infonce")
_REGISTER = ("add", "replace", "none")


def train(
    project: ProjectOption = HERE,
    data: Annotated[
        Path | None, typer.Option("--data", help="Gold as JSON Lines (text, entities), instead of the project's own.")
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", help="The model to train; by default that of the first member.")
    ] = None,
    init: Annotated[
        str,
        typer.Option(
            "--init", help="auto (the adapter the base has), starter, starter:MEMBER, none (fresh), or a folder."
        ),
    ] = "auto",
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.05, help="The most minutes of training; checkpoints keep what is done.")
    ] = 15.0,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="The most steps; by default ten passes, from 30 to 400.")
    ] = None,
    contrastive: Annotated[
        str, typer.Option("--contrastive", help="A contrastive loss beside the answers': none, sigmoid or infonce.")
    ] = "none",
    contrastive_weight: Annotated[
        float | None, typer.Option("--contrastive-weight", min=0.0, help="Its weight; 0.05 by default.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", min=0.001, help="Its temperature: 1 (sigmoid), 0.1 (infonce).")
    ] = None,
    layer: Annotated[
        int | None, typer.Option("--layer", min=0, help="The hidden states it looks at; three quarters of the depth.")
    ] = None,
    adversarial: Annotated[
        bool, typer.Option("--adversarial", help="Train on perturbed embeddings, too; takes twice the time.")
    ] = False,
    epsilon: Annotated[
        float, typer.Option("--epsilon", min=0.0001, max=1.0, help="The perturbation's share of the embeddings' norm.")
    ] = 0.02,
    rank: Annotated[int, typer.Option("--rank", min=1, max=512, help="Of a fresh adapter.")] = 16,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", min=1e-7, max=1.0, help="Its highest value.")
    ] = 4e-4,
    length: Annotated[int, typer.Option("--length", min=64, max=32768, help="Tokens of a packed row.")] = 1280,
    minimum: Annotated[int, typer.Option("--minimum", min=1, help="Examples that a type must have.")] = 3,
    allow_few: Annotated[bool, typer.Option("--allow-few", help="Leave types with fewer examples out.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave mentions out that do not ground.")] = False,
    patience: Annotated[
        int, typer.Option("--patience", min=0, help="Looks at the dev part without gain before it stops; 0: never.")
    ] = 4,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all that is drawn.")] = 13,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:1.")] = "auto",
    name: Annotated[str, typer.Option("--name", help="Of the new member.")] = "trained",
    register: Annotated[
        str,
        typer.Option("--register", help="add a member, replace the model of those that use the base, or none."),
    ] = "add",
    even_if_worse: Annotated[
        bool, typer.Option("--even-if-worse", help="Register it although the dev part got no better.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Train although the same training is finished.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train an adapter on a project's labels and make it a member.

    A fifth of the documents is set aside to see whether it gets better and to
    stop in time. Killed, the same command goes on. Documents of the audit and of
    evaluation splits are never trained on.
    """
    from agent.training import train_project
    from agent.trainingrun import TrainOptions
    from tools.errors import ConfigError

    _one_of("--contrastive", contrastive, _FORMS)
    _one_of("--register", register, _REGISTER)
    _check_name(name)
    if data is not None and not data.is_file():
        raise ConfigError(f"{data}: no such file", "gold is JSON Lines with text and entities")
    options = TrainOptions(
        name=name,
        base=base,
        init=init,
        steps=steps,
        minutes=minutes,
        contrastive=contrastive,  # type: ignore[arg-type]
        contrastive_weight=contrastive_weight,
        temperature=temperature,
        layer=layer,
        adversarial=epsilon if adversarial else 0.0,
        rank=rank,
        learning_rate=learning_rate,
        length=length,
        seed=seed,
        device=device,
        minimum=minimum,
        allow_few=allow_few,
        skip_bad=skip_bad,
        patience=patience,
        again=again,
    )
    with _watching() as watch:
        outcome = train_project(
            project,
            options,
            watch,
            data=data,
            register=register,  # type: ignore[arg-type]
            even_if_worse=even_if_worse,
        )
    if as_json:
        print_json(_as_data(outcome))
    else:
        print_table(("what", "value"), _rows(outcome))
    for line in outcome.notes:
        note(printable(line))


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    from tools.errors import ConfigError

    if value not in allowed:
        raise ConfigError(f"{option} {value!r} is not known", f"one of {', '.join(allowed)}")


def _check_name(name: str) -> None:
    from pydantic import ValidationError

    from agent.config import MemberConfig
    from tools.errors import ConfigError

    try:
        MemberConfig(name=name)
    except ValidationError as error:
        raise ConfigError(f"{name!r} cannot be a member's name", "letters, digits, - _ and . are allowed") from error


def _as_data(outcome: TrainOutcome) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "adapter": str(outcome.adapter),
        "revision": outcome.ref.revision,
        "improved": outcome.improved,
        "finished_before": outcome.finished_before,
        "registered": outcome.registered,
        "served": outcome.served,
        "notes": list(outcome.notes),
        "summary": dict(outcome.summary),
    }


def _rows(outcome: TrainOutcome) -> list[tuple[str, str]]:
    from tui.report.progress import duration

    s = outcome.summary
    counts, dev = s["counts"], s["dev_loss"]
    rows = [
        ("adapter", f"{outcome.adapter} ({s['adapter_bytes'] / 2**20:.1f} MiB, rank {s['rank']})"),
        ("base", s["base"] + (f", beginning with {s['init']}" if s["init"] else "")),
        (
            "trained on",
            f"{counted(counts['train']['documents'], 'document')}, {counted(counts['train']['passages'], 'passage')}",
        ),
        ("set aside", f"{counted(counts['dev']['documents'], 'document')}, by document, seed {s['options']['seed']}"),
        *((f"  {label}", f"{many['train']} + {many['dev']} mentions") for label, many in counts["mentions"].items()),
        (
            "steps",
            f"{s['steps']} ({s['stopped']}), {s['tokens']:,} tokens in {duration(s['seconds'])} on {s['device']}",
        ),
    ]
    if dev is not None:
        rows.append(("dev loss", f"{dev['before']:.4f} before, {dev['after']:.4f} after (step {s['best_step']})"))
    if (f1 := s["dev_f1"]) is not None and f1["before"]:
        before, after = f1["before"], f1["after"]
        rows.append(
            (
                "dev F1, strict",
                f"{before['f1']:.3f} before, {after['f1']:.3f} after [{after['low']:.3f}, {after['high']:.3f}]; "
                f"{after['passages']} passages, {after['support']} mentions; typed extraction alone",
            )
        )
        rows += [
            (f"  {label}", f"{before['by_type'].get(label, 0.0):.3f} before, {value:.3f} after")
            for label, value in after["by_type"].items()
        ]
    if outcome.finished_before:
        rows.append(("done before", "the same training was finished already (--again trains anew)"))
    rows.append(("project file", outcome.registered or "unchanged"))
    if outcome.served:
        rows.append(("served by", outcome.served))
    return rows


@contextmanager
def _watching() -> Iterator[Callable[[str | FitProgress], None]]:
    """Progress on stderr: a live bar on a terminal, a line every ten seconds elsewhere."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), BarColumn(bar_width=24), TextColumn("{task.fields[said]}", markup=False))
    with Progress(*columns, console=Console(file=sys.stderr), transient=True, refresh_per_second=4) as bar:
        task = bar.add_task("", total=None, said="starting")

        def watch(event: str | FitProgress) -> None:
            if isinstance(event, str):
                bar.update(task, said=printable(event), total=None)
            else:
                done = event.seconds / max(1e-9, event.seconds + event.eta)
                bar.update(task, completed=done, total=1.0, said=describe(event))

        yield watch


class _Lines:
    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, event: str | FitProgress) -> None:
        if isinstance(event, str):
            note(printable(event))
        elif time.monotonic() >= self._next or event.step == event.steps:
            self._next = time.monotonic() + LINE_SECONDS
            note(describe(event))


def describe(progress: FitProgress) -> str:
    """A training's progress in one line of plain text."""
    from tui.report.progress import duration

    parts = [f"step {progress.step} of {progress.steps}", f"loss {progress.losses.answers:.3f}"]
    if progress.losses.contrast == progress.losses.contrast:
        parts.append(f"contrast {progress.losses.contrast:.3f}")
    if progress.dev_loss == progress.dev_loss:
        parts.append(f"dev {progress.dev_loss:.3f}")
    parts.append(f"{progress.tokens / max(1e-9, progress.seconds):,.0f} tokens/s")
    parts.append(f"{duration(progress.eta)} left at most")
    return ", ".join(parts)
