"""An unattended run as a person watches it, read from its store by another process."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.runs.ledger import KIND
from agent.runs.sizing import count_documents
from tools.annotation.prediction import OutcomeKind
from tools.errors import StoreError
from tools.store import Run, RunState, Store, writer_of
from tools.store.records import DeadLetter
from tools.store.runs import add_usage
from tools.store.watching import Marks, PartMark, changes, marks

WINDOW_SECONDS = 60.0
_FEW = 8  # parts a rate is taken over where the last minute brought fewer
_LATEST = 4  # parts in which a member must have answered
_AGAIN_SECONDS = 30.0  # a retry writes over parts that were read already
MOST_LETTERS = 5000
SIDECAR = ".run.db"
_BARS = " \u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"


@dataclass(frozen=True, slots=True)
class MemberView:
    """A member of the quorum, as its answers tell.

    Attributes:
        name: Its name.
        model: The model it names.
        state: ``answers``, ``silent`` (it did not answer in the latest parts), or ``waiting``.
        requests: Sent in this run, over all steps.
        failures: Of these.
        from_cache: Of these, answered without the model.
        output_tokens: Written.
        latency: Seconds a request that reached the model; None where none did.
    """

    name: str
    model: str
    state: str
    requests: int
    failures: int
    from_cache: int
    output_tokens: int
    latency: float | None


@dataclass(frozen=True, slots=True)
class RunView:
    """One look at a run.

    Attributes:
        run: As the store has it.
        output: The file it writes.
        source: What it reads; empty where that was not noted.
        writer: The process that writes the store; None where none does, 0 where its number is unknown.
        documents: Begun and recorded.
        passages: Recorded.
        predictions: Spans found, those turned down included.
        total: Documents there are; None while that is not known.
        outcomes: Passages by outcome, best first.
        documents_per_second: Over the last minute it worked.
        tokens_per_second: Read and written, over the same.
        average: Documents a second from its beginning on, pauses included.
        eta: Seconds that are left; None where that cannot be said.
        elapsed: Seconds from its beginning to now, or to its end.
        idle: Seconds since a part was recorded; None where none was.
        series: Documents by slice of time, from the beginning to now.
        members: Of the quorum.
        named: How commands name it: ``--project DIR``, or ``--output FILE``.
    """

    run: Run
    output: str
    source: str
    writer: int | None
    documents: int
    passages: int
    predictions: int
    total: int | None
    outcomes: Mapping[str, int]
    documents_per_second: float
    tokens_per_second: float
    average: float
    eta: float | None
    elapsed: float
    idle: float | None
    series: tuple[int, ...]
    members: tuple[MemberView, ...]
    named: str

    @property
    def dead_letters(self) -> int:
        """Passages that failed."""
        return self.outcomes.get(OutcomeKind.FAILED.value, 0)

    @property
    def killed(self) -> bool:
        """Whether it is left as running with nobody to run it."""
        return self.run.state is RunState.RUNNING and self.writer is None

    @property
    def going(self) -> bool:
        """Whether it goes on now."""
        return self.run.state is RunState.RUNNING and self.writer is not None

    @property
    def state(self) -> str:
        """How it stands, in a word or two."""
        return "killed" if self.killed else self.run.state.value

    @property
    def next(self) -> str:
        """What comes next, for the person."""
        if self.going:
            if self.idle is None:
                return "models are loading, or the first part is being worked on"
            return "goes on by itself; leave at any time, it does not mind"
        if self.run.state is not RunState.COMPLETE:
            return "run the same quorum extract command again: it goes on where this ended"
        if self.dead_letters:
            return f"done; try the dead letters again with: quorum retry {self.named}"
        return f"done; the entities are in {self.output}"

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "run": self.run.id,
            "kind": self.run.kind,
            "state": self.state,
            "output": self.output,
            "source": self.source,
            "writer": self.writer,
            "documents": self.documents,
            "total": self.total,
            "passages": self.passages,
            "predictions": self.predictions,
            "outcomes": dict(self.outcomes),
            "dead_letters": self.dead_letters,
            "documents_per_second": round(self.documents_per_second, 3),
            "tokens_per_second": round(self.tokens_per_second, 3),
            "average": round(self.average, 3),
            "eta": self.eta if self.eta is None else round(self.eta, 1),
            "elapsed": round(self.elapsed, 1),
            "members": [{name: getattr(member, name) for name in MemberView.__slots__} for member in self.members],
        }


@dataclass
class RunReader:
    """Reads a store look by look; a look costs what was recorded since the one before.

    Args:
        path: The store's file.
        root: What a relative input was named from, beside the folder one is in.
        wanted: The run; None follows the latest.
        clock: Seconds since 1970.
    """

    path: Path
    root: Path = field(default_factory=Path)
    wanted: int | None = None
    clock: Callable[[], float] = time.time
    _store: Store | None = None
    _file: tuple[int, int] = (0, 0)
    _seen: int = -1
    _run: Run | None = None
    _frontier: int = 0
    _settled: list[PartMark] = field(default_factory=list)
    _settled_outcomes: Counter[str] = field(default_factory=Counter)
    _settled_usage: dict[str, dict[str, float]] = field(default_factory=dict)
    _recent: Marks = field(default_factory=lambda: Marks((), {}))
    _whole: float = 0.0
    _total: int | None = None
    _counted: int | None = None

    @property
    def store(self) -> Store:
        """The store, opened for reading; again where another file has taken its place.

        Raises:
            StoreError: It is not there, damaged, or being made just now.
        """
        try:
            stat = self.path.stat()
        except OSError as error:
            self.close()
            raise StoreError(f"{self.path}: there is no store", "quorum extract makes one") from error
        if self._store is None or (stat.st_dev, stat.st_ino) != self._file:
            self.close()
            self._store = Store.open(self.path, read_only=True)
            self._file, self._seen, self._run = (stat.st_dev, stat.st_ino), -1, None
        return self._store

    def close(self) -> None:
        """Close the store; the next look opens it again."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def forget(self) -> None:
        """The next look reads everything, e.g. of another run."""
        self._run = None

    def runs(self) -> list[Run]:
        """The extractions of the store, the latest first.

        Raises:
            StoreError: It cannot be read.
        """
        return [run for run in reversed(self.store.runs()) if run.kind == KIND]

    def look(self) -> RunView | None:
        """How the run stands now; None while there is none.

        Raises:
            StoreError: The store cannot be read, or has no such run.
        """
        store = self.store
        now, seen = self.clock(), changes(store)
        if seen != self._seen or self._run is None:
            run = store.latest_run(KIND) if self.wanted is None else store.run(self.wanted)
            if run is None:
                return None
            ended = self._run is not None and self._run.state is not run.state
            again = self._run is None or run.id != self._run.id or ended or now - self._whole > _AGAIN_SECONDS
            self._run = run
            self._read(store, run.id, afresh=again)
            self._seen = seen
        return self._view(self._run, now)

    def _read(self, store: Store, run: int, *, afresh: bool) -> None:
        if afresh:
            self._frontier, self._whole = 0, self.clock()
            self._settled, self._settled_outcomes, self._settled_usage = [], Counter(), {}
        found = marks(store, run, self._frontier)
        frontier = self._frontier
        for part in found.parts:  # by number: what has no gap before it is settled
            if part.number != frontier:
                break
            frontier += 1
        if frontier > self._frontier:
            rest = marks(store, run, frontier)
            # What was recorded between the two readings is in the second only, and beyond the frontier.
            settled = marks(store, run, self._frontier, frontier) if rest.parts else found
            self._settled += settled.parts
            self._settled_outcomes.update(settled.outcomes)
            self._settled_usage = add_usage(self._settled_usage, settled.usage)
            self._frontier, found = frontier, rest
        self._recent = found

    # -- reckoning ----------------------------------------------------------------------------------------------

    def _view(self, run: Run, now: float) -> RunView:
        parts = [*self._settled, *self._recent.parts]
        outcomes = self._settled_outcomes + Counter(self._recent.outcomes)
        documents = sum(part.documents for part in parts)
        worked = sorted((part for part in parts if part.passages), key=lambda part: part.recorded)
        writer = writer_of(self.path) if run.state is RunState.RUNNING else None
        going = run.state is RunState.RUNNING and writer is not None
        last = worked[-1].recorded if worked else None
        end = now if going else run.finished or last or run.started
        rate, tokens = _rates(worked, now if going else last or end, run.started)
        total = documents if run.state is RunState.COMPLETE else self._documents_there_are(run)
        elapsed = max(0.0, end - run.started)
        return RunView(
            run=run,
            output=str(run.config.get("output", "")),
            source=str(run.config.get("source", "")),
            writer=writer,
            documents=documents,
            passages=sum(part.passages for part in parts),
            predictions=sum(part.predictions for part in parts),
            total=None if total is None else max(total, documents),
            outcomes={kind.value: outcomes[kind.value] for kind in OutcomeKind if outcomes[kind.value]},
            documents_per_second=rate,
            tokens_per_second=tokens,
            average=documents / elapsed if elapsed > 0 else 0.0,
            eta=max(0, total - documents) / rate if going and total is not None and rate > 0 else None,
            elapsed=elapsed,
            idle=None if last is None else max(0.0, now - last),
            series=_series(worked, run.started, end),
            members=self._members(run, worked),
            named=self._named(run),
        )

    def _named(self, run: Run) -> str:
        output = str(run.config.get("output", ""))
        if self.path.name.endswith(SIDECAR):
            return f"--output {self.path.with_name(output)}"
        return f"--project {self.root}" + (f" --output {output}" if self.wanted is not None else "")

    def _documents_there_are(self, run: Run) -> int | None:
        """Counted once a run, not parsed: a little off for some files, unknown for others."""
        if self._counted != run.id:
            self._counted, self._total = run.id, None
            reading = run.config.get("identity", {}).get("input", {})
            source = str(run.config.get("source", "-"))
            shard = reading.get("shard")
            for place in (Path(source), self.root / source):
                if source != "-" and place.exists():
                    self._total = count_documents(
                        place,
                        lines=bool(reading.get("lines")),
                        limit=reading.get("limit"),
                        shard=(shard[0], shard[1]) if shard else None,
                    )
                    break
        return self._total

    def _members(self, run: Run, worked: Sequence[PartMark]) -> tuple[MemberView, ...]:
        usage = add_usage(self._settled_usage, self._recent.usage)
        latest = [part for part in worked[-2 * _LATEST :] if part.usage][-_LATEST:]
        known = run.config.get("config", {}).get("members") or []
        found = []
        for member in known:
            name = str(member["name"])
            spent = _spent(usage, name)
            lately = [_spent(part.usage, name) for part in latest]
            if not latest:
                state = "waiting"
            elif any(one.get("requests", 0) > one.get("failures", 0) for one in lately):
                state = "answers"
            else:
                state = "silent"
            asked = spent.get("requests", 0) - spent.get("from_cache", 0)
            found.append(
                MemberView(
                    name,
                    str(member.get("model", "")),
                    state,
                    int(spent.get("requests", 0)),
                    int(spent.get("failures", 0)),
                    int(spent.get("from_cache", 0)),
                    int(spent.get("output_tokens", 0)),
                    spent.get("seconds", 0.0) / asked if asked > 0 and spent.get("seconds") else None,
                )
            )
        return tuple(found)

    # -- dead letters -------------------------------------------------------------------------------------------

    def letters(self, run: int) -> list[DeadLetter]:
        """The passages that failed, in document order; the first ``MOST_LETTERS`` of them.

        Raises:
            StoreError: The store cannot be read.
        """
        return [letter for letter, _ in zip(self.store.dead_letters(run), range(MOST_LETTERS), strict=False)]

    def text(self, letter: DeadLetter) -> str:
        """The text of a dead letter's document.

        Raises:
            QuorumError: It is not there, or cannot be read.
        """
        return self.store.document(letter.document_id).text


