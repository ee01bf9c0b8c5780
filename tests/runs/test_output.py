"""From passages to one record a document: overlaps, pieces that an edge cut."""

from __future__ import annotations

import json
from pathlib import Path

from agent.config import ProjectConfig, RunConfig
from agent.runs.sidecar import store_beside
from tests.runs.corpus import job, records, run
from tools.store import Store, fsck


def test_a_mention_that_a_passage_cut_is_not_kept_beside_the_whole_one() -> None:
    from agent.runs.output import whole_only
    from tools.annotation import Span
    from tools.annotation.prediction import Entity, Outcome, PassageResult

    def found(index: int, *spans: tuple[int, int, str]) -> PassageResult:
        return PassageResult("d", index, Outcome(), tuple(Entity(Span(*span), 0.9) for span in spans))

    def places(results: list[PassageResult]) -> list[list[tuple[int, int]]]:
        return [[(e.span.start, e.span.end) for e in r.entities] for r in whole_only(results)]

    cut = [found(0, (0, 5, "org"), (30, 36, "org")), found(1, (30, 44, "org"))]
    assert places(cut) == [[(0, 5)], [(30, 44)]]
    nested = [found(0, (30, 44, "org"), (30, 36, "org")), found(1, (30, 44, "org"))]
    assert places(nested) == [[(30, 44), (30, 36)], [(30, 44)]]
    both_saw = [found(0, (30, 36, "org"), (50, 55, "org")), found(1, (30, 44, "org"), (50, 55, "org"))]
    assert places(both_saw) == [[(30, 36), (50, 55)], [(30, 44), (50, 55)]]
    other_type = [found(0, (30, 36, "place")), found(1, (30, 44, "org"))]
    assert places(other_type) == [[(30, 36)], [(30, 44)]]
    far = [found(0, (30, 36, "org")), found(1), found(2, (30, 44, "org"))]
    assert places(far) == [[(30, 36)], [], [(30, 44)]]


def test_overlapping_passages_double_nothing(tmp_path: Path) -> None:
    from agent.config import PassagesConfig

    source = tmp_path / "in.jsonl"
    text = " ".join(f"Then Ada{chr(97 + n % 26)} met Bo{chr(97 + n // 26)} again." for n in range(200))
    source.write_text(json.dumps({"id": "a", "text": text}) + "\n")
    for overlap in (0, 8):
        cut = PassagesConfig(max_tokens=20, overlap_tokens=overlap)
        own = ProjectConfig.default(environment={}, run=RunConfig(batch=4), passages=cut)
        run(job(source, tmp_path / f"{overlap}.jsonl", config=own))
    assert records(tmp_path / "0.jsonl") == records(tmp_path / "8.jsonl")
    with Store.open(store_beside(tmp_path / "8.jsonl")) as store:
        assert len(store.passage_results(1, "a")) > 40
        assert not fsck(store)
