"""Reading corpora, and which of their records a shipped adapter may be trained on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tools.annotation import Span
from tools.errors import InputError
from tools.finetuning.corpora import LABEL_SETS, corpus_labels, read_gold
from tools.finetuning.recipes.starter import SHARES, SPLITS, keeps


def line(text: str, *entities: tuple[int, int, str], **meta: Any) -> dict[str, Any]:
    return {"text": text, "entities": [{"start": a, "end": b, "label": x} for a, b, x in entities], "meta": meta}


def write(root: Path, name: str, lines: list[dict[str, Any]], *, zipped: bool = False) -> None:
    (root / name).mkdir()
    text = "".join(json.dumps(one) + "\n" for one in lines)
    if zipped:
        (root / name / "train.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    else:
        (root / name / "train.jsonl").write_text(text)


@pytest.mark.parametrize("zipped", [False, True])
def test_gold_is_read_with_label_names_in_words(tmp_path: Path, zipped: bool) -> None:
    labels = corpus_labels("wikigold")
    raw = next(alias for label in labels for alias in label.aliases)
    write(tmp_path, "wikigold", [line("Ada here.", (0, 3, raw), (4, 8, "unknown")), line("  ")], zipped=zipped)
    [gold] = read_gold(tmp_path, "wikigold", "train")
    assert gold.text == "Ada here." and gold.spans == (Span(0, 3, labels.resolve(raw) or ""),)
    assert gold.spans[0].label in labels.names


def test_sentences_of_one_document_are_joined_with_their_offsets(tmp_path: Path) -> None:
    raw = corpus_labels("wikigold").names[0]
    write(
        tmp_path,
        "wikigold",
        [line(f"Ada {n}.", (0, 3, raw), doc="a" if n < 3 else "b") for n in range(5)],
    )
    joined = read_gold(tmp_path, "wikigold", "train", join=1)
    assert [g.text for g in joined] == ["Ada 0. Ada 1. Ada 2.", "Ada 3. Ada 4."]
    assert all(s.text_in(g.text) == "Ada" for g in joined for s in g.spans)
    assert [len(g.spans) for g in joined] == [3, 2]
    assert [g.text for g in read_gold(tmp_path, "wikigold", "train", join=0)] == [f"Ada {n}." for n in range(5)]


def test_a_missing_corpus_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no train\.jsonl"):
        read_gold(tmp_path, "wikigold", "train")


@pytest.mark.parametrize(
    ("licence", "kept"),
    [
        ("CC BY 4.0", True),
        ("CC BY 2.5", True),
        ("CC BY-SA 3.0", True),
        ("CC BY-NC-SA 3.0", False),
        ("CC BY-NC-SA 4.0", False),
        ("cc by-nc 4.0", False),
        ("CC BY-ND 4.0", False),
        ("see LICENSE.txt", False),
        ("", False),
        (None, False),
    ],
)
def test_gum_keeps_only_what_says_that_it_may_be_shipped(licence: str | None, kept: bool) -> None:
    assert keeps()["gum"](line("x", text_licence=licence)) is kept


@pytest.mark.parametrize("record", [line("x"), {"text": "x", "entities": []}, {"text": "x", "meta": None}])
def test_records_that_do_not_say_where_they_are_from_are_left_out(record: dict[str, Any]) -> None:
    assert not any(keep(record) for keep in keeps().values())


@pytest.mark.parametrize(
    ("source", "kept"),
    [("BBC Online", False), ("bbc", False), ("Wikipedia", True), ("CENTCOM", True), ("", False), (None, False)],
)
def test_re3d_leaves_the_bbc_out(source: str | None, kept: bool) -> None:
    assert keeps()["re3d"](line("x", source=source)) is kept


def test_kept_records_are_what_is_read(tmp_path: Path) -> None:
    lines = [line("Ours.", text_licence="CC BY 4.0"), line("Theirs.", text_licence="CC BY-NC-SA 4.0")]
    write(tmp_path, "gum", lines)
    assert [g.text for g in read_gold(tmp_path, "gum", "train", keep=keeps()["gum"])] == ["Ours."]


def test_every_corpus_of_the_recipe_has_labels_and_none_is_held_out_or_unshippable() -> None:
    known = {path.stem for path in LABEL_SETS.glob("*.toml")}
    assert set(SHARES) <= known and set(SPLITS) <= set(SHARES)
    unshippable = {"conll2003", "mit_movie_eng", "ener_edgar", "scierc", "matscholar", "conll2002_es", "masakhaner2_swa",
                   "xfer_fi", "weibo_zh", "msra_zh", "jnlpba", "jnlpba_tok", "genia", "msynth"}  # fmt: skip
    assert not set(SHARES) & unshippable
    assert not set(SHARES) & {"crossner_politics", "crossner_science"}
    for name in SHARES:
        assert all(label.description or label.words for label in corpus_labels(name))
