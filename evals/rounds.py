"""Choosing in rounds with what the models say of the pool, as a campaign does, gold answering for the person.

A round: the models read a part of what is unlabelled, with what is labelled so
far as demonstrations; ``tools.selection`` makes signals of their answers and
chooses a batch; the batch is labelled. Which part is read hangs on the seed and
the round alone, so that a budget of 100 asks nothing that one of 200 does not
ask, and the response cache answers what two budgets share. What a round found
is kept beside the logs as well: after a kill it is not even replayed.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evals.data import GoldDocument
from evals.errors import SuiteError
from evals.selecting import ASKING
from tools.errors import OutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tools.annotation.prediction import PassageResult

Results = Sequence[tuple[str, Sequence["PassageResult"]]]
Predict = Callable[[Sequence[GoldDocument], Sequence[GoldDocument]], Awaitable[Results]]
"""Given the labelled documents and those to be read, what the models find in the latter."""
SHARES = (1.0, 3.0, 1.0)


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides which documents a strategy chooses.

    Attributes:
        strategy: Its name.
        count: How many documents.
        seed: Where chance begins.
        measure: What uncertainty is read from; empty where the models are not asked.
        batch: Documents a round.
        extract: The most documents that the models read a round.
        basis: A hash of the pool and, where the models are asked, of all that decides their answers.
    """

    strategy: str
    count: int
    seed: int
    measure: str
    batch: int
    extract: int
    basis: str

    @property
    def asks(self) -> bool:
        """Whether it looks at what the models say."""
        return self.strategy in ASKING

    @property
    def family(self) -> str:
        """Of all recipes whose rounds are the same as far as both go."""
        # ALLabel's stages are shares of the whole budget, so each budget has rounds of its own.
        total = self.count if self.strategy == "allabel" else 0
        asked = [self.measure, self.batch, self.extract] if self.asks else []
        return _hash([self.strategy, total, self.seed, *asked, self.basis])

    @property
    def digest(self) -> str:
        """A hash of it."""
        return _hash([self.family, self.count])

    def rounds(self) -> list[tuple[int, bool]]:
        """How many documents each round chooses at most, and whether the models are asked before.

        Near duplicates that are passed over make more rounds necessary.
        """
        found = []
        done = 0
        while done < self.count:
            found.append(self.next_round(done))
            done += found[-1][0]
        return found

    def next_round(self, done: int) -> tuple[int, bool]:
        """How many documents the round after so many chooses, and whether the models are asked before it.

        What ALLabel chooses without the models needs no rounds: its first two
        stages are one batch, and the third begins a new one.
        """
        left = self.count - done
        if self.strategy != "allabel":
            return min(self.batch, left), True
        from tools.selection.allabel import shared_out

        first = sum(shared_out(self.count, SHARES)[:2])
        return (first - done, False) if done < first else (min(self.batch, left), True)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was chosen, and what that took.

    Attributes:
        documents: In the pool's order.
        rounds: Rounds in which the models were asked.
        read: How many documents they read in all.
        notes: What the selection had to say.
    """

    documents: tuple[GoldDocument, ...]
    rounds: int
    read: int
    notes: tuple[str, ...]


async def choose_in_rounds(
    recipe: Recipe, pool: Sequence[GoldDocument], embeddings: NDArray[Any], predict: Predict, kept: Path
) -> Chosen:
    """Spend a budget in rounds.

    Args:
        recipe: What chooses how many.
        pool: All there are; more than the budget.
        embeddings: Their vectors, shape (documents, dimensions).
        predict: Asks the models.
        kept: A folder for what rounds found.

    Raises:
        SuiteError: The strategy cannot choose from such a pool.
        QuorumError: As ``predict``.
    """
    from tools.selection import Pool, SelectionError, SelectionOptions, SelectionState
    from tools.selection import select as choose

    by_id = {d.id: d for d in pool}
    ids = list(by_id)
    texts = [d.document.text for d in pool]
    state = SelectionState()
    labelled: list[str] = []
    notes: dict[str, None] = {}
    number = rounds = read = 0
    while len(labelled) < recipe.count:
        count, asks = recipe.next_round(len(labelled))
        signals: dict[str, NDArray[np.float64]] = {}
        if asks:
            reading = _to_be_read(recipe, pool, labelled, rounds)
            signals = await _signals(recipe, ids, [by_id[name] for name in labelled], reading, predict, kept)
            rounds += 1
            read += len(reading)
        # No audit share: a curve is to show the strategy, not the random tenth a campaign mixes in.
        options = SelectionOptions(
            audit=0.0,
            shares=SHARES,
            measure=recipe.measure,  # type: ignore[arg-type]
            campaign_total=recipe.count if recipe.strategy == "allabel" else None,
            campaign_done=len(labelled) if recipe.strategy == "allabel" else 0,
        )
        given = Pool.of(ids, texts=texts, embeddings=embeddings, labelled=labelled, signals=signals)
        rng = np.random.default_rng([recipe.seed, number])
        try:
            found = choose(recipe.strategy, given, count, rng, options=options, state=state)
        except SelectionError as error:
            raise SuiteError(f"selection strategy {recipe.strategy!r}: {error.message}", error.hint) from error
        notes.update(dict.fromkeys(found.notes))
        number += 1
        if not found.picks:
            break
        labelled += found.ids
    chosen = set(labelled)
    return Chosen(tuple(d for d in pool if d.id in chosen), rounds, read, tuple(notes))


def _to_be_read(recipe: Recipe, pool: Sequence[GoldDocument], labelled: Sequence[str], number: int) -> list[Any]:
    """The part of the unlabelled pool that the models read in a round, in the pool's order."""
    taken = set(labelled)
    free = [n for n, d in enumerate(pool) if d.id not in taken]
    if len(free) > recipe.extract:
        free = sorted(random.Random(f"{recipe.seed}/uncertain/{number}").sample(free, recipe.extract))
    return [pool[n] for n in free]


async def _signals(
    recipe: Recipe,
    ids: Sequence[str],
    labelled: Sequence[GoldDocument],
    reading: Sequence[GoldDocument],
    predict: Predict,
    kept: Path,
) -> dict[str, NDArray[np.float64]]:
    """The signals of a round, kept for recipes that share it."""
    from tools.selection.signals import signals_for

    key = _hash([recipe.basis, [d.id for d in labelled], [d.id for d in reading]])
    path = kept / f"{key}.json"
    names = [d.id for d in reading]
    try:
        rows = {str(k): [float("nan") if v is None else float(v) for v in vs] for k, vs in _read(path).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        # Not there, or not whole: asked (again); the response cache has the answers.
        found = signals_for(names, await predict(labelled, reading))
        rows = {name: values.tolist() for name, values in found.items()}
        _write(path, rows)
    at = {name: row for row, name in enumerate(ids)}
    places = [at[name] for name in names]
    signals = {}
    for measure, values in rows.items():
        whole = np.full(len(ids), np.nan)
        whole[places] = values
        signals[measure] = whole
    return signals


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write(path: Path, rows: dict[str, list[float]]) -> None:
    plain = {name: [None if value != value else value for value in values] for name, values in rows.items()}
    fresh = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(plain), encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror})", "make room, or give another --into"
        ) from error


def _hash(what: Any) -> str:
    return hashlib.blake2b(json.dumps(what, default=str).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
