"""From cells to passes: what must be asked, what can be read off it, and what makes each the same as another.

A cell's identity is a hash of everything that can change its figures: the
documents and their gold, the pool's chosen demonstrations, prompts, models and
what runs them, settings, seed, and this program's version. Two cells of equal
identity are one, whichever suite or run they stand in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from agent.config import ProjectConfig
from agent.runs.identity import Reading, identity, label_tables
from evals.data import DataSet, GoldDocument, sampled_pool
from evals.manifest import content_hash
from evals.matrix import Cell
from evals.models import Models
from evals.records import FORM, CellHeader, PassHeader
from evals.rounds import Recipe
from evals.selecting import ASKING, budget_of, select_at_random
from evals.suite import RoundsSpec, Scorer
from tools.demonstrations import Demonstration

READING = 2
"""Raised when the same answers are read otherwise, so that cells read before are not taken over."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Demonstrations that a cell can show.

    Attributes:
        demonstrations: Sentences with their gold.
        digest: A hash of them.
        documents: How many documents they are from.
        pool: How many documents there were to choose from.
        recipe: How they will be chosen, where that takes time: they are not
            there yet, and the hash is of the recipe.
    """

    demonstrations: tuple[Demonstration, ...]
    digest: str
    documents: int
    pool: int
    recipe: Recipe | None = None


@dataclass(slots=True)
class PlannedCell:
    """A cell with its identity."""

    cell: Cell
    header: CellHeader


@dataclass(slots=True)
class PlannedPass:
    """A pass with the cells that are read off it.

    Attributes:
        header: What it is.
        data: The documents.
        config: Its configuration, with all that only decides left open.
        shown: The demonstrations.
        scorers: Which figures are wanted.
        cells: What is read off it, in the suite's order.
    """

    header: PassHeader
    data: DataSet
    config: ProjectConfig
    shown: Shown
    scorers: tuple[Scorer, ...]
    cells: list[PlannedCell] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Its identity."""
        return self.header.id

    @property
    def oracles(self) -> tuple[str, ...]:
        """Steps to be asked with the truth given."""
        kinds = {planned.cell.kind for planned in self.cells}
        return tuple(step for step in ("classify", "verify") if f"oracle_{step}" in kinds)


