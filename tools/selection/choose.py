"""``select``: one call for every strategy, with the audit stream mixed in and a reason for each pick."""

from __future__ import annotations

import numpy as np

from tools.selection import allabel, audit, coreset, facility, random, similarity, uncertainty, votek
from tools.selection.protocol import (
    Pick,
    Pool,
    Reason,
    Report,
    Selection,
    SelectionError,
    SelectionOptions,
)
from tools.selection.state import SelectionState
from tools.selection.task import Choice, Distinct, Strategy, Task

STRATEGIES: dict[str, Strategy] = {
    "allabel": allabel.choose,
    "coreset": coreset.choose,
    "facility": facility.choose,
    "random": random.choose,
    "similarity": similarity.choose,
    "uncertainty": uncertainty.choose,
    "votek": votek.choose,
}
_BLOCK = 8192


def select(
    strategy: str,
    pool: Pool,
    budget: int,
    rng: np.random.Generator,
    *,
    options: SelectionOptions | None = None,
    state: SelectionState | None = None,
    report: Report | None = None,
) -> Selection:
    """Choose what a person should label next.

    The same pool, options and generator state give the same picks, with or without ``state``, on any number of threads.

    Args:
        strategy: One of ``STRATEGIES``.
        pool: All items, labelled ones included.
        budget: How many to pick, audit items included; more than there are means all.
        rng: The only source of chance.
        options: How; the documented defaults by default.
        state: What an earlier call on the same pool learned; updated. Saves time and changes nothing else.
        report: Told of long work.

    Returns:
        The picks in the order in which a person should see them; fewer than asked for where items are labelled
        already or near duplicates of each other, which the notes say.

    Raises:
        SelectionError: The pool is empty or not consistent, the strategy is unknown, an option is wrong, a vector
            holds what is no number, or the pool lacks what the strategy needs.
    """
    options = options or SelectionOptions()
    chooser = STRATEGIES.get(strategy)
    if chooser is None:
        raise SelectionError(f"there is no strategy {strategy!r}", f"one of {', '.join(STRATEGIES)}")
    options.check()
    pool.check()
    if budget < 1:
        raise SelectionError(f"a budget of {budget} picks nothing", "1 or more")
    state = state if state is not None else SelectionState()
    notes: list[str] = []
    rows = pool.open_rows()
    if not len(rows):
        return Selection(strategy, (), (*notes, "every item is labelled or set aside: nothing is left to pick"))
    everything = budget >= len(rows)
    if budget > len(rows):
        notes.append(f"{budget:,} were asked for, {len(rows):,} are left: all of them are picked")
    budget = min(budget, len(rows))
    drawn = audit.draw(rows, audit.audit_count(budget, options.audit, rng), rng, pool.groups)
    task = Task(
        pool=pool,
        options=options,
        rng=rng,
        state=state,
        open=rows[~np.isin(rows, drawn)],
        covered=[int(row) for row in dict.fromkeys(pool.labelled)],
        # Who asks for everything gets everything, duplicates included.
        distinct=Distinct(pool, None if everything else options.near_duplicate),
        notes=notes,
        report=report,
    )
    for row in drawn.tolist():
        task.distinct.add(row)
    choices = chooser(task, budget - len(drawn))
    if task.distinct.turned_down:
        many = f"{task.distinct.turned_down:,} near duplicates of other picks were passed over"
        short = budget - len(drawn) - len(choices)
        notes.append(many + (f"; {short:,} picks are missing for it" if short else ""))
    if task.distinct.same_group and len(drawn) + len(choices) < budget:
        notes.append("a document gives one passage a batch at most: the batch is smaller for it")
    picks = _picks(strategy, task, choices, drawn.tolist(), len(rows))
    return Selection(strategy, picks, tuple(dict.fromkeys(notes)), len(rows))


def _picks(strategy: str, task: Task, choices: list[Choice], drawn: list[int], population: int) -> tuple[Pick, ...]:
    """Choices and audit items mixed, each with its reason."""
    facts = {"population": population, "drawn": len(drawn)}
    said = f"{audit.MEANING} ({len(drawn):,} of {population:,})"
    audits = iter([Choice(row, audit.NAME, 0.0, said, facts) for row in drawn])
    chosen = iter(choices)
    total = len(choices) + len(drawn)
    at = audit.places(total, len(drawn), task.rng)
    order = [next(audits) if place in at else next(chosen) for place in range(total)]
    nearest = _nearest(task, [choice.row for choice in order])
    ranks: dict[str, int] = {}
    picks = []
    for position, (choice, (near, alike)) in enumerate(zip(order, nearest, strict=True)):
        ranks[choice.stage] = ranks.get(choice.stage, 0) + 1
        seconds = None if task.pool.seconds is None else round(float(task.pool.seconds[choice.row]), 3)
        reason = Reason(
            strategy=audit.NAME if choice.stage == audit.NAME else strategy,
            stage=choice.stage,
            rank=ranks[choice.stage],
            score=choice.score,
            meaning=choice.meaning,
            nearest=near,
            nearest_similarity=alike,
            seconds=seconds,
            facts=choice.facts,
        )
        name = task.pool.ids[choice.row]
        picks.append(Pick(name, choice.row, position, reason, choice.stage == audit.NAME))
    return tuple(picks)


def _nearest(task: Task, rows: list[int]) -> list[tuple[str | None, float | None]]:
    """For each pick the most similar labelled item or earlier pick, where similarities were needed anyway."""
    similarity = task.compared
    if similarity is None or not rows:
        return [(None, None)] * len(rows)
    picked = np.asarray(rows, dtype=np.int64)
    best = np.full(len(rows), -np.inf)
    place = np.full(len(rows), -1, dtype=np.int64)
    labelled = np.unique(np.asarray(task.pool.labelled, dtype=np.int64))
    for begin in range(0, len(labelled), _BLOCK):
        others = labelled[begin : begin + _BLOCK]
        found = similarity.between(picked, others)
        at = found.argmax(axis=1)
        value = found[np.arange(len(rows)), at]
        better = value > best
        best[better], place[better] = value[better], others[at[better]]
    found = np.asarray(similarity.between(picked, picked), dtype=np.float64)
    found[np.triu_indices(len(rows))] = -np.inf
    at = found.argmax(axis=1)
    value = found[np.arange(len(rows)), at]
    better = value > best
    best[better], place[better] = value[better], picked[at[better]]
    ids = task.pool.ids
    return [
        (ids[int(row)], round(float(alike) / similarity.unit, 6)) if row >= 0 else (None, None)
        for row, alike in zip(place, best, strict=True)
    ]
