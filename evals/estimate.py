"""What a suite will cost, said before it is spent: from a pilot of a few documents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evals.plan import PlannedPass

# A pass whose every question an earlier one has asked costs retrieval and bookkeeping only.
_REPLAYED = 0.05


@dataclass(frozen=True, slots=True)
class Pilot:
    """What some documents of one pass took.

    Attributes:
        documents: How many.
        characters: Of their texts.
        members: Members that were asked.
        seconds: Wall time.
        requests: Requests.
        prompt_tokens: Tokens read.
        output_tokens: Tokens written.
    """

    documents: int
    characters: int
    members: int
    seconds: float
    requests: int
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is still to be done, and about how much that is.

    Attributes:
        cells: Cells to be measured.
        shared: Cells that an earlier run has measured.
        passes: Passes through the graph.
        documents: Documents in them, each as often as it is read.
        requests: About how many requests.
        prompt_tokens: About how many tokens read.
        output_tokens: About how many written.
        seconds: About how long.
        pilot: Documents it was estimated from.
        read: Unlabelled documents that the models read besides, for strategies that choose by them.
    """

    cells: int
    shared: int
    passes: int
    documents: int
    requests: int
    prompt_tokens: int
    output_tokens: int
    seconds: float
    pilot: int
    read: int = 0

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def estimate(todo: Sequence[PlannedPass], shared: int, pilot: Pilot | None) -> Estimate:
    """Scale a pilot up to all passes: by characters, and by how many members are asked.

    Args:
        todo: The passes to be made.
        shared: Cells that need none.
        pilot: What some documents took; None where nothing is left to be asked.
    """
    cells = sum(len(planned.cells) for planned in todo)
    documents = sum(len(planned.data.documents) for planned in todo)
    if pilot is None:
        return Estimate(cells, shared, len(todo), documents, 0, 0, 0, 0.0, 0)
    scale = 0.0
    read = 0
    rounds: dict[str, int] = {}
    asked: dict[str, list[set[str]]] = {}
    for planned in todo:
        members = {json.dumps(member.model_dump(mode="json"), sort_keys=True) for member in planned.config.members}
        key = _apart_from_members(planned)
        known = any(members <= other for other in asked.get(key, ()))
        asked.setdefault(key, []).append(members)
        characters = sum(len(gold.document.text) for gold in planned.data.documents)
        share = characters / max(1, pilot.characters) * len(members) / max(1, pilot.members)
        scale += share * (_REPLAYED if known else 1 + 0.5 * len(planned.oracles))
        more = _read(planned, rounds)
        read += more
        scale += share * more / max(1, len(planned.data.documents))
    return Estimate(
        cells,
        shared,
        len(todo),
        documents,
        round(pilot.requests * scale),
        round(pilot.prompt_tokens * scale),
        round(pilot.output_tokens * scale),
        round(pilot.seconds * scale, 1),
        pilot.documents,
        read,
    )


def _read(planned: PlannedPass, rounds: dict[str, int]) -> int:
    """How many documents of the pool the models read for a pass, less what smaller budgets have read already."""
    recipe = planned.shown.recipe
    if recipe is None or not recipe.asks:
        return 0
    asking = sum(asks for _, asks in recipe.rounds())
    more = max(0, asking - rounds.get(recipe.family, 0))
    rounds[recipe.family] = max(asking, rounds.get(recipe.family, 0))
    return more * min(recipe.extract, planned.shown.pool)


def _apart_from_members(planned: PlannedPass) -> str:
    dump = planned.config.model_dump(mode="json", exclude={"members": True, "run": {"quorum"}})
    return json.dumps([dump, planned.data.ref.hash, planned.shown.digest, planned.header.seed], sort_keys=True)
