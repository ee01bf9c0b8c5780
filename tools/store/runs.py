"""Runs over documents and their parts, each written whole or not at all."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence

from tools.annotation.prediction import Entity, PassageResult
from tools.errors import InputError, StoreError
from tools.store.codec import from_json, pack, to_json, unpack
from tools.store.database import Row
from tools.store.documents import Section
from tools.store.records import Run, RunState

UsageByTag = Mapping[str, Mapping[str, float]]
_RUN = "SELECT run, kind, config, config_hash, state, started, finished FROM runs"


class Runs(Section):
    """Starting, resuming and finishing runs; recording their parts."""

    def start_run(self, config: Mapping[str, object], config_hash: str, kind: str = "extract") -> int:
        """Begin a run.

        Args:
            config: All that shapes it; JSON-serialisable.
            config_hash: Equal for configurations that may be mixed in one run.
            kind: What it is for.

        Returns:
            The run's id.

        Raises:
            InputError: The configuration has no JSON form.
        """
        try:
            form = to_json(dict(config))
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"the run's configuration has no JSON form ({error})", "use plain values") from error
        with self._db.transaction():
            cursor = self._db.execute(
                "INSERT INTO runs (kind, config, config_hash, state, started) VALUES (?, ?, ?, 'running', ?)",
                pack(kind), form, pack(config_hash), time.time(),
            )  # fmt: skip
            return int(cursor.lastrowid or 0)

    def finish_run(self, run_id: int, state: RunState | str = RunState.COMPLETE) -> None:
        """Set a run's state; ``running`` takes a paused or stopped run up again.

        Raises:
            StoreError: There is no such run.
        """
        state = RunState(state)
        finished = None if state is RunState.RUNNING else time.time()
        with self._db.transaction():
            sql = "UPDATE runs SET state = ?, finished = ? WHERE run = ?"
            if not self._db.execute(sql, state.value, finished, run_id).rowcount:
                raise _no_run(run_id)

    def run(self, run_id: int) -> Run:
        """The run of an id.

        Raises:
            StoreError: There is none.
        """
        row = self._db.first(f"{_RUN} WHERE run = ?", run_id)
        if row is None:
            raise _no_run(run_id)
        return _to_run(row)

    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        return [_to_run(row) for row in self._db.query(f"{_RUN} ORDER BY run")]

    def latest_run(self, kind: str | None = None) -> Run | None:
        """The run begun last (of a kind), or None."""
        where, values = ("", ()) if kind is None else (" WHERE kind = ?", (pack(kind),))
        row = self._db.first(f"{_RUN}{where} ORDER BY run DESC LIMIT 1", *values)
        return None if row is None else _to_run(row)

    def record_part(
        self,
        run_id: int,
        part: int,
        fingerprint: str,
        results: Sequence[PassageResult],
        usage: UsageByTag,
        *,
        replace: bool = False,
    ) -> None:
        """Write all that came of a part, in one transaction.

        Args:
            run_id: The run.
            part: Its number, from 0.
            fingerprint: Tells whether another reading cut the same part.
            results: One a passage; entities carry document offsets, and their
                ``passage`` is taken to be the result's index.
            usage: Tag to name to amount, e.g. ``{"extract/a": {"requests": 64}}``.
            replace: Write over a part that is there; its usage is added to, since
                the tokens of both attempts were spent.

        Raises:
            StoreError: There is no such run, the part is there already (without
                ``replace``), or a passage is in another part of the run.
            InputError: A document is unknown, or a span lies beyond its text.
        """
        outcomes, predictions = self._rows(run_id, part, results)
        with self._db.transaction():
            total, attempts = self._make_room(run_id, part, usage, replace=replace)
            spent = to_json({tag: dict(amounts) for tag, amounts in total.items()})
            try:
                self._db.execute(
                    "INSERT INTO parts (run, part, fingerprint, passages, predictions, attempts, usage, recorded)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    run_id, part, pack(fingerprint), len(outcomes), len(predictions), attempts, spent, time.time(),
                )  # fmt: skip
                self._db.executemany("INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", outcomes)
                self._db.executemany("INSERT INTO predictions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", predictions)
            except sqlite3.IntegrityError as error:
                raise StoreError(
                    f"part {part} of run {run_id} cannot be recorded ({error})",
                    "a passage may stand in one part only, and numbers must be finite",
                ) from error

    def _make_room(self, run_id: int, part: int, usage: UsageByTag, *, replace: bool) -> tuple[UsageByTag, int]:
        """Check run and part, remove what is replaced; the usage and attempts to write."""
        if self._db.first("SELECT 1 FROM runs WHERE run = ?", run_id) is None:
            raise _no_run(run_id)
        old = self._db.first("SELECT usage, attempts FROM parts WHERE run = ? AND part = ?", run_id, part)
        if old is None:
            return usage, 1
        if not replace:
            raise StoreError(f"part {part} of run {run_id} is recorded already", "replace it on purpose, or skip it")
        self._db.execute("DELETE FROM parts WHERE run = ? AND part = ?", run_id, part)
        return add_usage(from_json(old[0]), usage), int(old[1]) + 1

    def _rows(self, run_id: int, part: int, results: Sequence[PassageResult]) -> tuple[list[Row], list[Row]]:
        """The rows of outcomes and of predictions."""
        known = self._document_rows(result.document_id for result in results)
        outcomes: list[Row] = []
        predictions: list[Row] = []
        for result in results:
            doc, chars = known[result.document_id]
            outcomes.append((
                run_id, doc, result.index, part, result.outcome.kind.value, pack(result.outcome.reason),
                to_json(result.ungrounded), to_json(result.demonstrations),
            ))  # fmt: skip
            for rejected, entities in enumerate((result.entities, result.rejected)):
                for n, entity in enumerate(entities):
                    if entity.span.end > chars:
                        raise InputError(
                            f"document {result.document_id!r}: prediction {entity.span.start}:{entity.span.end}"
                            f" reaches beyond its {chars} characters",
                        )
                    predictions.append((run_id, doc, result.index, rejected, n, *_entity_row(entity)))
        return outcomes, predictions

    def finished_parts(self, run_id: int) -> dict[int, str]:
        """Part number to fingerprint, of the parts that were recorded, by number."""
        rows = self._db.query("SELECT part, fingerprint FROM parts WHERE run = ? ORDER BY part", run_id)
        return {part: unpack(value) for part, value in rows}

    def usage(self, run_id: int) -> dict[str, dict[str, float]]:
        """Tag to name to amount, summed over the run's parts and all their attempts."""
        total: dict[str, dict[str, float]] = {}
        sql, after = "SELECT part, usage FROM parts WHERE run = ? AND part > ? ORDER BY part LIMIT 1024", -1
        while rows := self._db.query(sql, run_id, after):
            for _, value in rows:
                total = add_usage(total, from_json(value))
            after = rows[-1][0]
        return total


def add_usage(total: UsageByTag, more: UsageByTag) -> dict[str, dict[str, float]]:
    """Two usages together, tag by tag and name by name."""
    summed = {tag: dict(amounts) for tag, amounts in total.items()}
    for tag, amounts in more.items():
        into = summed.setdefault(tag, {})
        for name, amount in amounts.items():
            into[name] = into.get(name, 0) + amount
    return summed


def _entity_row(entity: Entity) -> Row:
    votes = [[vote.member, int(vote.proposed), vote.label, vote.probability] for vote in entity.votes]
    span = entity.span
    return (span.start, span.end, pack(span.label), entity.confidence, entity.verdict, to_json(votes))


def _to_run(row: Row) -> Run:
    return Run(row[0], unpack(row[1]), from_json(row[2]), unpack(row[3]), RunState(row[4]), row[5], row[6])


def _no_run(run_id: int) -> StoreError:
    return StoreError(f"there is no run {run_id}", "see the runs with: quorum status")
