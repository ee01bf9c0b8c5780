"""Files as other programs write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.annotation import Document, Span
from tools.errors import InputError
from tools.formats.annotated import read_annotated, write_annotated
from tools.formats.format import ReadOptions, WriteOptions
from tools.formats.items import Annotated, Layer, Mention
from tools.formats.registry import FORMATS
from tools.formats.report import ReadReport


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return path


def spans(path: Path, name: str = "", **options: Any) -> list[list[tuple[str, str]]]:
    found = read_annotated(path, FORMATS[name] if name else None, ReadOptions(**options))
    return [
        [(span.text_in(item.document.text), span.label) for layer in item.layers for span in layer.spans]
        for item in found
    ]


# --- CoNLL ------------------------------------------------------------------------------------------------------------
CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP I-ORG
rejects VBZ B-VP O
German JJ B-NP I-MISC
Dutch JJ I-NP B-MISC
calls NNS I-NP O

# NN B-NP O
Peter NNP B-NP I-PER
Blackburn NNP I-NP I-PER

-DOCSTART- -X- -X- O

BRUSSELS NNP B-NP I-LOC
"""


def test_the_files_of_conll_2003(tmp_path: Path) -> None:
    path = write(tmp_path / "eng.iob", CONLL_2003)
    report = ReadReport()
    one, two = read_annotated(path, report=report)
    assert one.document == Document("eng:1", "EU rejects German Dutch calls\n# Peter Blackburn")
    assert [(s.text_in(one.document.text), s.label) for s in one.layers[0].spans] == [
        ("EU", "ORG"), ("German", "MISC"), ("Dutch", "MISC"), ("Peter Blackburn", "PER"),
    ]  # fmt: skip
    assert two.document.text == "BRUSSELS"
    assert "read as IOB1" in report.warnings[0]


def test_other_columns_and_line_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "x.conll", "1\tB-a\tAda\r\n2\tI-a\tLovelace\r\n\r\n\r\n1\tO\tx\r\n")
    assert spans(path, word_column=2, tag_column=1) == [[("Ada Lovelace", "a")], []]
    ids = [item.document.id for item in read_annotated(path, options=ReadOptions(word_column=2, tag_column=1))]
    assert ids == ["x:1", "x:5"]


def test_comments_of_conll_u_make_documents(tmp_path: Path) -> None:
    text = '# newdoc id = n1\n# sent_id = 1\n# text = "Ada wrote.\nAda\tB-a\nwrote\tO\n\n# sent_id = 2\nOslo\tB-b\n\n# newdoc id = n2\nx\tO\n'
    one, two = read_annotated(write(tmp_path / "x.conll", text))
    assert (one.document.id, one.document.text, two.document.id) == ("n1", "Ada wrote\nOslo", "n2")


INVALID = [
    ("bio", ["O", "I-a"], 2, "follows no a"),
    ("bio", ["B-a", "I-b"], 2, "follows no b"),
    ("bio", ["B-a", "X-a"], 2, "is no tag"),
    ("bio", ["B-a", "B-"], 2, "is no tag"),
    ("bio", ["B-a", "I"], 2, "is no tag"),
    ("bio", ["B-a", "E-a"], 2, "is not of BIO"),
    ("bioes", ["B-a", "O", "S-a"], 1, "does not end"),
    ("bioes", ["E-a", "S-b"], 1, "follows no a"),
    ("iob1", ["B-a", "I-a"], 1, "IOB1"),
]


@pytest.mark.parametrize(("scheme", "tags", "line", "reason"), INVALID)
def test_invalid_tags_are_told_with_their_line_and_repaired_only_where_asked(
    tmp_path: Path, scheme: str, tags: list[str], line: int, reason: str
) -> None:
    path = write(tmp_path / "x.conll", "".join(f"w{n} {tag}\n" for n, tag in enumerate(tags)))
    with pytest.raises(InputError) as told:
        list(read_annotated(path, options=ReadOptions(scheme=scheme)))  # type: ignore[arg-type]
    assert told.value.message.startswith(f"{path}:{line}: ")
    assert reason in told.value.message
    assert "--repair" in told.value.hint
    report = ReadReport()
    (item,) = read_annotated(path, options=ReadOptions(scheme=scheme, repair=True), report=report)  # type: ignore[arg-type]
    assert sum(report.repairs.values()) == 1
    assert report.repaired[0].line == line
    assert item.layers[0].spans


