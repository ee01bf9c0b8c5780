"""The graph itself: its drawing, order, determinism, offsets and accounting."""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import Literal

import pytest

from agent.config import MemberConfig, StepsConfig
from agent.engines.protocol import Completion
from agent.extraction.graph import build_graph, mermaid
from agent.extraction.quorum import BatchResult, Quorum
from tests.extraction.script import LABELS, Asked, Script, Shelf, config, members, passage, quorum, weighed, work
from tools.annotation import Document
from tools.annotation.chunking import chunk
from tools.annotation.merging import merge
from tools.errors import ConfigError

TYPES = {"Ada": {"person": 0.7, "none": 0.3}, "Bonn": {"place": 0.7, "none": 0.3}}
VerifyMode = Literal["off", "selective", "on"]


def script() -> Script:
    return Script(extract={"*": "Ada\nBonn\n"}, types=TYPES, verdicts={"Ada": 0.9, "Bonn": 0.8})


@pytest.mark.parametrize(
    ("pre", "retrieval", "classification", "verify"),
    list(itertools.product((True, False), (True, False), (True, False), ("off", "selective", "on"))),
)
def test_the_drawing_shows_exactly_the_steps_switched_on(
    pre: bool, retrieval: bool, classification: bool, verify: VerifyMode
) -> None:
    drawing = mermaid(
        build_graph(pre_extraction=pre, retrieval=retrieval, classification=classification, verification=verify)
    )
    wanted = ["extract", "classify" if classification else "types_as_written", "decide"]
    wanted += ["retrieve"] if retrieval else []
    wanted += ["pre_extract"] if retrieval and pre else []
    wanted += ["verify"] if verify != "off" else []
    nodes = set(re.findall(r"^\t(\w+)\(", drawing, re.MULTILINE)) - {"__start__", "__end__"}
    assert nodes == set(wanted)
    order = ["__start__", "pre_extract", "retrieve", "extract", "classify", "types_as_written", "verify", "decide"]
    chain = [node for node in order if node in (*wanted, "__start__")] + ["__end__"]
    assert set(re.findall(r"^\t(\w+) --> (\w+);", drawing, re.MULTILINE)) == set(itertools.pairwise(chain))


def test_a_quorum_builds_the_graph_that_its_settings_say() -> None:
    typed = (MemberConfig(name="t", model="m", extract="typed.v1"),)
    bare = quorum(script(), config(*typed, steps=StepsConfig(classify=False, verify="off")), source=None)
    assert set(bare.graph.get_graph().nodes) == {"__start__", "extract", "types_as_written", "decide", "__end__"}
    full = quorum(script(), config(steps=StepsConfig(verify="selective")), source=Shelf([], needs_spans=True))
    assert {"pre_extract", "retrieve", "classify", "verify"} <= set(full.graph.get_graph().nodes)


def test_a_member_on_an_unknown_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="no engine serves"):
        Quorum(config(), LABELS, {})


def test_nothing_in_nothing_out() -> None:
    assert asyncio.run(quorum(script()).extract([])) == BatchResult((), {}, ())


def test_results_come_in_the_order_of_passages_with_document_offsets() -> None:
    passages = [
        passage("Ada came.", start=100, index=7, document="x"),
        passage("Nobody.", start=0, index=0, document="y"),
        passage("To Bonn.", start=3, index=1, document="x"),
    ]
    batch = asyncio.run(quorum(script()).extract(passages))
    assert [(r.document_id, r.index) for r in batch.results] == [("x", 7), ("y", 0), ("x", 1)]
    spans = [[(e.span.start, e.span.end, e.passage) for e in r.entities] for r in batch.results]
    assert spans == [[(100, 103, 7)], [], [(6, 10, 1)]]


def test_the_same_batch_twice_gives_the_same_results_in_any_loop() -> None:
    texts = ["Ada in Bonn.", "Bonn.", "Nobody at all."]
    settings = config(steps=StepsConfig(verify="on", calibrate=False))
    opened = quorum(script(), settings)
    first, again, anew = work(opened, *texts), work(opened, *texts), work(quorum(script(), settings), *texts)
    assert first.results == again.results == anew.results


