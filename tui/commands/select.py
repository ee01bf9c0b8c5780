"""``quorum select``: pick what to label next and print it; nothing is asked and nothing recorded."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
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
)

if TYPE_CHECKING:
    from agent.config import ProjectConfig
    from tools.selection import Corpus, Pick, SelectionOptions, TimingModel
    from tools.store import Store

FOLDER = "selection"
TEXT_SHOWN = 60
LINE_SECONDS = 10.0


Meter = Callable[[str, int, int], None]


def select(
    project: ProjectOption = HERE,
    strategy: Annotated[
        str | None,
        typer.Option("--strategy", "-s", help="allabel, coreset, facility, random, similarity, uncertainty or votek."),
    ] = None,
    budget: Annotated[int | None, typer.Option("--budget", "-n", help="How many items, the audit's included.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Where chance begins.")] = None,
    audit: Annotated[
        float | None, typer.Option("--audit", help="Share drawn at random, the only one that estimates may rest on.")
    ] = None,
    shares: Annotated[
        str, typer.Option("--shares", help="Of allabel: diversity, similarity, uncertainty.", metavar="D:S:U")
    ] = "1:3:1",
    similarity: Annotated[str | None, typer.Option("--similarity", help="embedding or bm25.")] = None,
    measure: Annotated[
        str, typer.Option("--measure", help="Of uncertainty: perplexity, margin, votes, verifier or mixed.")
    ] = "perplexity",
    sum_rank: Annotated[
        str, typer.Option("--sum-rank", help="How sum_rank is read: ranks, reciprocal or similarity.")
    ] = "ranks",
    near_duplicate: Annotated[
        float, typer.Option("--near-duplicate", help="Cosine from which two items are the same; 0 keeps them all.")
    ] = 0.95,
    per_second: Annotated[
        bool, typer.Option("--per-second", help="Prefer what gains most a second, by your own timing.")
    ] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Offer long documents whole, not passage by passage.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Pick what to label next from the documents without gold, and say why; nothing is recorded.

    The first time, documents are embedded, which takes a while; vectors are kept in the project's folder.
    """
    import numpy as np

    from tools.selection import SelectionState
    from tools.selection import select as choose

    config = load_project(project)
    settings = config.campaign
    name = strategy or settings.strategy
    options = _options(
        audit=settings.audit if audit is None else audit,
        shares=_shares(shares),
        similarity=similarity or settings.similarity,
        measure=measure,
        rank_reading=sum_rank,
        near_duplicate=near_duplicate or None,
        cost_aware=per_second,
    )
    _check(name, options)
    with closing(open_store(config, read_only=True)) as store, meter() as report:
        corpus, told = _corpus(config, store, name, options, whole, report)
        state = SelectionState.load(config.store_path.parent / FOLDER / "state")
        # Another batch is another draw; the same batch is the same one.
        begin = (config.run.seed if seed is None else seed, len(corpus.pool.labelled), len(corpus.pool.excluded))
        found = choose(
            name,
            corpus.pool,
            settings.batch if budget is None else budget,
            np.random.default_rng(begin),
            options=options,
            state=state,
            report=report,
        )
        _keep(state)
    rows = [_described(pick, corpus) for pick in found.picks]
    notes = [*corpus.notes, *told, *found.notes]
    if as_json:
        print_json({**found.to_dict(), "notes": notes, "picks": rows})
    else:
        print_table(
            ("#", "id", "audit", "seconds", "text", "why"),
            [
                (
                    row["position"] + 1,
                    row["id"],
                    "audit" if row["audit"] else "",
                    f"{row['reason']['seconds']:.0f}" if row["reason"]["seconds"] is not None else "",
                    _beginning(row["text"]),
                    row["why"],
                )
                for row in rows
            ],
            right=(0, 3),
        )
    for line in notes:
        note(line)
    audits = sum(pick.audit for pick in found.picks)
    note(f"{counted(len(rows), 'item')} of {found.open_items:,} unlabelled by {name}, {audits:,} of them for the audit")


