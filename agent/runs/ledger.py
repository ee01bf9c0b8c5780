"""A run in the store: begun, found again, gone on with, or refused."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from agent.engines.protocol import Usage
from agent.runs.extractor import Extracted
from agent.runs.identity import identity_hash, refuse_other, same
from agent.runs.parts import Part
from tools.annotation.document import Document
from tools.annotation.prediction import OutcomeKind, PassageResult
from tools.store import Run, RunState, Store

KIND = "extract"
_CLOSING = "input:"


class InputDigest:
    """A hash over the documents of an input, in order, taken while they stream by."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.documents = 0

    def add(self, document: Document) -> None:
        """Count one document."""
        self.documents += 1
        name = document.id.encode("utf-8", "surrogatepass")
        self._hash.update(len(name).to_bytes(8, "little") + name + bytes.fromhex(document.hash))

    def value(self) -> str:
        """The hash of what was added (hex, 32 digits)."""
        return self._hash.hexdigest()


@dataclass(slots=True)
class Ledger:
    """One run and what is recorded of it.

    Attributes:
        store: Where it is recorded.
        run: The run as it was when the ledger was opened.
        parts: Number to fingerprint of the recorded parts.
        input: The hash of the whole input; empty until it was read to its end
            and every part was recorded.
    """

    store: Store
    run: Run
    parts: dict[int, str]
    input: str = ""

    @classmethod
    def open(
        cls,
        store: Store,
        what: Mapping[str, Any],
        *,
        output: str,
        notes: Mapping[str, Any] | None = None,
        fresh: bool = False,
    ) -> Ledger:
        """The run that writes an output: the one that is there, or a new one.

        Args:
            store: Where runs are.
            what: The identity of this call (see ``identity``).
            output: What tells the runs of a store apart: each output has its own.
            notes: More to remember with a new run; JSON values.
            fresh: Begin a new run even though there is one.

        Raises:
            RunMismatch: The one that is there was begun in another way.
        """
        known = None if fresh else find_run(store, output)
        if known is None or void(known, store, what):
            config = {**(notes or {}), "output": output, "identity": dict(what)}
            return cls(store, store.run(store.start_run(config, identity_hash(what), KIND)), {})
        refuse_other(known.config.get("identity", {}), what, output)
        return cls.of(store, known)

    @classmethod
    def of(cls, store: Store, run: Run) -> Ledger:
        """The ledger of a run that is there."""
        parts = store.finished_parts(run.id)
        closing = max(parts, default=-1)
        if closing >= 0 and parts[closing].startswith(_CLOSING):
            return cls(store, run, parts, parts.pop(closing).removeprefix(_CLOSING))
        return cls(store, run, parts)

    @property
    def complete(self) -> bool:
        """Whether every part is recorded and the output was written."""
        return bool(self.input) and self.run.state is RunState.COMPLETE

    def resume(self) -> None:
        """Say that the run goes on."""
        self.store.finish_run(self.run.id, RunState.RUNNING)

    def record(self, part: Part, batch: Extracted, *, replace: bool = False) -> None:
        """Write a part, whole or not at all."""
        self.store.record_part(
            self.run.id, part.number, part.fingerprint, batch.results, plain_usage(batch.usage), replace=replace
        )

    def close_input(self, digest: str) -> None:
        """Every part is recorded: remember which input it was, as a last part without passages."""
        number = max(self.parts, default=-1) + 1
        number = max(number, max(self.store.finished_parts(self.run.id), default=-1) + 1)
        self.store.record_part(self.run.id, number, f"{_CLOSING}{digest}", (), {})
        self.input = digest

    def end(self, state: RunState) -> None:
        """Say how the run stands as this call leaves it."""
        self.store.finish_run(self.run.id, state)

    def outcomes(self) -> Counter[str]:
        """Passages by outcome."""
        return Counter({kind.value: count for kind, count in self.store.outcome_counts(self.run.id).items() if count})

    def failures(self) -> int:
        """How many passages are dead letters."""
        return self.store.outcome_counts(self.run.id)[OutcomeKind.FAILED]

    def results(self) -> Iterator[tuple[Document, list[PassageResult]]]:
        """The documents of the run in order, each with its passages."""
        return self.store.iter_results(self.run.id)

    def usage(self) -> dict[str, Usage]:
        """Tokens and time by tag, over all calls and attempts."""
        names = Usage.__slots__
        return {
            tag: Usage(**{name: amounts[name] for name in names if name in amounts})  # type: ignore[arg-type]
            for tag, amounts in self.store.usage(self.run.id).items()
        }


def find_run(store: Store, output: str | None = None) -> Run | None:
    """The last extraction of a store, or the last that writes an output."""
    runs = [run for run in store.runs() if run.kind == KIND]
    fitting = [run for run in runs if output is None or run.config.get("output") == output]
    return fitting[-1] if fitting else None


def void(run: Run | None, store: Store, what: Mapping[str, Any]) -> bool:
    """Whether a run was begun in another way than this call and has recorded nothing that could be mixed in."""
    return run is not None and not store.finished_parts(run.id) and not same(run.config.get("identity", {}), what)


def plain_usage(usage: Mapping[str, Usage]) -> dict[str, dict[str, float]]:
    """Usage as the store keeps it."""
    return {tag: asdict(used) for tag, used in usage.items()}