class Planner:
    """Makes passes of cells.

    Args:
        data: The suite's data sets, by name.
        models: Knows the models' revisions.
        rounds: For strategies that ask the models.
    """

    def __init__(self, data: Mapping[str, DataSet], models: Models, rounds: RoundsSpec | None = None) -> None:
        self._data = data
        self._source = models
        self._rounds = rounds or RoundsSpec()
        self._pools: dict[tuple[str, int], list[GoldDocument]] = {}
        self._shown: dict[tuple[str, int, str, str, str], Shown] = {}
        self._models: dict[str, dict[str, str]] = {}

    def plan(self, cells: Sequence[Cell], scorers: Sequence[Scorer]) -> list[PlannedPass]:
        """Group cells by the pass they can be read off; passes in the order of their first cells.

        Raises:
            QuorumError: A model is unknown, or a strategy cannot choose.
        """
        groups: dict[str, list[tuple[Cell, DataSet, Shown]]] = {}
        for cell in cells:
            data = self._data[cell.data.name]
            shown = self.shown(cell, data)
            key = _hash(
                {**self._parts(_asking(cell.config, "off"), data, shown), "training": self._training(cell, data)}
            )
            groups.setdefault(key, []).append((cell, data, shown))
        return [self._pass(group, scorers) for group in groups.values()]

    def _pass(self, group: list[tuple[Cell, DataSet, Shown]], scorers: Sequence[Scorer]) -> PlannedPass:
        first, data, shown = group[0]
        config = _asking(first.config, _widest(cell.config for cell, _, _ in group), group)
        parts = self._parts(config, data, shown)
        oracles = sorted({cell.kind for cell, _, _ in group if cell.kind in ("oracle_classify", "oracle_verify")})
        header = PassHeader(
            _hash({**parts, "oracles": oracles, "training": self._training(first, data)}),
            data.ref,
            first.seed,
            config.model_dump(mode="json"),
            label_tables(data.labels),
            parts["models"],
            parts["prompts"],
            {
                **told_of(shown),
                "dropped": len(data.dropped),
                "strategy": first.strategy or "all",
                "budget": first.budget,
            },
        )
        planned = PlannedPass(header, data, config, shown, tuple(scorers))
        for cell, _, _ in group:
            own = self._parts(cell.config, data, shown)
            own |= {"kind": cell.kind, "vote": cell.vote if cell.kind == "end_to_end" else ""}
            own |= {"training": self._training(cell, data)}
            # At 100 % all strategies choose alike; the cells are points of different curves all the same.
            own |= {"selection": [cell.strategy, cell.budget, *([cell.measure] if cell.measure else [])]}
            if cell.kind != "end_to_end":
                # What only decides has no part in a step that is scored alone.
                own |= {"steps": [], "settings": [own["settings"]["seed"]], "calibration": ""}
            id = _hash({**own, "scorers": sorted(scorers)})
            header_of_cell = CellHeader(
                id, cell.name, cell.kind, header.id, data.ref, cell.seed, dict(cell.settings), tuple(scorers), own
            )
            planned.cells.append(PlannedCell(cell, header_of_cell))
        return planned

    def _training(self, cell: Cell, data: DataSet) -> list[Any]:
        """What decides a trained adapter: everything but the model, which the parts have."""
        return [cell.method, cell.examples, content_hash(self.pool(data, cell.seed))] if cell.method else []

    def pool(self, data: DataSet, seed: int) -> list[GoldDocument]:
        """The documents that a seed's cells may choose demonstrations from."""
        key = (data.spec.name, seed)
        if key not in self._pools:
            self._pools[key] = sampled_pool(data, seed)
        return self._pools[key]

    def shown(self, cell: Cell, data: DataSet) -> Shown:
        """What a cell shows, chosen once for all cells that choose alike; or how it will be chosen."""
        if not any(cell.config.demonstrations_of(member) for member in cell.config.members):
            return Shown((), "", 0, 0)
        pool = self.pool(data, cell.seed)
        recipe = self._recipe(cell, data, pool)
        key = (data.spec.name, cell.seed, cell.strategy, str(cell.budget), recipe.digest if recipe else "")
        if key not in self._shown:
            if recipe is not None:
                self._shown[key] = Shown((), recipe.digest, recipe.count, len(pool), recipe)
            else:
                chosen = select_at_random(cell.budget, pool, cell.seed) if cell.strategy == "random" else pool
                self._shown[key] = shown_of(chosen, len(pool))
        return self._shown[key]

    def _recipe(self, cell: Cell, data: DataSet, pool: Sequence[GoldDocument]) -> Recipe | None:
        """How a strategy chooses; None where nothing has to be computed for it: chance, or the whole pool."""
        count = budget_of(cell.budget, len(pool))
        if cell.strategy in ("", "random") or count >= len(pool):
            return None
        basis: dict[str, Any] = {"pool": content_hash(pool), "embedder": cell.config.demonstrations.embedder}
        if cell.strategy in ASKING:
            # Rules of the vote and thresholds do not change what the models answer, but verification is asked.
            asked = self._parts(_asking(cell.config, cell.config.steps.verify), data, Shown((), "", 0, 0))
            band = cell.config.steps.verify_band if cell.config.steps.verify == "selective" else ()
            basis |= {"asked": {name: part for name, part in asked.items() if name not in ("data",)}, "band": band}
        return Recipe(
            cell.strategy, count, cell.seed, cell.measure, self._rounds.batch, self._rounds.extract, _hash(basis)
        )  # fmt: skip

    def _parts(self, config: ProjectConfig, data: DataSet, shown: Shown) -> dict[str, Any]:
        parts = identity(config, data.labels, Reading(), models=self.models(config), demonstrations=shown.digest)
        return {**parts, "data": data.ref.hash, "version": [FORM, READING, program_version()]}

    def models(self, config: ProjectConfig) -> dict[str, str]:
        """Model name to revision and what runs it."""
        names = json.dumps(sorted({member.model for member in config.members}))
        if names not in self._models:
            self._models[names] = self._source.revisions(config)
        return self._models[names]


def told_of(shown: Shown) -> dict[str, Any]:
    """What a pass's header says of its demonstrations."""
    return {
        "demonstrations": len(shown.demonstrations),
        "documents": shown.documents,
        "pool": shown.pool,
        "hash": shown.digest,
    }


def shown_of(chosen: Sequence[GoldDocument], pool: int) -> Shown:
    """What documents show as demonstrations.

    Args:
        chosen: The documents.
        pool: How many there were to choose from.
    """
    from tools.demonstrations.gold import from_gold
    from tools.demonstrations.records import content_digest

    # The split of the source says nothing here: what may be shown was decided when the data were read.
    made = [d for g in chosen for d in from_gold([(g.document, g.spans)])]
    listed = tuple(_as_train(d) for d in made)
    return Shown(listed, content_digest(listed) if listed else "", len(chosen), pool)


def _as_train(demonstration: Demonstration) -> Demonstration:
    from dataclasses import replace

    return replace(demonstration, split="train")


def _asking(
    config: ProjectConfig, verify: Any, group: Sequence[tuple[Cell, DataSet, Shown]] = ()
) -> ProjectConfig:  # fmt: skip
    """The configuration with what only decides left open, so that equal ones mean equal questions."""
    bands = [cell.config.steps.verify_band for cell, _, _ in group if cell.config.steps.verify == "selective"]
    band = (min((b[0] for b in bands), default=0.0), max((b[1] for b in bands), default=1.0))
    steps = config.steps.model_copy(
        update={"verify": verify, "verify_band": band, "spans": "nested", "calibrate": True}
    )
    return config.model_copy(update={"steps": steps, "run": config.run.model_copy(update={"threshold": 0.0})})


def _widest(configs: Iterable[ProjectConfig]) -> str:
    modes = {config.steps.verify for config in configs}
    return next(mode for mode in ("on", "selective", "off") if mode in modes)


def _hash(what: Mapping[str, Any]) -> str:
    text = json.dumps(what, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@lru_cache(maxsize=1)
def program_version() -> str:
    """The version of this program."""
    try:
        return version("quorum-ner")
    except PackageNotFoundError:
        return "uninstalled"
