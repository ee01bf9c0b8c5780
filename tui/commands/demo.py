"""``quorum demo``: the sample corpus extracted by the starter model, measured and shown."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.common import JsonOption, note, print_json, print_table, printable
from tui.commands.extract import FAST_NOTE

if TYPE_CHECKING:
    from agent.config import ProjectConfig
    from agent.models.devices import EngineChoice
    from agent.runs.summary import RunSummary
    from tools.annotation.labels import LabelSet
    from tui.report.examples import ExampleSet
    from tui.report.marks import Shown
    from tui.report.scores import Scored

RIGHT = (1, 2, 3, 4, 5, 6)
BATCH = 16


def demo(
    name: Annotated[
        str, typer.Option("--set", "-s", metavar="NAME", help="The sample set: news, materials, ...")
    ] = "news",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Where to write.", show_default="out/demo-SET")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Extract again.")] = False,
    fast: Annotated[bool, typer.Option("--fast", help="One member, one pass: much quicker, and worse.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Try it: extract a sample corpus with the starter model and show what came out.

    The first call fetches the starter model and starts what is needed; a
    second one finds everything done and takes seconds.
    """
    from agent.config import ProjectConfig
    from agent.models.devices import available_engine
    from agent.models.starter import pull
    from agent.runs.crew import QuorumCrew
    from agent.runs.errors import RunMismatch
    from agent.runs.session import Job, extract
    from agent.runs.sidecar import index_beside, store_beside
    from tools.annotation.labelfile import read_label_set
    from tui.report.examples import example_set
    from tui.report.progress import progress_on

    example = example_set(name)
    folder = _folder(out or Path("out") / f"demo-{name}")
    labels = read_label_set(example.labels)
    config = ProjectConfig.default()
    # Small parts, so that the bar moves soon.
    config = config.model_copy(update={"run": config.run.model_copy(update={"batch": BATCH})})
    if fast:
        config = config.fast()
        note(FAST_NOTE)
    output = folder / "predictions.jsonl"
    source = _joined(example, folder / "input.jsonl")
    pull(progress=note)
    choice = available_engine()
    note(f"engine: {choice.kind} ({choice.why})")
    crew = QuorumCrew(config, labels, example.demonstrations, index_beside(output))
    notes = {"source": str(source), "demos": str(example.demonstrations), "index": str(index_beside(output))}
    job = Job(str(source), output, store_beside(output), config, labels, fresh=fresh, notes=notes)
    with progress_on() as observer:
        try:
            summary = asyncio.run(extract(job, crew, observer))
        except RunMismatch as mismatch:
            # What lies here is an earlier demo's: nothing of the user's is lost.
            observer.note(f"extracting again: {mismatch.message}")
            summary = asyncio.run(extract(replace(job, fresh=True), crew, observer))
    shown = _documents(job.store, labels)
    facts = _facts(folder / "demo.json", summary, shown, choice)
    scores = _scores(shown, labels)
    page = folder / "report.html"
    _write_page(page, example, config, labels, shown, scores, summary, facts)
    if as_json:
        files = {"predictions": str(output), "page": str(page), "store": summary.store}
        print_json(
            {"set": name, **files, **facts, "scores": scores.to_json() if scores else None, "run": summary.to_json()}
        )
    else:
        _print(facts, scores, summary, output, page)


def _folder(folder: Path) -> Path:
    from tools.errors import OutputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})", "give another --out") from error
    return folder


def _joined(example: ExampleSet, target: Path) -> Path:
    """The set's texts in one file; left alone when it is that already."""
    from tools.errors import OutputError

    try:
        content = b"".join(path.read_bytes() for path in example.tests)
        if not target.exists() or target.read_bytes() != content:
            target.write_bytes(content)
    except OSError as error:
        raise OutputError(f"{error.filename}: {error.strerror}", "give another --out") from error
    return target


def _documents(store_path: Path, labels: LabelSet) -> list[Shown]:
    """The run's documents with their gold, read back from the store."""
    from agent.runs.ledger import Ledger, find_run
    from agent.runs.output import merged
    from tools.formats.gold import gold_spans
    from tools.store import Store
    from tui.report.marks import Shown

    with Store.open(store_path, read_only=True) as store:
        run = find_run(store)
        if run is None:
            return []
        return [
            Shown(document, result, _gold(gold_spans, document, labels))
            for document, result in merged(Ledger.of(store, run))
        ]


def _gold(read: Any, document: Any, labels: LabelSet) -> Any:
    return read(document, labels) if "entities" in document.meta else None


def _scores(shown: list[Shown], labels: LabelSet) -> Scored | None:
    from tui.report.scores import scored

    return scored(shown, labels)