def _options(**given: Any) -> SelectionOptions:
    from tools.selection import SelectionOptions

    return SelectionOptions(**given)


def _check(name: str, options: SelectionOptions) -> None:
    """Refuse what cannot be meant before documents are read and embedded."""
    from tools.selection import STRATEGIES, SelectionError

    if name not in STRATEGIES:
        raise SelectionError(f"there is no strategy {name!r}", f"one of {', '.join(STRATEGIES)}")
    options.check()


def _shares(text: str) -> tuple[float, float, float]:
    from tools.selection import SelectionError

    try:
        parts = tuple(float(part) for part in text.split(":"))
    except ValueError:
        parts = ()
    if len(parts) != 3:
        raise SelectionError(f"--shares {text!r} is not three numbers", "for example 1:3:1")
    return (parts[0], parts[1], parts[2])


def _corpus(
    config: ProjectConfig, store: Store, name: str, options: SelectionOptions, whole: bool, report: Meter
) -> tuple[Corpus, list[str]]:
    """The project's pool, and what to say about it."""
    from tools.demonstrations import SentenceTransformerEmbedder
    from tools.selection import EmbeddingCache, corpus_of
    from tools.selection.items import LONGEST

    told: list[str] = []
    embeddings = None
    if name != "random" and options.similarity == "embedding":
        embedder = SentenceTransformerEmbedder(config.demonstrations.embedder, root=config.root)
        embeddings = EmbeddingCache(config.store_path.parent / FOLDER, embedder)
    run = None
    if name in ("allabel", "uncertainty"):
        run = next((one.id for one in reversed(store.runs()) if sum(store.outcome_counts(one.id).values())), None)
        if run is not None:
            told.append(f"uncertainty is read from run {run}")
    corpus = corpus_of(
        store,
        embeddings=embeddings,
        longest=None if whole else LONGEST,
        run=run,
        timing=_timing(store, told if options.cost_aware else []),
        report=report,
    )
    return corpus, told


def _timing(store: Store, told: list[str]) -> TimingModel:
    """What an item costs the people of the latest campaign."""
    from tools.selection import Timing, TimingModel

    campaign = store.campaign()
    visits = store.visits(campaign.id) if campaign is not None else []
    model = TimingModel.fit(
        Timing(visit.chars, 0, visit.seconds) for visit in visits if visit.seconds is not None and not visit.skipped
    )
    told.append(
        f"seconds are learned from {counted(model.records, 'timing')}"
        if model.records
        else "no timings yet: seconds are those of a careful reader"
    )
    return model


def _keep(state: Any) -> None:
    """Write the state, which only saves time; where it cannot be written nothing is lost."""
    from tools.errors import OutputError

    try:
        state.save()
    except OutputError as error:
        note(f"{error.message}; the next selection computes it again")


def _described(pick: Pick, corpus: Corpus) -> dict[str, Any]:
    item = corpus.items[pick.row]
    place = {"document": item.document_id, "start": item.start, "end": item.end}
    return {**pick.to_dict(), **place, "text": item.text, "why": pick.reason.describe()}


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TEXT_SHOWN else line[: TEXT_SHOWN - 1] + "…"


@contextmanager
def meter() -> Iterator[Meter]:
    """Progress on stderr: a bar on a terminal, a line every ten seconds elsewhere; nothing for what is quick."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=5) as bar:
        tasks: dict[str, Any] = {}

        def draw(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done, total=of)

        yield draw


def _lines() -> Meter:
    began: dict[str, tuple[float, int]] = {}
    last = time.monotonic()

    def say(what: str, done: int, of: int) -> None:
        nonlocal last
        now = time.monotonic()
        since, at = began.setdefault(what, (now, done))
        if now - last >= LINE_SECONDS:
            last = now
            left = (now - since) / (done - at) * (of - done) if done > at else 0.0
            note(f"{what}: {done:,} of {of:,}" + (f", {left:,.0f} s left" if left else ""))

    return say
