"""Which documents of a pool become demonstrations: a strategy and a budget, labelled by an oracle.

The strategies are those of ``tools.selection``, by name. Random selection
without a budget's audit share is the baseline of every comparison.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evals.data import GoldDocument
from evals.errors import SuiteError
from evals.manifest import content_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tools.demonstrations import Embedder


ASKING = ("uncertainty", "allabel")
"""Strategies that look at what the models say of unlabelled documents; see ``evals.rounds``."""
MEASURES = ("mixed", "perplexity", "margin", "votes", "verifier")


@lru_cache(maxsize=1)
def strategies() -> tuple[str, ...]:
    """The names of all strategies."""
    from tools.selection import STRATEGIES

    return tuple(dict.fromkeys(("random", *STRATEGIES)))


def budget_of(budget: str | int, size: int) -> int:
    """How many documents a budget is: a number, or a share of the pool (``"10%"``), at least one."""
    if isinstance(budget, int):
        return min(budget, size)
    share = float(budget.removesuffix("%")) / 100 if budget else 1.0
    return max(1, min(size, math.ceil(share * size)))


def select_at_random(budget: str | int, pool: Sequence[GoldDocument], seed: int) -> list[GoldDocument]:
    """Choose documents of a pool by chance; the baseline of all strategies."""
    rows = sorted(random.Random(f"select/{seed}").sample(range(len(pool)), budget_of(budget, len(pool))))
    return [pool[row] for row in rows]


def select(
    strategy: str,
    budget: str | int,
    pool: Sequence[GoldDocument],
    seed: int,
    embedder: Embedder,
    kept: Path,
    report: Callable[[str], None] = lambda text: None,
) -> list[GoldDocument]:
    """Choose documents of a pool.

    Args:
        strategy: A name of :func:`strategies`.
        budget: How many; see :func:`budget_of`.
        pool: All there are.
        seed: Where chance begins.
        embedder: For strategies that look at embeddings.
        kept: A folder in which embeddings of a pool are kept.
        report: Told what takes its time.

    Raises:
        SuiteError: The strategy cannot choose from such a pool.
    """
    count = budget_of(budget, len(pool))
    if count >= len(pool):
        return list(pool)
    if strategy == "random":
        return select_at_random(budget, pool, seed)
    from tools.selection import Pool, SelectionError, SelectionOptions
    from tools.selection import select as choose

    given = Pool.of(
        [d.id for d in pool],
        texts=[d.document.text for d in pool],
        embeddings=pool_embeddings(pool, embedder, kept, report),
    )
    # No audit share: a curve is to show the strategy, not the random tenth a campaign mixes in.
    options = SelectionOptions(audit=0.0)
    try:
        selection = choose(strategy, given, count, np.random.default_rng(seed), options=options)
    except SelectionError as error:
        raise SuiteError(f"selection strategy {strategy!r}: {error.message}", error.hint) from error
    chosen = {pick.id for pick in selection.picks}
    return [d for d in pool if d.id in chosen]


def pool_embeddings(
    pool: Sequence[GoldDocument], embedder: Embedder, kept: Path, report: Callable[[str], None]
) -> NDArray[Any]:
    """Vectors of a pool's texts, shape (documents, dimensions), computed once and kept."""
    path = kept / f"{content_hash(pool)}.npy"
    if path.is_file():
        found: NDArray[Any] = np.load(path)
        return found
    report(f"embedding a pool of {len(pool):,} documents, once")
    vectors = np.asarray(embedder.encode([d.document.text for d in pool]), dtype=np.float32)
    kept.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".tmp.npy")
    np.save(fresh, vectors)
    fresh.replace(path)
    return vectors
