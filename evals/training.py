"""Fine-tuning before an evaluation: an adapter of a few examples a type, trained once and kept.

Documents come from the pool alone, from which near duplicates of the test
split have been removed; so nothing that is judged on is ever trained on.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.config import ModelConfig, ProjectConfig
from evals.data import GoldDocument
from evals.manifest import content_hash

if TYPE_CHECKING:
    from evals.matrix import Cell
    from tools.annotation import LabelSet


class Training:
    """Trains adapters for cells that want one.

    Args:
        kept: The folder in which adapters are kept, by what they were trained with.
        report: Told what takes its time.
    """

    def __init__(self, kept: Path, report: Callable[[str], None]) -> None:
        self._kept = kept
        self._report = report

    def unavailable(self) -> str:
        """Why nothing can be trained here; empty where it can."""
        if importlib.util.find_spec("agent.training") is None:
            return "this build has no trainer (agent.training)"
        missing = [name for name in ("torch", "peft") if importlib.util.find_spec(name) is None]
        return f"training needs {' and '.join(missing)}" if missing else ""

    def trained(
        self, cell: Cell, config: ProjectConfig, pool: Sequence[GoldDocument], labels: LabelSet
    ) -> ProjectConfig:
        """Train, or find what was trained before.

        Args:
            cell: Names the method and how many examples a type.
            config: The pass's configuration; each of its models is trained.
            pool: The documents that may be trained on.
            labels: The label set.

        Returns:
            The configuration with the adapters in it.

        Raises:
            QuorumError: There is too little gold, or a model cannot be trained here.
        """
        from agent.training import train_on
        from agent.trainingrun import TrainOptions

        chosen = few_shot(pool, cell.examples, cell.seed)
        options = TrainOptions(
            contrastive="infonce" if cell.method == "contrastive" else "none",
            seed=cell.seed,
            allow_few=True,
            skip_bad=True,
        )
        models: dict[str, ModelConfig] = {}
        for name in dict.fromkeys(member.model for member in config.members):
            model = next(config.model_of(member) for member in config.members if member.model == name)
            what = json.dumps([content_hash(chosen), model.model_dump(), cell.method, cell.examples, cell.seed])
            out = (self._kept / hashlib.blake2b(what.encode(), digest_size=12).hexdigest()).resolve()
            out.parent.mkdir(parents=True, exist_ok=True)
            self._report(f"training {name} on {len(chosen)} documents ({cell.method}, {cell.examples} examples a type)")
            outcome = train_on(
                [(gold.document, gold.spans) for gold in chosen],
                labels,
                model.source,
                out,
                options,
                lambda said: self._report(said) if isinstance(said, str) else None,
            )
            models[name] = model.model_copy(update={"adapter": str(outcome.adapter.resolve())})
        return config.model_copy(update={"models": {**config.models, **models}})


def few_shot(pool: Sequence[GoldDocument], examples: int, seed: int) -> list[GoldDocument]:
    """Documents that hold about so many mentions of each type: drawn at random, kept where a type still lacks some.

    Args:
        pool: All there are.
        examples: Mentions a type; where the pool has fewer, all of them.
        seed: Where the draw begins.

    Returns:
        The documents in the pool's order. A type that stands beside rarer ones gets more than it asked for.
    """
    order = list(range(len(pool)))
    random.Random(f"few/{seed}").shuffle(order)
    have: Counter[str] = Counter()
    chosen = []
    for number in order:
        own = Counter(span.label for span in pool[number].spans)
        if any(have[label] < examples for label in own):
            chosen.append(number)
            have += own
    return [pool[number] for number in sorted(chosen)]
