"""Files of any tool in, a checked pair and a report out."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import classification_report  # type: ignore[import-untyped]

from evals.errors import EvalDataError
from evals.scoring import export, flat_rows, make_report, markdown, pair, read_marked
from tests.metrics.test_f1 import TAGS
from tools.annotation import Label, LabelSet, Span
from tools.errors import OutputError
from tools.metrics import Counts, TrainingMentions

TEXT = "Ngozi Adeyemi left Porto for Lisbon."
RECORD = {
    "id": "a",
    "text": TEXT,
    "entities": [{"start": 0, "end": 13, "label": "per"}, {"start": 19, "end": 24, "label": "loc"}],
}


def lines(path: Path, *records: dict[str, Any]) -> Path:
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def conll(path: Path, sentences: list[list[tuple[str, str]]]) -> Path:
    path.write_text("".join("".join(f"{w} {t}\n" for w, t in one) + "\n" for one in sentences), encoding="utf-8")
    return path


def record(name: str, *entities: tuple[int, int, str], text: str = TEXT, **more: Any) -> dict[str, Any]:
    return {"id": name, "text": text, "entities": [list(one) for one in entities], **more}


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
def test_reads_json_lines(tmp_path: Path, ending: str) -> None:
    found = read_marked(lines(tmp_path / f"gold{ending}", RECORD, record("b", meta={"doc": "x"})), "gold")
    assert list(found.documents) == ["a", "b"]
    assert found.documents["a"].spans == (Span(0, 13, "per"), Span(19, 24, "loc"))
    assert found.documents["b"].spans == () and found.documents["b"].meta["doc"] == "x"


@pytest.mark.parametrize("scheme", ["bio", "bioes", "iob1"])
def test_reads_conll_in_three_schemes(tmp_path: Path, scheme: str) -> None:
    tags = {
        "bio": ["B-per", "I-per", "O", "B-loc", "O"],
        "bioes": ["B-per", "E-per", "O", "S-loc", "O"],
        "iob1": ["I-per", "I-per", "O", "I-loc", "O"],
    }[scheme]
    words = ["Ngozi", "Adeyemi", "left", "Porto", "."]
    path = conll(tmp_path / "gold.conll", [list(zip(words, tags, strict=True))])
    (one,) = read_marked(path, "gold").documents.values()
    assert one.text == "Ngozi Adeyemi left Porto ." and one.id == "document 1"
    assert one.spans == (Span(0, 13, "per"), Span(19, 24, "loc"))


@given(st.lists(st.tuples(TAGS, st.randoms(use_true_random=False)), min_size=1, max_size=4))
def test_scores_conll_as_conlleval_does(tmp_path_factory: pytest.TempPathFactory, given_: Any) -> None:
    """seqeval's default mode reads tags as conlleval does, invalid ones too."""
    folder = tmp_path_factory.mktemp("conll")
    gold = [tags for tags, _ in given_]
    predicted = [
        [t if rng.random() < 0.7 else rng.choice(["O", "B-per", "I-org"]) for t in tags] for tags, rng in given_
    ]
    files = [
        conll(folder / name, [[(f"w{i}", tag) for i, tag in enumerate(tags)] for tags in side])
        for name, side in (("gold.conll", gold), ("pred.conll", predicted))
    ]
    sides = read_marked(files[0], "gold", repair=True), read_marked(files[1], "predictions", repair=True)
    report = make_report(pair(*sides), resamples=100)
    if not report.table.by_label:
        return
    theirs = classification_report(gold, predicted, output_dict=True, zero_division=0)
    micro = report.table.micro
    assert (micro.precision, micro.recall, micro.f1) == pytest.approx(
        [theirs["micro avg"][key] for key in ("precision", "recall", "f1-score")]
    )
    assert {label: one.f1 for label, one in report.table.by_label.items()} == pytest.approx(
        {label: one["f1-score"] for label, one in theirs.items() if "avg" not in label}
    )


def test_invalid_tags_are_refused_or_read_as_conlleval_does(tmp_path: Path) -> None:
    path = conll(tmp_path / "pred.conll", [[("Porto", "B-loc"), ("and", "O"), ("Lisbon", "I-loc")]])
    with pytest.raises(EvalDataError, match=r"pred.conll:3: 'I-loc' follows no loc") as raised:
        read_marked(path, "predictions")
    assert "--repair" in raised.value.hint and "--skip-bad" not in raised.value.hint
    found = read_marked(path, "predictions", repair=True)
    assert found.documents["document 1"].spans == (Span(0, 5, "loc"), Span(10, 16, "loc"))
    assert any("conlleval" in note for note in found.notes)


