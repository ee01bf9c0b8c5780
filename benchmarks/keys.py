"""How many keys a gold span costs on the labelling screen, with suggestions and without.

    python -m benchmarks.keys --data FOLDER [--corpora conll2003,wnut17,bc5cdr] [--limit 60] [--shots 0]
                              [--predictions FOLDER] [--members a,b] [--json] [--keep FOLDER]

A scripted annotator who knows the gold (``keys_plan`` says how they choose their keys) labels the first sentences of
each corpus's test split through the real screen: Textual's Pilot presses the keys, the store keeps the decisions. Once
no models have looked at the documents; once ``quorum extract --project`` has, with the project's own members (the
starter by default, ``--shots`` sentences of the train split as demonstrations), or predictions are read from
``--predictions FOLDER/CORPUS.jsonl`` as ``quorum extract`` writes them. At the end of both, what is stored must equal
the gold, span for span; otherwise the benchmark fails.

A key is one press, with or without Shift, Control or Alt; a chord of two keys counts two. Told are keys a gold span,
the ratio of both with a 95 % interval (documents drawn again, 2,000 times), and what the machine spent on a document:
seconds of the processor from the first key to the paint after the last.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.keys_plan import Planner
from tools.annotation import Document, LabelSet, Span
from tools.annotation.prediction import Entity, Outcome, PassageResult
from tools.store import Store

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from tui.screens.label import LabelScreen

CORPORA = ("conll2003", "wnut17", "bc5cdr")
SIZE = (80, 24)
# Of the 80 columns the document's widget uses three for its margins.
TEXT_WIDTH = SIZE[0] - 3
ANNOTATOR = "scripted"


@dataclass(frozen=True, slots=True)
class Labelled:
    """One document labelled through the screen.

    Attributes:
        document: Its id.
        spans: Gold spans.
        keys: Keys pressed, the one that finishes it included.
        seconds: Processor time, from the first key to the last paint.
        clock: The same on the clock.
    """

    document: str
    spans: int
    keys: int
    seconds: float
    clock: float


def read(folder: Path, split: str, limit: int) -> list[dict[str, Any]]:
    """The first records of a split that have text."""
    plain, packed = folder / f"{split}.jsonl", folder / f"{split}.jsonl.gz"
    found: list[dict[str, Any]] = []
    with open(plain, encoding="utf-8") if plain.exists() else gzip.open(packed, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record["text"].strip():
                found.append(record)
            if len(found) == limit:
                break
    return found


def gold_of(records: Sequence[dict[str, Any]]) -> dict[str, frozenset[Span]]:
    """Document id to its gold."""
    return {r["id"]: frozenset(Span(e["start"], e["end"], e["label"]) for e in r["entities"]) for r in records}


def write(path: Path, records: Sequence[dict[str, Any]], *, gold: bool) -> None:
    """Records as ``quorum`` reads them."""
    kept = ("id", "text", "entities") if gold else ("id", "text")
    path.write_text("".join(json.dumps({k: r[k] for k in kept}) + "\n" for r in records), encoding="utf-8")


def project(folder: Path, labels: Sequence[str], documents: Sequence[dict[str, Any]]) -> Path:
    """A project with documents and nothing else."""
    from agent.config import write_template

    write_template(folder, LabelSet.of(*labels))
    with Store.open(folder / ".quorum" / "store.db") as store:
        store.add_documents(Document(r["id"], r["text"]) for r in documents)
    return folder


def extract(folder: Path, documents: Path, shots: Path | None, members: str) -> None:
    """``quorum extract`` as a person would call it."""
    command = [sys.executable, "-m", "tui.main", "extract", "--input", str(documents), "--project", str(folder)]
    command += ["--output", str(folder / "predictions.jsonl")]
    command += ["--demos", str(shots)] if shots else []
    command += ["--members", members] if members else []
    done = subprocess.run(command, cwd=Path(__file__).parents[1], check=False)
    if done.returncode:
        raise SystemExit(f"quorum extract ended with status {done.returncode}")


def predicted(folder: Path, path: Path) -> None:
    """Predictions of a file into the project's store, as a run of its own."""
    with Store.open(folder / ".quorum" / "store.db") as store:
        run = store.start_run({"source": str(path)}, "predictions")
        results = []
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if store.has_document(record["id"]):
                found = (
                    Entity(Span(e["start"], e["end"], e["label"]), float(e.get("confidence", 1.0)), ())
                    for e in record["entities"]
                )
                results.append(PassageResult(record["id"], 0, Outcome(), tuple(found)))
        store.record_part(run, 0, "predictions", results, {})
        store.finish_run(run)


def label(folder: Path, labels: Sequence[str], gold: dict[str, frozenset[Span]]) -> list[Labelled]:
    """Label all of a project through the screen, and make sure that what is stored is the gold."""
    from tui.app import QuorumApp
    from tui.labelling.project import Project
    from tui.labelling.queue import ListQueue
    from tui.labelling.session import Session
    from tui.screens.label import LabelScreen

    found: list[Labelled] = []
    with Store.open(folder / ".quorum" / "store.db", shared=True, durable=True) as store:
        shown = Project("keys", folder, LabelSet.of(*labels), folder / "labels.toml")
        session = Session(store, ANNOTATOR, ListQueue(store, ANNOTATOR, list(gold)))

        async def work() -> None:
            app = QuorumApp()
            app.first = lambda: LabelScreen(shown, session)
            async with app.run_test(size=SIZE) as pilot:
                await pilot.pause()
                screen = app.screen
                assert isinstance(screen, LabelScreen)
                planner = Planner(screen.keymap, TEXT_WIDTH)
                for number, name in enumerate(gold, 1):
                    found.append(await _one(pilot, screen, planner, name, gold[name]))
                    if number % 20 == 0:
                        print(f"{folder.name}: {number} of {len(gold)}", file=sys.stderr, flush=True)

        asyncio.run(work())
        for name, spans in gold.items():
            decision = store.decision(name, ANNOTATOR).decision
            assert decision.state.value == "done", f"{name} is not finished"
            assert frozenset(decision.spans) == spans, f"{name}: stored {decision.spans}, gold {sorted(spans)}"
    return found


