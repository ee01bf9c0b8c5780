"""What Quorum itself costs: a corpus through everything but a model.

    python benchmarks/overhead.py [--passages 1000000] [--quick] [--members 3] [--json FILE]

Documents of one passage are read from a JSON Lines file, stored, cut, taken
through the extraction graph (three members, classify, verify where votes are
close), recorded, and written out. The engine is the scripted one, which answers
at once: one mention a passage, agreed upon. A second figure takes the graph
out: reading, storing, cutting, scheduling, recording and writing alone. Reports
milliseconds a passage and how resident memory grows from 10 % of the passages on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil

from agent.config import DemonstrationsConfig, ProjectConfig, RunConfig
from agent.engines.protocol import Completion, Request, TokenAlternatives
from agent.engines.scripted import ScriptedEngine
from agent.extraction.quorum import Quorum
from agent.runs.extractor import Extracted
from agent.runs.progress import Observer, Snapshot
from agent.runs.session import CountingExtractor, Job, extract
from tools.annotation import LabelSet, Passage, Span
from tools.annotation.prediction import Entity, Outcome, PassageResult, Vote
from tools.store import Store

LABELS = LabelSet.of("person", "organization", "location", "product")
TEXT = "On day {number} the harbour office said that Ngozi Adeyemi had left for the new plant near the river."
NAME = "Ngozi Adeyemi"


def reply(request: Request) -> Completion:
    """The same name in every passage, and every question answered with certainty."""
    constraint = request.constraint
    if constraint is not None and constraint.kind == "choice":
        said = "yes" if "yes" in constraint.choices else "person"
        other = next(choice for choice in constraint.choices if choice != said)
        top = ((said, math.log(0.96)), (other, math.log(0.04)))
        return Completion(said, prompt_tokens=200, output_tokens=1, logprobs=(TokenAlternatives(said, top[0][1], top),))
    typed = request.tag.endswith("/typed")
    return Completion(f"person: {NAME}\n" if typed else f"{NAME}\n", prompt_tokens=200, output_tokens=6)


class Bare:
    """An extractor that finds the name and does nothing else."""

    async def extract(self, passages: Sequence[Passage]) -> Extracted:
        """One entity a passage with three votes."""
        return Extracted(tuple(map(self._one, passages)))

    def count_tokens(self, text: str) -> int:
        """About four characters a token."""
        return len(text) // 4 + 1

    @staticmethod
    def _one(passage: Passage) -> PassageResult:
        start = passage.start + passage.text.index(NAME)
        votes = tuple(Vote(name, True, "person", 0.96) for name in ("list", "typed", "bare"))
        entity = Entity(Span(start, start + len(NAME), "person"), 0.9, votes)
        return PassageResult(passage.document_id, passage.index, Outcome(), (entity,))


@dataclass
class Crew:
    """Opens one or the other."""

    config: ProjectConfig
    graph: bool

    def revisions(self) -> Mapping[str, str]:
        """The script's."""
        return {"starter": "scripted"}

    def demonstrations(self) -> str:
        """None are shown: embedding them is a model's work."""
        return ""

    @asynccontextmanager
    async def open(self, store: Store, observer: Observer) -> AsyncIterator[CountingExtractor]:
        """Nothing to start."""
        if self.graph:
            yield Quorum(self.config, LABELS, {"starter": ScriptedEngine(reply)})
        else:
            yield Bare()


@dataclass
class Memory:
    """Watches resident memory at 10 % and 100 % of the passages."""

    total: int
    seen: dict[int, int] = field(default_factory=dict)

    def update(self, snapshot: Snapshot) -> None:
        """Look at the first moment past each mark."""
        for mark in (10, 50, 100):
            if snapshot.documents * 100 >= mark * self.total and mark not in self.seen:
                self.seen[mark] = psutil.Process().memory_info().rss
                rate = f"{snapshot.documents_per_second:9,.0f} passages/s"
                print(f"  {mark:3d} %  {self.seen[mark] / 2**20:7.0f} MiB  {rate}", file=sys.stderr)

    def note(self, text: str) -> None:
        """Nothing is expected."""
        print(text, file=sys.stderr)


def corpus(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for number in range(count):
            stream.write(f'{{"id":"doc-{number}","text":"{TEXT.format(number=number)}"}}\n')


def measure(source: Path, folder: Path, count: int, members: int, *, graph: bool) -> dict[str, float]:
    config = ProjectConfig.default(
        environment={}, run=RunConfig(batch=64, in_flight=4), demonstrations=DemonstrationsConfig(k=0)
    )
    config = config.with_members([member.name for member in config.members][:members])
    output = folder / f"{'graph' if graph else 'bare'}.jsonl"
    job = Job(str(source), output, output.with_suffix(".db"), config, LABELS)
    memory = Memory(count)
    before = time.process_time()
    began = time.perf_counter()
    summary = asyncio.run(extract(job, Crew(config, graph), memory))
    seconds = time.perf_counter() - began
    if summary.documents != count or summary.entities != count:
        raise SystemExit(f"{summary.documents} documents and {summary.entities} entities instead of {count} each")
    rss = psutil.Process().memory_info().rss
    figures = {
        "ms_a_passage": 1000 * seconds / count,
        "cpu_ms_a_passage": 1000 * (time.process_time() - before) / count,
        "rss_10_mib": memory.seen[10] / 2**20,
        "rss_100_mib": memory.seen[100] / 2**20,
        "rss_written_mib": rss / 2**20,
        "growth_mib": (max(rss, memory.seen[100]) - memory.seen[10]) / 2**20,
    }
    for file in folder.glob(f"{output.stem}*"):
        file.unlink()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="20,000 passages")
    parser.add_argument("--members", type=int, default=3, choices=(1, 2, 3))
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    parser.add_argument("--folder", type=Path, help="where to keep the corpus meanwhile; about 1 GB a million")
    options = parser.parse_args()
    count = 20_000 if options.quick else options.passages
    found: dict[str, object] = {"passages": count, "members": options.members}
    with tempfile.TemporaryDirectory(prefix="quorum-overhead-", dir=options.folder) as name:
        folder = Path(name)
        corpus(folder / "corpus.jsonl", count)
        for title, graph in (("whole pipeline", True), ("without the graph", False)):
            figures = measure(folder / "corpus.jsonl", folder, count, options.members, graph=graph)
            found[title] = {key: round(value, 4) for key, value in figures.items()}
            print(
                f"{title}: {figures['ms_a_passage']:.3f} ms a passage ({figures['cpu_ms_a_passage']:.3f} ms of CPU), "
                f"{count:,} passages, memory grew by {figures['growth_mib']:.0f} MiB from 10 % on"
            )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