def test_repair_reads_as_conlleval_does(tmp_path: Path) -> None:
    path = write(tmp_path / "x.conll", "# scheme = BIO\na I-x\nb I-x\nc I-y\nd O\ne B-x\nf I-y\n")
    assert spans(path, repair=True) == [[("a b", "x"), ("c", "y"), ("e", "x"), ("f", "y")]]


def test_two_files_of_different_schemes_joined(tmp_path: Path) -> None:
    item = Annotated(Document("a", "Ada Lovelace"), (Layer((Mention(Span(0, 3, "x")), Mention(Span(4, 12, "x")))),))
    other = Annotated(Document("b", "Ada Lovelace"), item.layers)
    for name, scheme, made in (("1.conll", "bioes", item), ("2.conll", "iob1", other)):
        write_annotated(tmp_path / name, [made], options=WriteOptions(scheme))  # type: ignore[arg-type]
    joined = tmp_path / "j.conll"
    joined.write_bytes((tmp_path / "1.conll").read_bytes() + (tmp_path / "2.conll").read_bytes())
    assert list(read_annotated(joined)) == [item, other]


# --- brat -------------------------------------------------------------------------------------------------------------
def test_brat_with_all_it_can_have(tmp_path: Path) -> None:
    write(tmp_path / "c" / "sub" / "doc.a.txt", "Ada met Bob\nSmith in Oslo or Rome city.")
    notes = (
        "T1\tPER 0 3\tAda\nT2\tPER 8 11;12 17\tBob Smith\nT3\tLOC 29 33\tRome\nT4\tLOC 21 25;34 38\tOslo city\n"
        "R1\tMet Arg1:T1 Arg2:T2\n#1\tAnnotatorNotes T1\tsure?\nN1\tReference T3 Wikipedia:123\tRome\nA1\tNegation T1\n*\tEquiv T1 T2\nE1\tMeet:T1\n"
    )
    write(tmp_path / "c" / "sub" / "doc.a.ann", notes)
    write(tmp_path / "c" / "open.txt", "Nobody looked.")
    report = ReadReport()
    two, one = read_annotated(tmp_path / "c", report=report)
    assert (one.document.id, two.document.id, two.layers) == ("sub/doc.a", "open", ())
    assert one.layers[0].spans == (Span(0, 3, "PER"), Span(8, 17, "PER"), Span(29, 33, "LOC"))
    assert report.losses.counts == {"discontinuous": 1, "in meta": 6}
    assert "21:38 LOC 21 25;34 38" in "\n".join(report.losses.lines())
    assert one.document.meta["brat"][1] == "#1\tAnnotatorNotes T1\tsure?"


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", " x ", "CON:*?", "ünï", "%41", "a" * 199, "\ud800", "-"])
def test_any_id_has_a_file_name_and_comes_back(tmp_path: Path, name: str) -> None:
    write_annotated(tmp_path / "o", [Annotated(Document(name, "x"), (Layer(),))], FORMATS["brat"])
    assert [item.document.id for item in read_annotated(tmp_path / "o")] == [name]
    assert all(ord(char) < 128 for path in (tmp_path / "o").iterdir() for char in path.name)


def test_an_ann_file_alone_is_enough_to_name_the_document(tmp_path: Path) -> None:
    write(tmp_path / "x.txt", "Ada")
    assert spans(write(tmp_path / "x.ann", "T1\tPER 0 3\tAda\n")) == [[("Ada", "PER")]]


# --- Label Studio -----------------------------------------------------------------------------------------------------
def region(start: Any, end: Any, *labels: str, text: str | None = None, **more: Any) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": list(labels), **({"text": text} if text is not None else {})}
    return {"id": "x", "from_name": "label", "to_name": "text", "type": "labels", "value": value, **more}


def tasks(path: Path, *made: dict[str, Any]) -> Path:
    return write(path, json.dumps(list(made), indent=1, ensure_ascii=False))