@pytest.mark.parametrize(
    ("content", "says", "hint"),
    [
        ("", "empty", "at least one document"),
        ("\n", "no document in it", "at least one document"),
        ('{"id": "a"', "gold.jsonl:1: no JSON", "mend"),
        ('{"id": "a", "entities": []}', "gold.jsonl:1: no 'text'", "records hold an id"),
        ('{"id": "a", "text": "Porto"}', "'a' has no entities", "empty list"),
        ('{"id": "a", "text": "Porto", "entities": [[0, 9, "loc"]]}', "0 to 9 is no range", "code points"),
        ('{"id": "a", "text": "Porto", "entities": [[3, 3, "loc"]]}', "3 to 3 is no range", "code points"),
        ('{"id": "a", "text": "Porto", "entities": [[0, 5, "city"]]}', "unknown type 'city'", "per, loc"),
        ('{"id": "a", "text": "Porto", "entities": [{"start": 0, "end": 5, "label": "loc", "text": "Lisbon"}]}', "Lisbon", "offsets"),
        ('{"id": "a", "text": "Porto", "entities": [{"start": 0, "end": 5, "label": "loc", "confidence": 7}]}', "7 is no probability", "between 0 and 1"),
        ('{"id": "a", "text": "x", "entities": []}\n{"id": "a", "text": "y", "entities": []}', "'a'", "unique"),
    ],
)  # fmt: skip
def test_a_broken_file_is_told_in_one_line(tmp_path: Path, content: str, says: str, hint: str) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(EvalDataError) as raised:
        read_marked(path, "gold", labels=LabelSet.of("per", "loc"))
    assert says in raised.value.message and hint in raised.value.hint
    assert "\n" not in raised.value.message and "--skip-bad" not in str(raised.value)


def test_missing_damaged_and_strange_files(tmp_path: Path) -> None:
    with pytest.raises(EvalDataError, match="no such file"):
        read_marked(tmp_path / "none.jsonl", "gold")
    whole = lines(tmp_path / "gold.jsonl.gz", RECORD).read_bytes()
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:-12])
    with pytest.raises(EvalDataError, match="gzip"):
        read_marked(tmp_path / "cut.jsonl.gz", "gold")
    (tmp_path / "gold.xyz").write_text("x", encoding="utf-8")
    with pytest.raises(EvalDataError, match="xyz"):
        read_marked(tmp_path / "gold.xyz", "gold")


def test_layers_are_chosen_by_their_side(tmp_path: Path) -> None:
    both = {
        "id": "a",
        "text": TEXT,
        "entities": [
            {"start": 0, "end": 5, "label": "per"},
            {"start": 0, "end": 13, "label": "per", "confidence": 0.7, "layer": 1},
        ],
        "layers": [
            {"kind": "gold", "annotator": "ann"},
            {"kind": "suggestion", "outcome": {"kind": "truncated", "reason": "long"}},
        ],
    }
    path = lines(tmp_path / "both.jsonl", both)
    assert read_marked(path, "gold").documents["a"].spans == (Span(0, 5, "per"),)
    guess = read_marked(path, "predictions").documents["a"]
    assert guess.confidences == {Span(0, 13, "per"): 0.7} and str(guess.outcome) == "truncated"
    both["layers"] = [{"kind": "gold", "annotator": "ann"}, {"kind": "gold", "annotator": "bo"}]
    with pytest.raises(EvalDataError, match=r"several annotators \(ann, bo\)"):
        read_marked(lines(tmp_path / "two.jsonl", both), "gold")


def readings(tmp_path: Path, gold: list[dict[str, Any]], predictions: list[dict[str, Any]]) -> tuple[Any, Any]:
    return (
        read_marked(lines(tmp_path / "gold.jsonl", *gold), "gold"),
        read_marked(lines(tmp_path / "pred.jsonl", *predictions), "predictions"),
    )


def test_predictions_for_other_documents(tmp_path: Path) -> None:
    with pytest.raises(EvalDataError, match=r"1 document\(s\) are not in .*gold.jsonl, the first is 'z'"):
        pair(*readings(tmp_path, [record("a")], [record("a"), record("z")]))


def test_differing_texts_under_one_id(tmp_path: Path) -> None:
    with pytest.raises(EvalDataError, match=r"'a' has another text .* from character 19 on: 'Faro"):
        pair(*readings(tmp_path, [record("a")], [record("a", text=TEXT.replace("Porto", "Faro"))]))


def test_missing_predictions(tmp_path: Path) -> None:
    sides = readings(tmp_path, [RECORD, record("b", (0, 5, "per"))], [RECORD])
    with pytest.raises(EvalDataError, match=r"no prediction for 1 of 2 document\(s\), the first is 'b'") as raised:
        pair(*sides)
    assert "--missing-as-empty" in raised.value.hint
    paired = pair(*sides, missing_as_empty=True)
    assert paired.missing == ("b",) and make_report(paired).table.micro.counts == Counts(2, 0, 1)


def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    sides = readings(
        tmp_path, [record("a", meta={"doc": "x"}), record("b", meta={"page": 1})], [record("a"), record("b")]
    )
    with pytest.raises(EvalDataError, match="'b' has no field 'doc'") as raised:
        pair(*sides, cluster="doc")
    assert "page" in raised.value.hint
    sides = readings(tmp_path, [record("a", meta={"doc": 3}), record("b", meta={"doc": 3})], [record("a"), record("b")])
    assert pair(*sides, cluster="doc").clusters == {"a": "3", "b": "3"}


