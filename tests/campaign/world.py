"""A made-up corpus, models that know what they were shown, and campaigns over both.

``work`` with ``kill`` is run in a process of its own, which kills itself with signal 9 before or after a node's body.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from agent.campaign import labelling, nodes
from agent.campaign.driver import Session, Status, settings_of
from agent.campaign.opening import project_campaign
from agent.campaign.oracle import Oracle
from agent.campaign.training import ProjectTrainer
from agent.config import ProjectConfig
from agent.engines.protocol import Engine
from agent.runs.progress import Observer
from tests.demonstrations.conftest import HashEmbedder
from tests.extraction.script import Asked, Script
from tools.annotation import Document, LabelSet, Span
from tools.store import Store

LABELS = LabelSet.of("person", "place")
PEOPLE = ("Ada", "Bo", "Cem", "Dora", "Eli", "Fay", "Gus", "Hana", "Ivo", "Jun")
PLACES = ("Lagos", "Minsk", "Nice", "Oslo", "Porto", "Quito", "Riga", "Split", "Turin", "Uppsala")
KNOWN = {PEOPLE[0], PLACES[0]}
VERBS = ("met", "wrote to", "waited for", "forgot", "followed", "thanked", "paid", "saw")
TOML = """\
[[members]]
name = "list"
model = "m"
[[members]]
name = "typed"
model = "m"
extract = "typed.v1"
classify = "asked.v1"
[steps]
verify = "off"
calibrate = false
[demonstrations]
retriever = "sentence"
k = 12
[campaign]
budget = 24
batch = 6
audit = 0.34
uncertainty_pool = 12
"""


def corpus(count: int = 60) -> list[tuple[Document, tuple[Span, ...]]]:
    """Documents with their gold."""
    rng = random.Random(1)
    made = []
    for number in range(count):
        words = [rng.choice(PEOPLE), rng.choice(VERBS), rng.choice(PEOPLE), "in", rng.choice(PLACES)]
        text = " ".join(words) + f" on day {number}." if number % 9 else f"Nothing happened on day {number}."
        spans = [
            Span(at, at + len(name), "person" if name in PEOPLE else "place")
            for name in dict.fromkeys((*PEOPLE, *PLACES))
            for at in range(len(text))
            if text.startswith(name, at) and not text[at + len(name)].isalpha() and (at == 0 or text[at - 1] == " ")
        ]
        made.append((Document(f"doc-{number:02}", text), tuple(sorted(spans))))
    return made


def found(asked: Asked) -> list[str]:
    """The names in a passage that a model knows, or was shown in a demonstration."""
    shown = " ".join(asked.demonstrations)
    words = asked.passage.replace(".", " ").split()
    return [w for w in dict.fromkeys(words) if w in (*PEOPLE, *PLACES) and (w in KNOWN or w in shown.split())]


def answer(asked: Asked) -> str:
    names = found(asked)
    if asked.member == "typed":
        return "".join(f"{'person' if n in PEOPLE else 'place'}: {n}\n" for n in names) or "-"
    return "".join(f"{name}\n" for name in names) or "-"


def types() -> Mapping[str, Mapping[str, float]]:
    right = {**dict.fromkeys(PEOPLE, "person"), **dict.fromkeys(PLACES, "place")}
    return {name: {label: 0.8, "none": 0.2} for name, label in right.items()}


@asynccontextmanager
async def engines(config: ProjectConfig) -> AsyncIterator[Mapping[str, Engine]]:
    yield {"m": Script(extract={"*": answer}, types=types()).engine()}


@asynccontextmanager
async def no_engines(config: ProjectConfig) -> AsyncIterator[Mapping[str, Engine]]:
    from tools.errors import ModelError

    raise ModelError("the model 'm' is not on this machine", "fetch it with: quorum models pull")
    yield {}


def make_project(folder: Path, documents: list[Document] | None = None, toml: str = TOML) -> ProjectConfig:
    """A project with documents and no gold."""
    from agent.configtemplate import labels_toml

    folder.mkdir(parents=True)
    (folder / "quorum.toml").write_text(toml, encoding="utf-8")
    (folder / "labels.toml").write_text(labels_toml(LABELS), encoding="utf-8")
    config = ProjectConfig.load(folder, environment={})
    with Store.open(config.store_path) as store:
        store.add_documents([document for document, _ in corpus()] if documents is None else documents)
    return config


def oracle(name: str = "oracle", noise: float = 0.0, keep: Callable[[str], bool] = lambda name: True) -> Oracle:
    gold = {document.id: spans for document, spans in corpus() if keep(document.id)}
    return Oracle(gold, LABELS.names, name, noise)


class Notes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def update(self, snapshot: object) -> None:
        pass

    def note(self, text: str) -> None:
        self.lines.append(text)


@contextmanager
def opened(
    config: ProjectConfig,
    *,
    simulated: Oracle | None = None,
    observer: Observer | None = None,
    models: Any = engines,
    fresh: bool = False,
    **given: Any,
) -> Iterator[Session]:
    settings = settings_of(config, **{"suggest": simulated is None, **given})
    with (
        Store.open(config.store_path) as store,
        project_campaign(
            config,
            store,
            settings,
            oracle=simulated,
            observer=observer,
            engines=models,
            embedder=HashEmbedder(),
            annotator="me",
            fresh=fresh,
        ) as session,
    ):
        yield session


def simulate(config: ProjectConfig, simulated: Oracle | None = None, **given: Any) -> Status:
    """A campaign with an oracle, as far as it goes."""
    who = simulated or oracle()
    with opened(config, simulated=who, **given) as session:
        return session.advance(who)


def picture(config: ProjectConfig) -> dict[str, Any]:
    """All that a campaign left behind, but for times."""
    with Store.open(config.store_path, read_only=True) as store:
        campaign = store.campaign()
        assert campaign is not None
        gold = {document.id: (gold.annotator, gold.spans) for document, gold in store.iter_gold()}
        runs = [
            (run.kind, run.state.value, [(d.id, results) for d, results in store.iter_results(run.id)])
            for run in store.runs()
        ]
        rounds = [
            (one.number, one.state.value, {k: v for k, v in one.report.items() if k not in ("seconds", "run")})
            for one in store.rounds(campaign.id)
        ]
        events = sum(1 for _ in store.events())
        return {
            "state": (campaign.state.value, campaign.reason),
            "items": store.items(campaign.id),
            "rounds": rounds,
            "gold": gold,
            "events": events,
            "runs": runs,
        }


def _killing(node: str, moment: str, number: int, marker: Path) -> None:
    """Have this process killed at a node, once."""
    body = getattr(nodes, node)

    @wraps(body)
    def run(state: Any, **runtime: Any) -> Any:
        due = state["round"] == number and not marker.exists()
        if due and moment == "before":
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        update = body(state, **runtime)
        if due and moment == "after":
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return update

    setattr(nodes, node, run)


def _killing_call(owner: Any, name: str, calls: int, marker: Path) -> None:
    """Have this process killed after so many calls of a method returned, once."""
    body = getattr(owner, name)
    count = 0

    def run(*arguments: Any, **named: Any) -> Any:
        nonlocal count
        given = body(*arguments, **named)
        count += 1
        if count == calls and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return given

    setattr(owner, name, run)


def _trained(folder: Path) -> None:
    """Training that leaves a line a round, and finds it when it is asked again."""

    def train(self: ProjectTrainer, campaign: int, round_number: int) -> str:
        log, line = folder / "trained.log", f"{campaign}-{round_number}"
        if line not in (log.read_text(encoding="utf-8").split() if log.exists() else []):
            with log.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        return f"trained {line}"

    ProjectTrainer.train = train  # type: ignore[method-assign]


def work(folder: Path, kill: tuple[str, str, int] | None = None, **given: Any) -> dict[str, Any]:
    """Simulate a campaign; answers that were confirmed are logged. With ``kill`` the process dies there, once."""
    config = ProjectConfig.load(folder, environment={})
    if given.get("train_every"):
        _trained(folder)
    marker, log = folder / "killed", folder / "confirmed.log"
    record = labelling.answer

    def confirmed(store: Store, document_id: str, *arguments: Any, **named: Any) -> int:
        event = record(store, document_id, *arguments, **named)
        with log.open("a", encoding="utf-8") as stream:
            stream.write(document_id + "\n")
        return event

    labelling.answer = confirmed
    try:
        if kill is not None:
            where, moment, number = kill
            if moment in ("before", "after"):
                _killing(where, moment, number, marker)
            else:
                from tools.demonstrations import DemonstrationIndex

                owners = {"labelling": labelling, "store": Store, "index": DemonstrationIndex}
                _killing_call(owners[where], moment, number, marker)
        status = simulate(config, **given)
    finally:
        labelling.answer = record
    return {"labels": status.labels, "stop": status.stop}