async def _one(pilot: Pilot[int], screen: LabelScreen, planner: Planner, name: str, gold: frozenset[Span]) -> Labelled:
    from tui.labelling.session import Session

    session = screen.session
    assert isinstance(session, Session)
    assert session.document is not None, f"{name} is not shown"
    assert session.document.id == name, f"{session.document.id} is shown, not {name}"
    keys = planner.plan(session.editor, gold)
    began, working = time.perf_counter(), time.process_time()
    await pilot.press(*keys)
    await pilot.pause()
    seconds, clock = time.process_time() - working, time.perf_counter() - began
    stored = session.store.decision(name, ANNOTATOR).decision
    if stored.state.value != "done" or frozenset(stored.spans) != gold:
        raise AssertionError(f"{name}: after {keys} there is {stored}, not {sorted(gold)}")
    return Labelled(name, len(gold), len(keys), seconds, clock)


def compared(without: Sequence[Labelled], with_: Sequence[Labelled], seed: int = 13) -> dict[str, Any]:
    """Keys a span on both sides, and their ratio with its interval."""
    spans = np.array([one.spans for one in without], dtype=float)
    bare, helped = (np.array([one.keys for one in side], dtype=float) for side in (without, with_))
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(spans), (2000, len(spans)))
    ratios = helped[drawn].sum(axis=1) / bare[drawn].sum(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return {
        "documents": len(spans),
        "gold_spans": int(spans.sum()),
        "keys_a_span_without": round(bare.sum() / max(1.0, spans.sum()), 3),
        "keys_a_span_with": round(helped.sum() / max(1.0, spans.sum()), 3),
        "ratio": round(helped.sum() / bare.sum(), 4),
        "ratio_interval": [round(float(low), 4), round(float(high), 4)],
        "processor_seconds_a_document": round(float(np.mean([one.seconds for one in with_])), 3),
        "clock_seconds_a_document": round(float(np.mean([one.clock for one in with_])), 3),
    }


def suggested(folder: Path, gold: dict[str, frozenset[Span]]) -> dict[str, float]:
    """How good the suggestions were."""
    from tui.labelling.suggesting import suggestions_for

    right = given = 0
    with Store.open(folder / ".quorum" / "store.db", read_only=True) as store:
        for name, spans in gold.items():
            shown = {s.span for s in suggestions_for(store, name, ANNOTATOR) if not s.low}
            right, given = right + len(shown & spans), given + len(shown)
    total = sum(map(len, gold.values()))
    return {
        "precision": round(right / given, 3) if given else 0.0,
        "recall": round(right / total, 3) if total else 0.0,
        "f1": round(2 * right / (given + total), 3) if given + total else 0.0,
    }


def corpus(name: str, options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """One corpus, both ways."""
    source = options.data / name
    records = read(source, options.split, options.limit)
    gold = gold_of(records)
    labels = sorted({span.label for spans in gold.values() for span in spans})
    documents, shots = place / f"{name}.jsonl", None
    write(documents, records, gold=False)
    if options.shots:
        shots = place / f"{name}-shots.jsonl"
        train = [
            r for r in read(source, "train", options.shots * 2) if {e["label"] for e in r["entities"]} <= {*labels}
        ]
        write(shots, train[: options.shots], gold=True)
    bare = label(project(place / f"{name}-without", labels, records), labels, gold)
    helped = project(place / f"{name}-with", labels, records)
    if options.predictions:
        predicted(helped, options.predictions / f"{name}.jsonl")
    else:
        extract(helped, documents, shots, options.members)
    quality = suggested(helped, gold)
    with_ = label(helped, labels, gold)
    rows = [[asdict(a), asdict(b)] for a, b in zip(bare, with_, strict=True)]
    return {**compared(bare, with_), "suggestions": quality, "rows": rows}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with CORPUS/SPLIT.jsonl[.gz]")
    parser.add_argument("--corpora", default=",".join(CORPORA))
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, default=60, help="sentences a corpus")
    parser.add_argument("--shots", type=int, default=0, help="train sentences to show the models")
    parser.add_argument("--members", default="", help="only these members of the quorum")
    parser.add_argument("--predictions", type=Path, help="a folder with CORPUS.jsonl instead of an extraction")
    parser.add_argument("--keep", type=Path, help="where to leave the projects; a temporary folder by default")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="quorum-keys-") as temporary:
        place = options.keep or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        for name in options.corpora.split(","):
            found[name] = corpus(name, options, place)
    pairs = [row for one in found.values() for row in one.pop("rows")]
    sides = [[Labelled(**row[side]) for row in pairs] for side in (0, 1)]
    found["all"] = compared(sides[0], sides[1])
    if options.json:
        print(json.dumps(found))
        return 0
    for name, one in found.items():
        low, high = one["ratio_interval"]
        f1 = f", suggestions F1 {one['suggestions']['f1']:.2f}" if "suggestions" in one else ""
        print(
            f"{name}: {one['keys_a_span_without']:.2f} keys a gold span without suggestions,"
            f" {one['keys_a_span_with']:.2f} with: {one['ratio']:.0%} [{low:.0%}, {high:.0%}]"
            f" ({one['documents']} documents, {one['gold_spans']} spans{f1});"
            f" {one['processor_seconds_a_document']:.2f} s of processor a document"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
