"""Making a pass's demonstrations, where a strategy chooses them: at once, or in rounds that ask the models."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from agent.engines.protocol import Engine
from agent.extraction.decide import decide
from evals.cells import engine_failures
from evals.data import GoldDocument
from evals.opened import Embedders, OpenQuorum
from evals.passes import Done, run_pass
from evals.plan import PlannedPass, shown_of, told_of
from evals.rounds import Results, choose_in_rounds
from evals.selecting import pool_embeddings, select
from tools.errors import QuorumLost


class Chooser:
    """Chooses demonstrations for passes.

    Args:
        into: The folder of kept things.
        engines: Model name to engine.
        embedders: Where embedders come from.
        note: Told what takes its time, and what a selection has to say.
        halt: Whether nothing new should be begun.
    """

    def __init__(
        self,
        into: Path,
        engines: Mapping[str, Engine],
        embedders: Embedders,
        note: Callable[[str], None],
        halt: Callable[[], bool],
    ) -> None:
        self._into, self._engines, self._embedders = into, engines, embedders
        self._note, self._halt = note, halt

    async def choose(self, one: PlannedPass, pool: Sequence[GoldDocument], done: Done) -> None:
        """Choose for a pass, and write what was chosen into its header.

        Args:
            one: A pass with a recipe.
            pool: All there are.
            done: Told how many documents the models read.

        Raises:
            SuiteError: The strategy cannot choose from such a pool.
            QuorumLost: The models do not answer.
            Halted: Time was up.
        """
        recipe = one.shown.recipe
        assert recipe is not None
        embedder = self._embedders.get(one.config.demonstrations.embedder)
        kept = self._into / "embeddings"
        read: dict[str, int] = {}
        if recipe.asks:

            async def predict(labelled: Sequence[GoldDocument], reading: Sequence[GoldDocument]) -> Results:
                return await self._predicted(one, labelled, reading, done)

            vectors = await asyncio.to_thread(pool_embeddings, pool, embedder, kept, self._note)
            found = await choose_in_rounds(recipe, pool, vectors, predict, self._into / "signals")
            for line in found.notes:
                self._note(f"{one.cells[0].header.name}: {line}")
            chosen: Sequence[GoldDocument] = found.documents
            read = {"rounds": found.rounds, "read": found.read}
        else:
            chosen = await asyncio.to_thread(
                select, recipe.strategy, recipe.count, pool, recipe.seed, embedder, kept, self._note
            )
        one.shown = shown_of(chosen, len(pool))
        one.header = replace(one.header, pool={**one.header.pool, **told_of(one.shown), **read})

    async def _predicted(
        self, one: PlannedPass, labelled: Sequence[GoldDocument], reading: Sequence[GoldDocument], done: Done
    ) -> Results:
        """What the pass's members find in unlabelled documents, shown what is labelled so far."""
        shown = shown_of(labelled, len(labelled)).demonstrations
        # The index is of this round alone; the next one has more.
        with tempfile.TemporaryDirectory(prefix="quorum-round-") as folder:
            opened = OpenQuorum(
                one.config, one.data.labels, self._engines, shown, self._embedders, Path(folder) / "index"
            )  # fmt: skip
            async with opened as quorum:
                for attempt in (1, 2):
                    passed = await run_pass(
                        quorum, reading, keep=lambda book, ready: None, halt=self._halt,
                        done=done if attempt == 1 else lambda count: None,
                    )  # fmt: skip
                    failures = engine_failures(passed)
                    if not failures:
                        return [
                            (d.gold.id, decide(d.done, quorum.context(d.passages)) if d.done else ())
                            for d in passed.documents
                        ]
                    self._note(f"{one.data.spec.name}: {len(failures)} request(s) were not answered: {failures[0]}")
        raise QuorumLost(
            f"{one.data.spec.name}: {len(failures)} request(s) were not answered, twice; the first: {failures[0]}",
            "see 'quorum models status'; what is finished is kept, go on with --resume",
        )
