"""The page's own filter, run by a script engine without a browser, against the viewer's; and what it explains."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from evals.browse import Filter, cases
from evals.records import PassDocument
from evals.report import build_report
from tests.evals.test_report import unpacked
from tests.evals.two_runs import Made

mini_racer = pytest.importorskip("py_mini_racer", reason="the script engine mini-racer is not installed")
SCRIPT = Path(__file__).resolve().parents[2] / "tui" / "report" / "eval_filter.js"


def engine(data: dict[str, Any]) -> Any:
    found = mini_racer.MiniRacer()
    found.eval(SCRIPT.read_text(encoding="utf-8"))
    found.eval(f"const data = {json.dumps(data)};")
    return found


def places(script: Any, number: int, **wanted: str) -> list[int]:
    asked = {"kind": "", "step": "", "type": "", "search": "", "change": "", **wanted}
    said = script.eval(
        f"(() => {{ const cell = data.cells[{number}];"
        f" const base = cell.base === null ? null : data.cells[cell.base];"
        f" return JSON.stringify(evalFilter.found({json.dumps(asked)}, data.sets[cell.data], cell, base)); }})()"
    )
    found: list[int] = json.loads(said)
    return found


def test_the_pages_filter_is_the_viewers_for_every_choice(made: Made) -> None:
    report = build_report([made.good, made.bad])
    data = unpacked(report)
    script = engine(data)
    kinds = [("", ""), ("any", "any"), ("none", "none"), *((f"k{n}", kind) for n, kind in enumerate(data["kinds"]))]
    steps = [("", ""), *((str(n), step) for n, step in enumerate(data["steps"]))]
    words = ("", "doc-1", "DOC-2", "tram", "praised", "nowhere")
    checked = nonempty = 0
    for number, cell in enumerate(data["cells"]):
        # By letter: two runs of one second in two folders share their id.
        if not cell["name"].startswith("B: "):
            continue
        name = cell["name"].removeprefix("B: ").replace(", ", " ")
        good, bad = (next(c for c in run.cells if c.header.name == f"own {name}") for run in (made.good, made.bad))
        texts: dict[str, PassDocument] = {d.id: d for p in made.bad.passes.values() for d in p.documents()}
        listed = cases(bad, good)
        ids = [row[0] for row in data["sets"][cell["data"]]]
        for (kind, plain), (step, step_name), change, text in itertools.product(
            kinds, steps, ("", "changed", "better", "worse"), words
        ):
            wanted = Filter(plain, step_name, change, text)
            expected = {case.id for case in listed if wanted.passes(case, texts[case.id].text)}
            found = {ids[at] for at in places(script, number, kind=kind, step=step, change=change, search=text)}
            assert found == expected, (wanted, cell["name"])
            checked, nonempty = checked + 1, nonempty + bool(expected)
    assert checked > 1000 and nonempty > 100


def test_types_are_filtered_too(made: Made) -> None:
    data = unpacked(build_report([made.bad]))
    script = engine(data)
    assert data["labels"]
    everything = set(places(script, 0))
    for number, _ in enumerate(data["labels"]):
        some = places(script, 0, type=str(number))
        rows, docs = data["cells"][0]["rows"], data["sets"][data["cells"][0]["data"]]
        assert set(some) == {at for at in everything if any(s[2] == number for s in (*docs[at][2], *rows[at][0]))}, (
            "all documents that hold the type, in gold or prediction"
        )


def test_votes_and_prompts_are_in_the_page(made: Made) -> None:
    report = build_report([made.good])
    data = unpacked(report)
    why = data["why"]
    cell = next(c for c in data["cells"] if c["name"].startswith("baseline"))
    kept = why["passes"][cell["pass"]]
    assert len(kept) == 24 and len(why["passes"]) == len(made.good.passes)
    line = why["lines"].__getitem__
    made_pass = made.good.pass_of(made.good.cells[0])
    assert made_pass is not None
    prompts = made_pass.prompts()
    ids = [row[0] for row in data["sets"][cell["data"]]]
    for document in made_pass.documents():
        candidates, steps, shown, _, _ = kept[str(ids.index(document.id))]
        assert len(candidates) == len(document.candidates) and len(steps) == len(document.steps)
        for row, step in zip(steps, document.steps, strict=True):
            messages = [(line(role), "\n".join(line(n) for n in lines)) for role, lines in why["prompts"][row[2]]]
            assert messages == [tuple(message) for message in prompts[step.prompt].messages]
            assert (line(row[0]), line(row[1]), row[6]) == (step.step, step.member, list(step.tokens))
        votes = {(c[0], c[1]): {line(v[0]): (line(v[1]), v[2]) for v in c[4]} for c in candidates}
        for one in document.candidates:
            assert votes[one.span[0], one.span[1]] == {
                v.member: (v.label, pytest.approx(v.probability, abs=1e-3)) for v in one.votes
            }
        assert [line(n) for n in shown] == list(document.demonstrations)
    assert len(why["lines"]) == len(set(why["lines"])), "what prompts share is kept once"


def test_what_is_too_much_is_left_out_and_said(made: Made) -> None:
    few = unpacked(build_report([made.bad], explain=3))
    assert few["why"]["most"] == 3 and all(len(kept) == 3 for kept in few["why"]["passes"])
    base = next(c for c in few["cells"] if c["name"].startswith("baseline"))
    wrong = {str(at) for at, row in enumerate(base["rows"]) if row[1]}
    assert set(few["why"]["passes"][base["pass"]]) <= wrong or len(wrong) < 3, "errors come first"
    none = unpacked(build_report([made.bad], explain=0))
    assert none["why"]["passes"] == [] and all(cell["pass"] is None for cell in none["cells"])


def test_hostile_prompts_are_only_text(made: Made) -> None:
    data = unpacked(build_report([made.hostile]))
    assert data["why"]["passes"] and not any("\x1b" in line or "\u202e" in line for line in data["why"]["lines"])