def test_a_label_studio_export(tmp_path: Path) -> None:
    task = {
        "id": 7, "data": {"text": "Ada in Oslo", "source": "mail"}, "meta": {"k": 1}, "inner_id": 3,
        "annotations": [
            {"id": 1, "completed_by": {"id": 5, "email": "a@b.org"}, "result": [region(0, 3, "PER", "NAME", text="Ada"), region(0, 3)]},
            {"id": 2, "completed_by": 9, "was_cancelled": True, "result": [region(7, 11, "LOC")]},
            {"id": 3, "completed_by": 9, "result": [{"type": "choices", "value": {"choices": ["x"]}}]},
        ],
        "predictions": [{"model_version": "m1", "score": 0.4, "result": [region(7, 11, "LOC", score=0.9), region(0, 3, "PER")]}, {"score": 0.3, "result": [region(0, 3, "PER")]}],
    }  # fmt: skip
    report = ReadReport()
    (item,) = read_annotated(tasks(tmp_path / "x.json", task), report=report)
    assert item.document == Document("7", "Ada in Oslo", {"k": 1, "source": "mail"})
    ada, nine, one, two = item.layers
    assert (ada.annotator, ada.spans) == ("a@b.org", (Span(0, 3, "NAME"), Span(0, 3, "PER")))
    assert (nine.annotator, nine.spans) == ("9", ())
    assert (one.kind, one.annotator, [m.confidence for m in one.mentions]) == ("suggestion", "m1", [None, 0.9])
    assert [m.confidence for m in two.mentions] == [0.3]
    assert report.losses.counts == {"no label": 1, "ignored": 1, "other regions": 1}


def test_offsets_of_old_exports_are_noticed_converted_and_counted(tmp_path: Path) -> None:
    text = "💩 met Ada in Oslo"
    old = {
        "data": {"text": text},
        "annotations": [{"result": [region(7, 10, "PER", text="Ada"), region(14, 18, "LOC", text="Oslo")]}],
    }
    report = ReadReport()
    path = tasks(tmp_path / "x.json", old)
    (item,) = read_annotated(path, report=report)
    assert [span.text_in(text) for span in item.layers[0].spans] == ["Ada", "Oslo"]
    assert report.repairs == {"offsets that counted UTF-16 units": 2}
    new = {"data": {"text": text}, "annotations": [{"result": [region(6, 9, "PER", text="Ada")]}]}
    assert spans(tasks(tmp_path / "y.json", new)) == [[("Ada", "PER")]]
    bare = tasks(tmp_path / "z.json", {"data": {"text": text}, "annotations": [{"result": [region(7, 10, "PER")]}]})
    report = ReadReport()
    list(read_annotated(bare, report=report))
    assert "--offsets" in report.warnings[0]
    assert spans(bare, offsets="utf16") == [[("Ada", "PER")]]
    with pytest.raises(InputError, match="its text is 'Eve'"):
        spans(
            tasks(
                tmp_path / "w.json",
                {"data": {"text": text}, "annotations": [{"result": [region(7, 10, "P", text="Eve")]}]},
            )
        )


def test_json_min_and_hypertext(tmp_path: Path) -> None:
    small = {
        "text": "Ada in Oslo",
        "id": 3,
        "label": [{"start": 0, "end": 3, "text": "Ada", "labels": ["PER"]}],
        "annotator": 1,
    }
    assert spans(write(tmp_path / "m.json", json.dumps([small]))) == [[("Ada", "PER")]]
    html = region("/p[1]/text()[1]", "/p[1]/text()[1]", "PER")
    html["type"] = "hypertextlabels"
    html["value"] |= {"globalOffsets": {"start": 7, "end": 11}, "hypertextlabels": ["LOC"]}
    assert spans(
        tasks(tmp_path / "h.json", {"data": {"text": "Ada in Oslo"}, "annotations": [{"result": [html]}]})
    ) == [[("Oslo", "LOC")]]


def test_our_tasks_are_what_label_studio_imports(tmp_path: Path) -> None:
    items = [
        Annotated(
            Document("d", "👀 Ada"),
            (
                Layer((Mention(Span(2, 5, "PER")),), "ada"),
                Layer((Mention(Span(0, 1, "X"), 0.5),), "run 1", "suggestion"),
            ),
        )
    ]
    write_annotated(tmp_path / "o.json", items)
    (task,) = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))
    (made,) = task["annotations"]
    assert "completed_by" not in made
    assert made["result"][0]["value"] == {"start": 2, "end": 5, "text": "Ada", "labels": ["PER"]}
    assert (task["predictions"][0]["model_version"], task["predictions"][0]["score"]) == ("run 1", 0.5)
    assert task["predictions"][0]["result"][0]["score"] == 0.5


