"""A campaign with nothing made up but the annotator: real SQLite, Chroma and embeddings, the starter through vLLM."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.campaign.agreement import QUORUM, agreement
from agent.campaign.driver import settings_of
from agent.campaign.opening import project_campaign
from agent.campaign.oracle import read_oracle
from agent.config import ProjectConfig, write_template
from tools.annotation.labelfile import read_label_set
from tools.demonstrations import DemonstrationIndex, SentenceTransformerEmbedder
from tools.formats import read_documents
from tools.store import Store, fsck

EXAMPLES = Path(__file__).parents[2] / "examples" / "news"


@pytest.mark.vllm
def test_a_campaign_with_the_starter(tmp_path: Path, vllm_server: str) -> None:
    write_template(tmp_path / "p", read_label_set(EXAMPLES / "labels.toml"))
    gold = tmp_path / "gold.jsonl"
    lines = (EXAMPLES / "test.jsonl").read_text(encoding="utf-8").splitlines()[:16]
    gold.write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = ProjectConfig.load(tmp_path / "p", environment={})
    settings = settings_of(config, budget=6, batch=3, audit=0.34, uncertainty_pool=4, suggest=False)
    with Store.open(config.store_path) as store:
        store.add_documents(read_documents(gold))
        oracle = read_oracle(gold, store, config.label_set())
        with project_campaign(config, store, settings, oracle=oracle, models_at=vllm_server) as session:
            status = session.advance(oracle)
        assert (status.labels, status.stop, len(status.rounds)) == (6, "budget", 2)
        last = status.rounds[-1].report
        assert last["failed"] == 0 and last["audit_documents"] >= 2
        assert last["f1_interval"][0] <= last["f1"] <= last["f1_interval"][1]
        results = [r for name in store.audit_documents() for r in store.passage_results(last["run"], name)]
        # What the second round was shown came out of Chroma, and never from an audit document.
        shown = {one for result in results for one in result.demonstrations}
        assert shown and not {one.split("#")[0] for one in shown} & store.audit_documents()
        names = agreement(store, resamples=100).annotators
        # The third member proposes spans and names no types.
        assert {"oracle", QUORUM, "model:list"} <= set(names) <= {"oracle", QUORUM, "model:list", "model:typed"}
        assert not [finding for finding in fsck(store) if finding.severity == "error"]
    shutil.rmtree(config.chroma_path)
    more = settings_of(config, budget=8, batch=2, audit=0.34, uncertainty_pool=0, suggest=False)
    with Store.open(config.store_path) as store:
        with project_campaign(config, store, more, oracle=oracle, models_at=vllm_server) as session:
            assert session.advance(oracle).labels == 8
        expected = 8 - len(store.audit_documents())
    embedder = SentenceTransformerEmbedder(config.demonstrations.embedder)
    with DemonstrationIndex(config.chroma_path, embedder, read_only=True) as index:
        assert len({one.document_id for _, one in index.items()}) == expected