def test_batches_may_run_side_by_side() -> None:
    opened = quorum(script())
    texts = [f"Ada {n} in Bonn." for n in range(12)]

    async def together() -> list[BatchResult]:
        halves = ([passage(t, document=t) for t in part] for part in (texts[:6], texts[6:]))
        return list(await asyncio.gather(*(opened.extract(half) for half in halves)))

    joined = [r.document_id for batch in asyncio.run(together()) for r in batch.results]
    assert joined == texts


def test_requests_go_to_each_engine_in_passage_order_one_call_a_step() -> None:
    one_script, other_script = script(), script()
    first, second = one_script.engine(), other_script.engine()
    voters = (
        MemberConfig(name="a", model="m1"),
        MemberConfig(name="b", model="m2"),
        MemberConfig(name="c", model="m1"),
    )
    texts = ["Ada in Bonn.", "Bonn.", "Ada."]
    work(quorum({"m1": first, "m2": second}, config(*voters)), *texts)
    assert (first.calls, second.calls) == (2, 2)
    asked = [(a.passage, a.member) for a in one_script.asked if a.step == "extract"]
    assert asked == [(text, member) for text in texts for member in ("a", "c")]
    assert [a.passage for a in other_script.asked if a.step == "extract"] == texts
    for played in (one_script, other_script):
        order = [texts.index(a.passage) for a in played.asked if a.step == "classify"]
        assert order == sorted(order) and len(order) in (4, 8)


def test_usage_is_counted_by_step_and_member() -> None:
    def counted(asked: Asked) -> Completion:
        if asked.step in ("extract", "pre_extract"):
            return Completion("Ada\n", prompt_tokens=100, cached_tokens=60, output_tokens=5, latency=0.5)
        return weighed({"person": 0.7, "none": 0.3} if asked.step == "classify" else {"yes": 0.9, "no": 0.1})

    played = Script(otherwise=counted)
    settings = config(*members("a", "b"), steps=StepsConfig(verify="on", calibrate=False))
    batch = work(quorum(played, settings, source=Shelf([], needs_spans=True)), "Ada.", "Ada and Ada.")
    # Members on one engine with one template would pre-extract the same: one of them is asked.
    assert set(batch.usage) == {"pre_extract/b", "extract/a", "extract/b", "classify/a", "classify/b", "verify/a"}
    extract = batch.usage["extract/a"]
    assert (extract.requests, extract.prompt_tokens, extract.cached_tokens, extract.output_tokens) == (2, 200, 120, 10)
    assert extract.seconds == pytest.approx(1.0)
    assert [batch.usage[tag].requests for tag in ("classify/a", "classify/b", "verify/a")] == [3, 3, 3]
    assert sum(u.requests for u in batch.usage.values()) == len(played.requests)


def test_each_batch_has_an_account_of_its_own() -> None:
    opened = quorum(script())
    first = work(opened, "Ada.").usage["extract/a"].requests
    assert (first, work(opened, "Ada.", "Bonn.").usage["extract/a"].requests) == (1, 2)


def test_long_documents_cut_with_overlap_give_each_mention_once() -> None:
    text = " ".join(f"Sentence {n} brings Ada to Bonn." for n in range(40))
    document = Document("long", text)
    opened = quorum(script())
    passages = chunk(document, opened.count_tokens, max_tokens=60, overlap_tokens=20, context_tokens=10)
    assert len(passages) > 5
    merged = merge(document, asyncio.run(opened.extract(passages)).results, passages)
    assert [e.span.text_in(text) for e in merged.entities] == ["Ada", "Bonn"] * 40
    assert len({(e.span.start, e.span.end) for e in merged.entities}) == 80


def test_the_prompts_of_a_project_are_used() -> None:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "own" / "classify"
        own.mkdir(parents=True)
        (own / "mine.v1.md").write_text(
            "---\nid: mine\nstep: classify\nversion: 1\nanswer: code\nchanged: own\n---\n"
            "{% block system %}S{% endblock %}{% block user %}Text: {{ passage }}\n"
            "Which type is [{{ mention }}]? Write one type, or none.{% endblock %}\n"
        )
        settings = config(*members("a", "b", classify="mine.v1")).model_copy(update={"prompts": "own"})
        settings._root = Path(folder)
        played = script()
        work(quorum(played, settings), "Ada.")
        systems = {r.messages[0][1] for r in played.requests if r.tag.startswith("classify")}
        assert systems == {"S"}