# --- Prodigy ----------------------------------------------------------------------------------------------------------
def test_a_prodigy_export(tmp_path: Path) -> None:
    def answer(text: str, said: str | None, who: str = "ada", **more: Any) -> dict[str, Any]:
        return {
            "text": text, "_input_hash": 1, "_task_hash": -2, "tokens": [{"text": "Ada", "start": 0, "end": 3, "id": 0, "ws": True}],
            "spans": [{"start": 0, "end": 3, "token_start": 0, "token_end": 0, "label": "PER"}], "_view_id": "ner_manual",
            **({"answer": said, "_annotator_id": who} if said else {}), "meta": {"score": 1}, **more,
        }  # fmt: skip

    records = [
        answer("Ada x", "accept"),
        answer("Ada y", "reject"),
        answer("Ada z", "ignore"),
        answer("Ada w", None),
        answer("Ada v", "accept"),
        answer("Ada v", "accept", "bob", spans=[]),
    ]
    for number, record in enumerate(records[:4]):
        record["id"] = number
    for record in records[4:]:
        record["id"] = "same"
    report = ReadReport()
    found = list(
        read_annotated(write(tmp_path / "p.jsonl", "".join(json.dumps(r) + "\n" for r in records)), report=report)
    )
    accept, reject, ignore, open_, both = found
    assert (accept.document.meta, accept.layers[0].kind, accept.layers[0].spans) == (
        {"score": 1},
        "gold",
        (Span(0, 3, "PER"),),
    )
    assert (reject.layers, reject.document.meta["answer"], ignore.layers) == ((), "reject", ())
    assert open_.layers[0].kind == "suggestion"
    assert [(layer.annotator, len(layer.mentions)) for layer in both.layers] == [("ada", 1), ("bob", 0)]
    assert report.losses.counts == {"rejected": 1, "ignored": 1}


def test_mentions_lie_on_tokens_for_prodigy(tmp_path: Path) -> None:
    write_annotated(
        tmp_path / "o.jsonl",
        [Annotated(Document("d", "Adaland 👀"), (Layer((Mention(Span(0, 3, "x")),)),))],
        FORMATS["prodigy"],
    )
    (record,) = map(json.loads, (tmp_path / "o.jsonl").read_text(encoding="utf-8").splitlines())
    assert [(t["text"], t["start"], t["end"], t["ws"]) for t in record["tokens"]] == [
        ("Ada", 0, 3, False),
        ("land", 3, 7, True),
        ("👀", 8, 9, False),
    ]
    assert record["spans"] == [{"start": 0, "end": 3, "label": "x", "token_start": 0, "token_end": 0}]
    assert record["answer"] == "accept"


# --- JSON Lines and Parquet -------------------------------------------------------------------------------------------
def test_the_plain_form(tmp_path: Path) -> None:
    lines = [
        {"text": "Ada", "entities": [[0, 3, "PER"]], "source": "mail", "meta": {"k": 1}},
        {"id": 5, "tokens": ["Ada", "wrote"], "entities": []},
        {"id": "x", "text": "open"},
    ]
    one, two, three = read_annotated(write(tmp_path / "p.jsonl", "".join(json.dumps(line) + "\n" for line in lines)))
    assert one == Annotated(Document("p:1", "Ada", {"k": 1, "source": "mail"}), (Layer((Mention(Span(0, 3, "PER")),)),))
    assert (two.document.id, two.document.text, two.layers) == ("5", "Ada wrote", (Layer(),))
    assert three.layers == ()


def test_parquet_says_where_it_comes_from(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    item = Annotated(
        Document("d", "Ada"), (Layer((Mention(Span(0, 3, "PER"), source="human", created=5.0),), "ada", updated=6.0),)
    )
    write_annotated(tmp_path / "o.parquet", [item], options=WriteOptions(provenance={"project": "p"}))
    table = pq.read_table(tmp_path / "o.parquet")
    assert json.loads(table.schema.metadata[b"quorum"]) == {"project": "p"}
    (row,) = table.to_pylist()
    assert (row["entities"][0]["text"], row["entities"][0]["created"], row["layers"][0]["annotator"]) == (
        "Ada",
        5.0,
        "ada",
    )
