"""What is read off one pass is what the graph itself decides when it is run that way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.config import ProjectConfig
from agent.engines.cache import CachedEngine, MemoryCache
from agent.engines.scripted import ScriptedEngine
from agent.extraction.quorum import Quorum
from evals.matrix import Cell, expand
from evals.passes import Passed, run_pass
from evals.readings import Reader
from evals.suite import load_suite
from tests.evals.script import frozen, reply, write_suite
from tools.annotation.chunking import chunk
from tools.annotation.merging import merge

MATRIX = """
[[matrix]]
vote = ["calibrated"]
"steps.verify" = ["off", "selective", "on"]
"run.threshold" = [0.2, 0.5, 0.85]
"steps.spans" = ["nested", "flat"]
"steps.calibrate" = [true, false]

[[matrix]]
vote = ["calibrated"]
"steps.verify" = ["selective"]
"steps.verify_band" = [[0.0, 0.7], [0.6, 0.9]]
"steps.calibrate" = [true, false]
"""


def prepared(tmp_path: Path, matrix: str) -> tuple[list[Cell], list[object], object]:
    from evals.data import load_data

    loaded = load_suite(frozen(write_suite(tmp_path, matrix)))
    data = load_data(loaded, loaded.suite.data[0], None)
    return expand(loaded), list(data.documents), data.labels


def quorum_of(config: ProjectConfig, labels: object) -> Quorum:
    return Quorum(config, labels, {"m": CachedEngine(ScriptedEngine(reply), MemoryCache())})  # type: ignore[arg-type]


def passed(config: ProjectConfig, labels: object, documents: list[object]) -> tuple[Quorum, Passed]:
    quorum = quorum_of(config, labels)
    kept: list[str] = []
    done = asyncio.run(
        run_pass(quorum, documents, keep=lambda book, ready: kept.extend(d.gold.id for d in ready))  # type: ignore[arg-type]
    )
    assert kept == [d.id for d in documents]  # type: ignore[attr-defined]
    return quorum, done


def test_a_reading_is_what_the_graph_decides_itself(tmp_path: Path) -> None:
    cells, documents, labels = prepared(tmp_path, MATRIX)
    steps = cells[0].config.steps.model_copy(update={"verify": "on", "spans": "nested", "calibrate": True})
    run = cells[0].config.run.model_copy(update={"threshold": 0.0})
    wide = cells[0].config.model_copy(update={"steps": steps, "run": run})
    pass_quorum, done = passed(wide, labels, documents)
    differing = set()
    for cell in cells:
        own = quorum_of(cell.config, labels)
        reader = Reader(cell, pass_quorum)
        found = []
        for worked in done.documents:
            document = worked.gold.document
            passages = chunk(document, own.count_tokens, max_tokens=128)
            batch = asyncio.run(own.extract(passages))
            direct = merge(document, batch.results, passages).entities
            read = reader.read(worked)
            expected = [(e.span.start, e.span.end, e.span.label, round(e.confidence, 6)) for e in direct]
            assert [(p.start, p.end, p.label, p.confidence) for p in read.predicted] == expected, cell.name
            found.append(tuple(expected))
        differing.add(tuple(found))
    assert len(differing) > 5, "settings that change nothing would prove nothing"


def test_votes_by_hand(tmp_path: Path) -> None:
    matrix = '\n[[matrix]]\nvote = ["union", "weighted", "plain"]\n'
    cells, documents, labels = prepared(tmp_path, matrix)
    quorum, done = passed(cells[0].config, labels, documents)
    turin = next(d for d in done.documents if "Turin" in d.gold.document.text)
    riga = next(d for d in done.documents if "Riga" in d.gold.document.text)
    by_vote = {cell.vote: Reader(cell, quorum) for cell in cells}

    def labels_at(document: object, vote: str, word: str) -> list[tuple[str, float]]:
        text = document.gold.document.text  # type: ignore[attr-defined]
        found = by_vote[vote].read(document).predicted  # type: ignore[index, arg-type]
        return [(p.label, p.confidence) for p in found if text[p.start : p.end] == word]

    # a: place 0.9, person 0.02; b: person 0.7, place 0.02.
    assert labels_at(turin, "union", "Turin") == [("place", pytest.approx(0.46, abs=0.01))]
    assert labels_at(turin, "weighted", "Turin") == []
    assert labels_at(turin, "plain", "Turin") == [], "one voice each is no majority"
    assert labels_at(riga, "plain", "Riga") == [("place", pytest.approx(1.0, abs=1e-3))]
    assert labels_at(riga, "weighted", "Riga")[0][1] == pytest.approx(0.8, abs=0.01)


def test_errors_are_charged_to_the_step_that_made_them(tmp_path: Path) -> None:
    matrix = '\n[[matrix]]\nvote = ["plain"]\n"steps.verify" = ["off", "on"]\nmembers = [["a", "b"]]\n'
    cells, documents, labels = prepared(tmp_path, matrix)
    on = cells[0].config.model_copy(update={"steps": cells[0].config.steps.model_copy(update={"verify": "on"})})
    quorum, done = passed(on, labels, documents)
    off, with_verdicts = (Reader(cell, quorum) for cell in cells)
    by_word = {
        word: next(d for d in done.documents if word in d.gold.document.text) for word in ("Turin", "Porto", "Ghent")
    }

    def charges(reader: Reader, word: str) -> list[tuple[str, str, str]]:
        document = by_word[word]
        text = document.gold.document.text
        return [(text[s[0] : s[1]], what, step) for s, what, step in reader.read(document).charges]

    assert charges(off, "Ghent") == []
    assert charges(off, "Turin") == [("Turin", "missed", "classify")]
    assert charges(off, "Porto") == []
    assert charges(with_verdicts, "Porto") == [("Porto", "missed", "verify")]


def test_what_nobody_proposed_is_extractions_fault(tmp_path: Path) -> None:
    matrix = '\n[[matrix]]\nmembers = [["b"]]\nvote = ["weighted"]\n'
    cells, documents, labels = prepared(tmp_path, matrix)
    quorum, done = passed(cells[0].config, labels, documents)
    reader = Reader(cells[0], quorum)
    riga = next(d for d in done.documents if "Riga" in d.gold.document.text)
    assert [(what, step) for _, what, step in reader.read(riga).charges] == [("missed", "extract")]
    turin = next(d for d in done.documents if "Turin" in d.gold.document.text)
    assert [(what, step) for _, what, step in reader.read(turin).charges] == [("wrong_type", "classify")]
