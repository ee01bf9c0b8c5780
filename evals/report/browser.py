"""The documents of a report as one compressed value that the page's own script unpacks: gold, predictions, errors."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

from evals.browse import STEPS, Case
from evals.log import PassLog
from evals.report.explained import Explained
from tools.annotation.visible import visible
from tools.metrics import ErrorKind

KINDS = tuple(kind for kind in ErrorKind if kind is not ErrorKind.CORRECT)


class Documents:
    """Collects what the page shows of documents; every text is kept once.

    Texts are made visible before they are kept, code point by code point, so
    that offsets stay and the page has nothing to decide.
    """

    def __init__(self, explained: Explained | None = None) -> None:
        self.explained = explained or Explained(0)
        self._labels: dict[str, int] = {}
        self._sets: dict[str, dict[str, Any]] = {}
        self._cells: list[dict[str, Any]] = []

    def add(
        self, data: str, name: str, found: Sequence[Case], texts: Mapping[str, str], base: int | None, run: str = ""
    ) -> int:
        """Add a cell.

        Args:
            data: Which documents it is of: cells of one name share them.
            name: What the page calls it.
            found: Its documents, in the order of the data.
            texts: Their texts; those that are missing were not kept.
            base: The number of the cell that changes are told against.
            run: The run it is of.

        Returns:
            Its number.
        """
        shared = self._sets.setdefault(data, {"ids": {}, "docs": []})
        rows: list[Any] = [None] * len(shared["docs"])
        for case in found:
            place = self._place(shared, case, texts)
            rows += [None] * (place + 1 - len(rows))
            rows[place] = [
                [[p.start, p.end, self._label(p.label), round(p.confidence, 3)] for p in case.predicted],
                [self._fault(fault) for fault in case.faults],
                case.outcome,
            ]
        self._cells.append(
            {"data": data, "name": visible(name), "run": visible(run), "base": base, "rows": rows, "pass": None}
        )
        return len(self._cells) - 1

    def explain(self, cells: Sequence[int], made: PassLog, first: Sequence[str]) -> None:
        """Add votes, prompts and answers of the pass that some cells were read off.

        Args:
            cells: Their numbers.
            made: The pass.
            first: Ids of the documents to be explained before others.
        """
        ids: dict[str, int] = self._sets[self._cells[cells[0]]["data"]]["ids"]
        wanted = [id for id in dict.fromkeys((*first, *ids)) if id in ids][: self.explained.most_documents]
        if not wanted:
            return
        number = self.explained.add_pass(made.documents(), made.prompts(), {id: ids[id] for id in wanted})
        for cell in cells:
            self._cells[cell]["pass"] = number

    def _place(self, shared: dict[str, Any], case: Case, texts: Mapping[str, str]) -> int:
        place: int | None = shared["ids"].get(case.id)
        text = texts.get(case.id)
        if place is None:
            place = shared["ids"][case.id] = len(shared["docs"])
            gold = [[start, end, self._label(label)] for start, end, label in case.gold]
            shared["docs"].append([visible(case.id), None, gold])
        if text is not None and shared["docs"][place][1] is None:
            shared["docs"][place][1] = visible(text)
        return place

    def _label(self, name: str) -> int:
        return self._labels.setdefault(name, len(self._labels))

    def _fault(self, fault: Any) -> list[Any]:
        spans = [[[s, e, self._label(label)] for s, e, label in side] for side in (fault.gold, fault.predicted)]
        return [KINDS.index(fault.kind), [STEPS.index(step) for step in fault.steps if step in STEPS], *spans]

    @property
    def labels(self) -> tuple[str, ...]:
        """Types in the order of their colours."""
        return tuple(self._labels)

    @property
    def count(self) -> int:
        """How many cells there are."""
        return len(self._cells)

    def packed(self) -> str:
        """All of it: JSON, gzip, base64."""
        value = {
            "labels": [visible(name) for name in self._labels],
            "kinds": [str(kind) for kind in KINDS],
            "steps": list(STEPS),
            "sets": {visible(name): shared["docs"] for name, shared in self._sets.items()},
            "cells": [{**cell, "data": visible(cell["data"])} for cell in self._cells],
            "why": self.explained.to_json(),
        }
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        # A fixed time makes equal reports equal files.
        return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()
