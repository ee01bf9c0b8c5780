"""``quorum extract``: a corpus in, predictions out, unattended."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.common import JsonOption, counted, load_project, make_state_folder, note, print_json, printable

if TYPE_CHECKING:
    from agent.config import ProjectConfig
    from agent.runs.summary import RunSummary
    from tools.annotation.labels import LabelSet

FAST_NOTE = "--fast: one member, one pass, the same demonstrations for every passage; quality is traded for speed"


def extract(
    source: Annotated[
        str,
        typer.Option("--input", "-i", metavar="FILE|DIR|-", help="txt, jsonl, csv, tsv or parquet, also .gz."),
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE|-", help=".jsonl, .jsonl.gz or .parquet; - is stdout."),
    ],
    lines: Annotated[bool, typer.Option("--lines", help="Every line of a text file is a document.")] = False,
    text_column: Annotated[str, typer.Option("--text-column", help="Column or key that holds the text.")] = "text",
    id_column: Annotated[str, typer.Option("--id-column", help="Column or key that holds the id.")] = "id",
    labels: Annotated[
        str, typer.Option("--labels", "-l", metavar="FILE|a,b,c", help="A label file, or names separated by commas.")
    ] = "",
    demos: Annotated[
        Path | None,
        typer.Option("--demos", metavar="FILE", help="Gold to show as demonstrations (JSON Lines)."),
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option("--project", "-p", metavar="DIR", help="Use a project's settings, gold and store."),
    ] = None,
    members: Annotated[str, typer.Option("--members", metavar="a,b", help="Only these members.")] = "",
    fast: Annotated[bool, typer.Option("--fast", help="One member, one pass: much quicker, and worse.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The most documents to read.")] = None,
    shard: Annotated[
        str, typer.Option("--shard", metavar="i/n", help="Only the i-th of n shares of the documents, i from 1 to n.")
    ] = "",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave broken records out and count them.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin again; write over what is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Extract entities from files, unattended and resumable.

    Run the same command again after a stop, a crash or a kill: it goes on
    where it ended, and every document stands in the output exactly once.
    Beside OUTPUT stands OUTPUT.run.db, which holds what is done (with
    --project, the project's store does). Exit status: 0 done, 2 something to
    mend, 3 paused because too few members answer, 130 or 143 stopped.
    """
    from agent.runs.again import again_after_deaths
    from agent.runs.crew import QuorumCrew
    from agent.runs.identity import Reading
    from agent.runs.parts import parse_shard
    from agent.runs.session import Job
    from agent.runs.session import extract as run
    from agent.runs.sidecar import index_beside, store_beside
    from tools.errors import InputError
    from tui.report.progress import progress_on

    to_stdout = output == "-"
    if to_stdout and as_json:
        raise InputError("--output - and --json both want stdout", "write to a file, or leave --json out")
    reading = Reading(lines, text_column, id_column, limit, parse_shard(shard) if shard else None, skip_bad)
    config, label_set = settings(project, labels, members, fast=fast)
    if fast:
        note(FAST_NOTE)
    with ExitStack() as stack:
        target = None if to_stdout else Path(output)
        if project is not None:
            make_state_folder(config.store_path.parent)
            store = config.store_path
        elif target is not None:
            store = store_beside(target)
        else:
            note("without --project or an output file this run cannot be gone on with")
            store = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quorum-"))) / "run.db"
        index = None
        if demos is not None:
            index = index_beside(target) if target is not None else store.with_name("run.demos")
        crew = QuorumCrew(config, label_set, demos, index, project=project is not None)
        job = Job(
            source,
            target,
            store,
            config,
            label_set,
            reading,
            own_store=project is None,
            fresh=fresh,
            stream=sys.stdout if to_stdout else None,
            notes={"source": source, "demos": str(demos.resolve()) if demos else "", "index": str(index or "")},
        )
        observer = stack.enter_context(progress_on())

        def once(more: bool) -> Coroutine[Any, Any, RunSummary]:
            return run(replace(job, fresh=False) if more else job, crew, observer)

        # What was read from stdin cannot be read again.
        call = once(False) if job.source == "-" else again_after_deaths(once, lambda: len(crew.deaths), observer.note)
        summary = asyncio.run(call)
    if as_json:
        print_json(summary.to_json())
    tell(summary)


def settings(project: Path | None, labels: str, members: str, *, fast: bool = False) -> tuple[ProjectConfig, LabelSet]:
    """Configuration and label set from the options that name them.

    Raises:
        ConfigError: A member is unknown, or the project file is wrong.
        LabelSetError: There is no label set, or it cannot be used.
    """
    from agent.config import ProjectConfig
    from tools.annotation.labelfile import read_label_set
    from tools.errors import LabelSetError

    config = load_project(project) if project is not None else ProjectConfig.default()
    if labels:
        label_set = read_label_set(labels)
    elif project is not None:
        label_set = config.label_set()
    else:
        raise LabelSetError("which entity types?", "give --labels person,location, a label file, or --project DIR")
    if members:
        config = config.with_members(name.strip() for name in members.split(",") if name.strip())
    return (config.fast() if fast else config), label_set


def tell(summary: RunSummary) -> None:
    """Say on stderr what a run came to."""
    from tui.report.progress import duration, outcomes

    where = "stdout" if summary.output == "-" else printable(summary.output)
    if summary.already_complete:
        note(f"already complete: {counted(summary.documents, 'document')} in {where}; --fresh extracts again")
    else:
        note(
            f"{counted(summary.documents, 'document')}, {counted(summary.entities, 'entity', 'entities')} in {where}"
            f" ({summary.extracted:,} in {duration(summary.seconds)}, {summary.documents_per_second:,.1f} docs/s)"
        )
    note(f"passages: {outcomes(summary.passages) or 'none'}")
    plain = ("utf-8", "ascii", "parquet")
    if odd := [name for name in summary.encodings if name.lower().replace("_", "-") not in plain]:
        note(f"read as: {', '.join(odd)}")
    for warning in summary.warnings[:10]:
        note(f"warning: {printable(warning)}")
    if summary.bad_records:
        note(f"{counted(summary.bad_records, 'broken record')} left out")
    if summary.members_down:
        note(f"left out, because they did not answer: {', '.join(summary.members_down)}")
    if summary.dead_letters:
        note(f"{counted(summary.dead_letters, 'passage')} failed; try them again with: quorum retry {_place(summary)}")


def _place(summary: RunSummary) -> str:
    if summary.store.endswith(".run.db"):
        return f"--output {printable(summary.output)}"
    return f"--project {printable(str(Path(summary.store).parents[1]))}"