def _facts(memory: Path, summary: RunSummary, shown: list[Shown], choice: EngineChoice) -> dict[str, Any]:
    """What the demo has to say beside the scores; the speed is that of the call that extracted."""
    from tools.annotation.sentences import sentence_spans

    sentences = sum(
        sum(bool(x.document.text[start:end].strip()) for start, end in sentence_spans(x.document.text)) for x in shown
    )
    total = summary.total
    each = max(1, sentences)
    speed: dict[str, Any] = {}
    if summary.extracted:
        rate = summary.documents_per_second * sentences / max(1, summary.documents)
        speed = {
            "sentences_per_second": round(rate, 2),
            "seconds": round(summary.seconds, 1),
            "engine": choice.kind,
            "engine_why": choice.why,
        }
        with suppress(OSError):  # only a memory for the next call
            memory.write_text(json.dumps(speed) + "\n", encoding="utf-8")
    else:
        with suppress(OSError, ValueError):
            speed = json.loads(memory.read_text(encoding="utf-8"))
    return {
        "documents": summary.documents,
        "sentences": sentences,
        "entities": summary.entities,
        "tokens_per_sentence": {
            "prompt": round(total.prompt_tokens / each, 1),
            "cached": round(total.cached_tokens / each, 1),
            "output": round(total.output_tokens / each, 1),
        },
        "grounded": summary.grounded,
        "ungrounded": summary.ungrounded,
        "outcomes": dict(summary.outcomes),
        "already_complete": summary.already_complete,
        **speed,
    }


def _told(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """The facts as people read them."""
    from tui.report.progress import outcomes

    tokens, left_out = facts["tokens_per_sentence"], facts["ungrounded"]
    told = [
        ("Documents", f"{facts['documents']:,} with {facts['sentences']:,} sentences"),
        ("Entities", f"{facts['entities']:,}"),
        ("Tokens a sentence", "{prompt:,.0f} prompt ({cached:,.0f} cached), {output:,.0f} output".format(**tokens)),
        ("Grounded", f"{facts['grounded']:.1%}" + (f", {left_out:,} left out" if left_out else "")),
        ("Outcomes", outcomes(facts["outcomes"])),
    ]
    if "sentences_per_second" in facts:
        told.insert(2, ("Sentences a second", f"{facts['sentences_per_second']:,.1f} ({facts['seconds']:,.0f} s)"))
        told.append(("Engine", f"{facts['engine']}: {facts['engine_why']}"))
    return told


def _write_page(
    page: Path,
    example: ExampleSet,
    config: ProjectConfig,
    labels: LabelSet,
    shown: list[Shown],
    scores: Scored | None,
    summary: RunSummary,
    facts: dict[str, Any],
) -> None:
    from tools.errors import OutputError
    from tui.report.page import Summary, Table, render_page
    from tui.report.scores import HEADS

    tables = (Table("Against gold: place and type must be right", HEADS, tuple(scores.rows())),) if scores else ()
    members = [
        f"{m.name}: {m.model}, {m.extract}, {m.classify}, {config.demonstrations_of(m)} demonstrations"
        for m in config.members
    ]
    provenance = (
        ("Run", f"{summary.run} in {summary.store}"),
        ("Configuration", config.hash),
        ("Label set", labels.hash),
        *((f"Member {number}", text) for number, text in enumerate(members, 1)),
        ("Steps", ", ".join(f"{key} {value}" for key, value in config.steps.model_dump().items())),
    )
    demonstrations = _demonstration_texts(example, labels)
    about = Summary(f"Quorum: {example.name}", tuple(_told(facts)), tables, provenance, demonstrations)
    text = render_page(shown, labels, about)
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{page}: {error.strerror}", "free some space, or give another --out") from error


def _demonstration_texts(example: ExampleSet, labels: LabelSet) -> dict[str, str]:
    from tools.demonstrations.gold import from_gold
    from tools.formats.gold import gold_spans
    from tools.formats.reading import read_documents

    gold = ((document, gold_spans(document, labels)) for document in read_documents(example.demonstrations))
    return {item.id: item.text for item in from_gold(gold)}


def _print(facts: dict[str, Any], scores: Scored | None, summary: RunSummary, output: Path, page: Path) -> None:
    from tui.report.scores import HEADS

    if summary.already_complete:
        note("already extracted; this is what the first call found (--fresh extracts again)")
    print_table(("what", "value"), _told(facts))
    if scores is not None:
        print_table(HEADS, scores.rows(), right=RIGHT)
    note(f"predictions: {printable(str(output))}")
    note(f"page:        {printable(str(page))}")
