"""DocBin and CoNLL against spaCy's own readers and writers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.annotation import Document, Span
from tools.formats import docbin
from tools.formats.annotated import read_annotated, write_annotated
from tools.formats.format import ReadOptions, WriteOptions
from tools.formats.items import Annotated, Layer, Mention
from tools.formats.loss import LossReport
from tools.formats.registry import FORMATS
from tools.formats.report import ReadReport

spacy = pytest.importorskip("spacy", reason="needs the extra 'spacy'")

TEXT = "Ada Lövelace met 👀 Charles\tBabbage in  New York.\nIt rained."
SPANS = [Span(0, 12, "person"), Span(19, 34, "person"), Span(39, 47, "cell line")]


def annotated(*spans: Span, text: str = TEXT) -> Annotated:
    return Annotated(Document("d", text), (Layer(tuple(map(Mention, spans))),))


def test_spacy_reads_what_we_write(tmp_path: Path) -> None:
    nested = Span(4, 12, "name")
    path = tmp_path / "o.spacy"
    write_annotated(path, [annotated(*SPANS), annotated(SPANS[0], nested), Annotated(Document("u", TEXT))])
    one, two, three = spacy.tokens.DocBin().from_disk(path).get_docs(spacy.blank("en").vocab)
    assert one.text == TEXT
    assert [(e.start_char, e.end_char, e.label_) for e in one.ents] == [(s.start, s.end, s.label) for s in SPANS]
    assert one.has_annotation("ENT_IOB")
    assert "sc" not in one.spans
    assert [e.text for e in two.ents] == ["Ada Lövelace"]
    assert [(s.text, s.label_) for s in two.spans["sc"]] == [("Ada Lövelace", "person"), ("Lövelace", "name")]
    assert not three.has_annotation("ENT_IOB")


def test_we_read_what_spacy_writes(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    doc = nlp(TEXT)
    doc.ents = [doc.char_span(0, 12, label="person")]
    doc.spans["sc"] = [doc.char_span(4, 12, label="name")]
    doc.spans["guesses"] = [doc.char_span(0, 3, label="name")]
    path = tmp_path / "s.spacy"
    spacy.tokens.DocBin(docs=[doc, nlp("Not looked at."), nlp("")]).to_disk(path)
    report = ReadReport()
    one, two, _ = read_annotated(path, report=report)
    assert (one.document.id, one.document.text) == ("s:1", TEXT)
    assert one.layers[0].spans == (Span(0, 12, "person"), Span(4, 12, "name"))
    assert report.losses.counts == {"other regions": 1}
    assert two.layers == ()


def test_words_without_known_blanks_are_told(tmp_path: Path) -> None:
    doc = spacy.tokens.Doc(spacy.blank("en").vocab, words=["a", "b"])
    path = tmp_path / "s.spacy"
    spacy.tokens.DocBin(docs=[doc]).to_disk(path)
    report = ReadReport()
    assert [item.document.text.strip() for item in read_annotated(path, report=report)] == ["a b"]
    assert "blanks are unknown" in report.warnings[0]


def test_a_folder_takes_a_file_for_every_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert docbin.PART == 2000  # as docs/formats.md says
    monkeypatch.setattr(docbin, "PART", 20)
    items = [Annotated(Document(f"d{n}", "x y"), (Layer((Mention(Span(0, 1, "a")),)),)) for n in range(41)]
    assert write_annotated(tmp_path / "parts", items, FORMATS["docbin"]) == 41
    assert sorted(p.name for p in (tmp_path / "parts").iterdir()) == [f"part-0000{n}.spacy" for n in (1, 2, 3)]
    assert list(read_annotated(tmp_path / "parts")) == items


@pytest.mark.parametrize("scheme", ["bio", "bioes", "iob1"])
def test_spacy_reads_our_conll(tmp_path: Path, scheme: str) -> None:
    from spacy.training import iob_utils

    path = tmp_path / "o.conll"
    adjacent = [Span(0, 3, "person"), Span(4, 12, "person"), Span(39, 47, "place")]
    write_annotated(path, [annotated(*adjacent)], options=WriteOptions(scheme))  # type: ignore[arg-type]
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("# ")]
    # spaCy knows BILOU (and BIO, which it takes for IOB1 as well).
    tags = [tag.replace("E-", "L-").replace("S-", "U-") for _, tag in rows]
    tags = iob_utils.iob_to_biluo(tags) if scheme != "bioes" else tags
    words = [word for word, _ in rows]
    doc = spacy.tokens.Doc(spacy.blank("en").vocab, words=words)
    found = [(span.text, span.label_) for span in iob_utils.biluo_tags_to_spans(doc, tags)]
    assert found == [("Ada", "person"), ("Lövelace", "person"), ("New York", "place")]


def test_spacys_converter_reads_our_file(tmp_path: Path) -> None:
    from spacy.training.converters import conll_ner_to_docs

    path = tmp_path / "o.conll"
    write_annotated(path, [annotated(SPANS[0], Span(39, 47, "place"))])
    plain = "\n".join(
        line for line in path.read_text(encoding="utf-8").split("\n") if not line.startswith("# ")
    ).strip()
    docs = list(conll_ner_to_docs(plain, n_sents=0, no_print=True))
    assert [(e.text, e.label_) for doc in docs for e in doc.ents] == [("Ada Lövelace", "person"), ("New York", "place")]


def test_we_read_what_spacys_tags_say(tmp_path: Path) -> None:
    from spacy.training import iob_utils

    nlp = spacy.blank("en")
    doc = nlp("Ada Lovelace wrote from New York to Ada")
    spans = [Span(0, 12, "person"), Span(24, 32, "place"), Span(36, 39, "person")]
    doc.ents = [doc.char_span(s.start, s.end, label=s.label) for s in spans]
    tags = iob_utils.offsets_to_biluo_tags(doc, [(s.start, s.end, s.label) for s in spans])
    for name, written in (("biluo", tags), ("bio", iob_utils.biluo_to_iob(tags))):
        path = tmp_path / f"{name}.conll"
        path.write_text("".join(f"{t.text} X {tag}\n" for t, tag in zip(doc, written, strict=True)), encoding="utf-8")
        (item,) = read_annotated(path)
        assert item.document.text == doc.text
        assert item.layers[0].spans == tuple(spans)


def test_split_tokens_keep_what_is_lost_otherwise(tmp_path: Path) -> None:
    inside = annotated(Span(1, 3, "x"))
    for name in ("o.spacy", "o.conll"):
        losses = LossReport()
        write_annotated(tmp_path / name, [inside], losses=losses)
        assert losses.counts == {"tokens": 1}
        assert "'d' 1:3 x" in losses.lines()[0]
        losses = LossReport()
        write_annotated(tmp_path / name, [inside], options=WriteOptions(split_tokens=True), losses=losses)
        assert not losses.total
        assert list(read_annotated(tmp_path / name, options=ReadOptions())) == [inside]
