"""The figures of cards and domains: what is computed, kept and paired; passes with models are elsewhere."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

from agent.models import shipped
from benchmarks.domains import labelled_part, paired, parser
from benchmarks.member_card import is_flat, pass_options, reliability, trained_corpora
from benchmarks.member_card import parser as card_parser
from benchmarks.resume import Parts
from tests.models.checkpoints import tiny_adapter
from tools.finetuning.cardfacts import Figures
from tools.finetuning.recipes.starter import SHARES


def test_reliability_is_what_a_slow_reckoning_gives() -> None:
    rng = random.Random(4)
    sentences = [
        [(p := rng.random(), rng.random() < p * p) for _ in range(rng.randrange(4))]  # too sure of itself
        for _ in range(300)
    ]
    found = reliability(sentences)
    flat = [one for sentence in sentences for one in sentence]
    error = squares = 0.0
    for number in range(10):
        here = [(p, right) for p, right in flat if number / 10 <= p < (number + 1) / 10]
        error += abs(sum(p for p, _ in here) - sum(right for _, right in here)) / len(flat)
    squares = sum((p - right) ** 2 for p, right in flat) / len(flat)
    assert found["ece"]["value"] == pytest.approx(error) and found["brier"]["value"] == pytest.approx(squares)
    assert found["candidates"] == len(flat) and found["right"] == sum(right for _, right in flat)
    for name in ("ece", "brier"):
        one = found[name]
        assert 0 < one["low"] < one["value"] < one["high"] < one["value"] + 0.2
    assert sum(line["count"] for line in found["bins"]) == len(flat) and len(found["bins"]) == 10
    line = found["bins"][7]
    inside = [right for p, right in flat if 0.7 <= p < 0.8]
    assert line["accuracy"]["value"] == pytest.approx(sum(inside) / len(inside)) and line["count"] == len(inside)
    Figures.model_validate(
        {"format": 1, "source": "starter", "command": "c", "corpora": [], "reliability": [{"k": 5, **found}]}
    )


def test_parts_are_found_again_by_all_that_decides_them(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "parts")
    what = {"corpus": "a", "k": 5}
    assert parts.get(what) is None
    parts.put(what, {"f1": 0.5, "matrix": [[1, 2, 3]]})
    assert Parts(tmp_path / "parts").get({"k": 5, "corpus": "a"}) == {"f1": 0.5, "matrix": [[1, 2, 3]]}
    assert parts.get({**what, "k": 0}) is None
    assert [path.suffix for path in (tmp_path / "parts").iterdir()] == [".json"]


def corpus(root: Path, *, nested: bool = False, train: int = 80) -> Path:
    folder = root / "wikigold"
    folder.mkdir(parents=True)
    entities = [{"start": 0, "end": 3, "label": "PER"}]
    entities += [{"start": 0, "end": 12, "label": "ORG"}] if nested else []
    for split, many in (("train", train), ("test", 20)):
        lines = [{"text": f"Ada of Corp {n} left.", "entities": entities, "meta": {}} for n in range(many)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def test_labelled_sentences_are_drawn_once_and_nothing_else_is_there_to_learn_from(tmp_path: Path) -> None:
    data = corpus(tmp_path / "data")
    texts = []
    for number in (1, 2):
        made = labelled_part(data, "wikigold", 50, 13, tmp_path / f"part{number}")
        lines = (made / "wikigold" / "train.jsonl").read_text().splitlines()
        texts.append([json.loads(line)["text"] for line in lines])
        assert (made / "wikigold" / "test.jsonl").read_text() == (data / "wikigold" / "test.jsonl").read_text()
    assert texts[0] == texts[1] and len(set(texts[0])) == 50
    known = {json.loads(line)["text"] for line in (data / "wikigold" / "train.jsonl").read_text().splitlines()}
    assert set(texts[0]) <= known
    other = labelled_part(data, "wikigold", 50, 14, tmp_path / "part1")
    assert [
        json.loads(line)["text"] for line in (other / "wikigold" / "train.jsonl").read_text().splitlines()
    ] != texts[0]
    few = labelled_part(corpus(tmp_path / "few", train=7), "wikigold", 50, 13, tmp_path / "part3")
    assert len((few / "wikigold" / "train.jsonl").read_text().splitlines()) == 7


def test_differences_are_paired_and_corrected_together() -> None:
    rng = np.random.default_rng(1)
    zero = np.stack([rng.integers(0, 3, 200), rng.integers(0, 3, 200), rng.integers(1, 4, 200)], axis=1)
    shown = zero + np.array([1, 0, -1])
    found = paired({"zero": {"matrix": zero.tolist()}, "shown": {"matrix": shown.tolist()}}, 13)
    assert list(found) == ["shown against zero"] and found["shown against zero"]["verdict"] == "better"
    assert found["shown against zero"]["low"] > 0
    three = {"zero": zero, "shown": shown, "trained": shown}
    found = paired({name: {"matrix": one.tolist()} for name, one in three.items()}, 13)
    assert set(found) == {"shown against zero", "trained against zero", "trained against shown"}
    assert found["trained against shown"]["verdict"] == "cannot tell"
    assert found["trained against shown"]["difference"] == 0


def test_what_was_trained_on_is_the_recipes_word_or_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("science", "own"):
        tiny_adapter(tmp_path / name)
    monkeypatch.setenv(shipped.VARIABLE, str(tmp_path))
    (tmp_path / "members.toml").write_text(
        "[members.science]\nshare = 1\n[members.own]\nshare = 1\n[members.own.corpora]\nklue_ko = 1\n"
    )
    assert trained_corpora("starter:science") == set(SHARES) and trained_corpora("starter:own") == {"klue_ko"}
    assert trained_corpora("starter") == {*SHARES, "klue_ko"}
    # What is not in the blend has taught it nothing.
    (tmp_path / "members.toml").write_text("[members.science]\nshare = 1\n[members.own]\nshare = 0\n")
    assert trained_corpora("starter") == set(SHARES)


def test_a_pass_takes_after_its_corpus(tmp_path: Path) -> None:
    flat, nested = corpus(tmp_path / "a"), corpus(tmp_path / "b", nested=True)
    assert is_flat(flat, "wikigold", "test") and not is_flat(nested, "wikigold", "test")
    (nested / "wikigold" / "train.jsonl").unlink()
    for root, is_nested in ((flat, False), (nested, True)):
        options = card_parser().parse_args(["--data", str(root), "--source", "starter:science", "--limit", "7"])
        chosen = pass_options(options, "wikigold", 0)
        assert (chosen.flat, chosen.k, chosen.limit, chosen.source) == (not is_nested, 0, 7, "starter:science")
        assert chosen.calibrate and chosen.pool_split == ("dev" if is_nested else "train")
    assert parser().parse_args([]).labelled == 50