def _spent(usage: Mapping[str, Mapping[str, float]], member: str) -> dict[str, float]:
    total: Counter[str] = Counter()
    for tag, amounts in usage.items():
        if tag.partition("/")[2] == member:
            for name, amount in amounts.items():
                total[name] += amount  # type: ignore[assignment]
    return dict(total)


def _rates(worked: Sequence[PartMark], now: float, began: float) -> tuple[float, float]:
    """Documents and tokens a second over the last minute, or over the last few parts where these took longer."""
    lately = [part for part in worked if now - part.recorded <= WINDOW_SECONDS]
    window = list(worked[-max(_FEW, len(lately)) :])
    if not window:
        return 0.0, 0.0
    # What the oldest brought was done before it was recorded, and is the window's edge; the very first has only
    # the run's beginning before it.
    since = window.pop(0).recorded if len(window) > 1 else began
    passed = max(now - since, 1e-3)
    tokens = sum(
        amounts.get("prompt_tokens", 0) + amounts.get("output_tokens", 0)
        for part in window
        for amounts in part.usage.values()
    )
    return sum(part.documents for part in window) / passed, tokens / passed


def _series(worked: Sequence[PartMark], began: float, end: float, slices: int = 60) -> tuple[int, ...]:
    if not worked or end <= began:
        return ()
    counts = [0] * slices
    for part in worked:
        counts[min(slices - 1, max(0, int((part.recorded - began) / (end - began) * slices)))] += part.documents
    return tuple(counts)


def spark(series: Sequence[int], width: int) -> str:
    """A series as a line of bars, one a cell; anything above nothing can be seen."""
    if not series or width < 1:
        return ""
    folded = [0] * min(width, len(series))
    for number, value in enumerate(series):
        folded[number * len(folded) // len(series)] += value
    most = max(folded) or 1
    return "".join(_BARS[0 if not value else max(1, round(value / most * 8))] for value in folded)