def test_aliases_of_the_label_set_are_one_type(tmp_path: Path) -> None:
    labels = LabelSet((Label("per", aliases=("person", "PERSON")), Label("loc")))
    gold = lines(tmp_path / "gold.jsonl", record("a", (0, 13, "PERSON")))
    assert read_marked(gold, "gold", labels=labels).documents["a"].spans == (Span(0, 13, "per"),)


def full_report(tmp_path: Path) -> Any:
    gold = [record(str(i), (0, 13, "per"), (19, 24, "city"), meta={"doc": i // 4}) for i in range(24)]
    predictions = [
        {
            **record(str(i)),
            "entities": [
                {"start": 0, "end": 13 if i % 3 else 5, "label": "per", "confidence": 0.9},
                *([{"start": 19, "end": 24, "label": "loc", "confidence": 0.3}] if i % 2 else []),
            ],
            "outcome": {"kind": "ok" if i else "truncated"},
        }
        for i in range(24)
    ]
    labels = LabelSet((Label("per"), Label("loc"), Label("city", parent="loc")))
    paired = pair(*readings(tmp_path, gold, predictions), cluster="doc")
    training = TrainingMentions([("Porto", "city"), ("ngozi  adeyemi", "loc")])
    return make_report(paired, labels=labels, training=training, cluster="doc", resamples=300)


def test_the_report_says_all_of_it(tmp_path: Path) -> None:
    report = full_report(tmp_path)
    found = report.to_json()
    assert json.loads(json.dumps(found)) == found
    assert found["documents"] == 24 and found["intervals"]["units"] == 6 and found["intervals"]["cluster"] == "doc"
    assert found["schemes"]["strict"]["tp"] == 16 and found["schemes"]["boundaries"]["tp"] == 28
    assert found["schemes"]["partial"]["tp"] == 28 + 8 / 2 and found["schemes"]["types"]["tp"] == 24
    assert found["parents"]["loc"]["tp"] == 12 and found["top"]["tp"] == 28
    assert found["errors"]["wrong type"] == {"cases": 12, "gold": 12, "predicted": 12}
    assert found["errors"]["too short"]["cases"] == 8 and found["errors"]["missed"]["gold"] == 12
    assert found["in_training"]["seen"]["gold"] == 24
    assert found["in_training"]["seen as another type"]["gold"] == 24
    assert found["outcomes"]["ok"] == 23 and found["outcomes"]["truncated"] == 1
    assert found["calibration"]["count"] == 36
    assert found["calibration"]["ece"] == pytest.approx((24 * abs(0.9 - 16 / 24) + 12 * 0.3) / 36)
    assert {"gold": "city", "predicted": "loc", "count": 12} in found["confusion"]
    assert found["length"]["2 words"]["gold"] == 24
    for scheme in found["schemes"].values():
        low, high = scheme["intervals"]["f1"]
        assert 0 <= low <= scheme["f1"] <= high <= 1


def test_no_confidence_no_calibration(tmp_path: Path) -> None:
    some = {**record("a"), "entities": [{"start": 0, "end": 5, "label": "per", "confidence": 0.5}, [19, 24, "loc"]]}
    report = make_report(pair(*readings(tmp_path, [RECORD], [some])), resamples=100)
    assert report.calibration is None and report.outcomes is None and report.by_seen is None
    assert "calibration" not in report.to_json() and "in_training" not in report.to_json()


def test_exports_hold_the_same_rows(tmp_path: Path) -> None:
    report = full_report(tmp_path)
    rows = flat_rows(report)
    for ending in (".csv", ".parquet", ".md"):
        export(report, tmp_path / f"scores{ending}")
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["name"] for row in table] == [row["name"] for row in rows]
    assert [float(row["f1"]) if row["f1"] else None for row in table] == [row["f1"] for row in rows]
    assert pq.read_table(tmp_path / "scores.parquet").to_pylist() == rows
    text = (tmp_path / "scores.md").read_text(encoding="utf-8")
    assert text == markdown(report)
    assert "| strict | " in text and "| wrong type | 12 | 12 | 12 |" in text and "6 clusters by 'doc'" in text
    assert not list(tmp_path.glob("*.tmp"))


def test_a_pipe_in_a_type_does_not_break_markdown(tmp_path: Path) -> None:
    sides = readings(tmp_path, [record("a", (0, 5, "a|b"))], [record("a", (0, 5, "a|b"))])
    assert "| a\\|b | 1.000" in markdown(make_report(pair(*sides), resamples=100))


def test_export_errors(tmp_path: Path) -> None:
    report = full_report(tmp_path)
    with pytest.raises(OutputError, match="ending"):
        export(report, tmp_path / "scores.xlsx")
    with pytest.raises(OutputError, match="cannot be written"):
        export(report, tmp_path / "none" / "scores.csv")
