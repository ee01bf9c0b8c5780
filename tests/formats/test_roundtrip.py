"""Export followed by import is the identity on what a format holds, and every loss is told."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.formats.making import items
from tools.annotation import Document, Span
from tools.annotation.prediction import Outcome, Vote
from tools.errors import OutputError
from tools.formats.annotated import read_annotated, write_annotated
from tools.formats.format import Format, WriteOptions
from tools.formats.holds import FEATURES, Holds
from tools.formats.items import Annotated, Layer, Mention
from tools.formats.loss import KINDS, LossReport
from tools.formats.registry import FORMATS, WRITABLE
from tools.formats.report import ReadReport
from tools.formats.tags import SCHEMES

EVERYTHING = Holds(suggestions=True, confidence=True, votes=True, provenance=True, annotators=True, meta=True)


def there_and_back(
    format_: Format, documents: list[Annotated], options: WriteOptions | None = None, packed: bool = False
) -> tuple[list[Annotated], LossReport, ReadReport]:
    if format_.extra:
        pytest.importorskip(format_.extra, reason=f"{format_.title} needs {format_.extra}")
    losses, report = LossReport(), ReadReport()
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / ("out" if format_.folder else f"out{format_.endings[0]}{'.gz' if packed else ''}")
        assert write_annotated(path, documents, format_, options, losses) == len(documents)
        assert [entry.name for entry in folder.iterdir()] == [path.name]
        back = list(read_annotated(path, format_, report=report))
    finally:
        shutil.rmtree(folder)
    if format_.folder:
        order = {item.document.id: number for number, item in enumerate(documents)}
        back.sort(key=lambda item: order.get(item.document.id, -1))
    return back, losses, report


def cases() -> list[object]:
    made: list[object] = [pytest.param(FORMATS[name], None, id=name) for name in WRITABLE]
    made += [pytest.param(FORMATS["conll"], WriteOptions(scheme), id=f"conll-{scheme}") for scheme in SCHEMES[1:]]
    return made


@pytest.mark.parametrize(("format_", "options"), cases())
def test_what_a_format_holds_comes_back_exactly_and_without_loss(format_: Format, options: WriteOptions | None) -> None:
    @settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
    @given(items(format_.holds))
    def check(documents: list[Annotated]) -> None:
        back, losses, report = there_and_back(format_, documents, options)
        assert losses.counts == {}
        assert report.losses.counts == {}
        assert not report.repairs
        assert back == documents

    check()


@pytest.mark.parametrize("name", WRITABLE)
def test_whatever_is_written_reads_back_and_differs_only_where_a_loss_is_told(name: str) -> None:
    format_ = FORMATS[name]

    @settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
    @given(items(EVERYTHING), st.booleans())
    def check(documents: list[Annotated], split: bool) -> None:
        back, losses, _ = there_and_back(format_, documents, WriteOptions(split_tokens=split))
        assert len(back) == len(documents)
        assert set(losses.counts) <= set(KINDS)
        if not losses.counts:
            assert back == documents
        for one, two in zip(documents, back, strict=True):
            if "text" not in losses.counts:
                assert one.document.text == two.document.text
            if "id" not in losses.counts and "text" not in losses.counts:
                assert one.document.id == two.document.id
            # Nothing is invented: what comes back was there (labels may have been written otherwise).
            places = {(s.start, s.end) for layer in one.layers for s in layer.spans}
            assert {(s.start, s.end) for layer in two.layers for s in layer.spans} <= places

    check()


PLAIN = Document("d", "Ada Lovelace of New York")
SPAN = Span(0, 12, "person")


def with_(*mentions: Mention, **layer: object) -> Annotated:
    return Annotated(PLAIN, (Layer(tuple(mentions), **layer),))  # type: ignore[arg-type]


FEATURE_CASES: dict[str, tuple[Annotated, set[str]]] = {
    "nested": (with_(Mention(SPAN), Mention(Span(4, 12, "name"))), {"nested"}),
    "overlapping": (with_(Mention(SPAN), Mention(Span(4, 15, "name"))), {"overlapping"}),
    "same_span": (with_(Mention(SPAN), Mention(Span(0, 12, "poet"))), {"same span"}),
    "any_offsets": (
        Annotated(Document("d", "Ada\n of"), (Layer((Mention(Span(1, 4, "x")),)),)), {"tokens", "line break"},
    ),
    "undecided": (Annotated(PLAIN), {"undecided"}),
    "suggestions": (with_(Mention(SPAN), kind="suggestion"), {"suggestion"}),
    "confidence": (with_(Mention(SPAN, 0.5)), {"confidence"}),
    "votes": (with_(Mention(SPAN, votes=(Vote("m", True, "person", 0.5),))), {"votes"}),
    "provenance": (with_(Mention(SPAN, source="human"), outcome=Outcome()), {"provenance"}),
    "annotator": (with_(Mention(SPAN), annotator="ada"), {"annotator"}),
    "annotators": (Annotated(PLAIN, (Layer((), "ada"), Layer((Mention(SPAN),), "bob"))), {"annotators", "annotator"}),
    "meta": (Annotated(replace(PLAIN, meta={"k": 1}), (Layer(),)), {"meta"}),
    "any_text": (Annotated(Document("d", "a \ud800"), (Layer(),)), {"text"}),
    "any_id": (Annotated(Document("\udfff" * 80, "a"), (Layer(),)), {"id", "text"}),
    "any_label": (with_(Mention(Span(0, 12, "a b"))), {"label"}),
}  # fmt: skip


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("name", WRITABLE)
def test_the_published_table_is_true_in_both_directions(name: str, feature: str) -> None:
    item, kinds = FEATURE_CASES[feature]
    format_ = FORMATS[name]
    back, losses, _ = there_and_back(format_, [item])
    if getattr(format_.holds, feature):
        assert not losses.counts, losses.lines()
        assert back == [item]
    else:
        assert losses.counts
        assert set(losses.counts) <= kinds
        assert back != [item]


def test_every_feature_has_a_row_and_a_case() -> None:
    names = {field.name for field in fields(Holds)}
    assert names == set(FEATURES) == set(FEATURE_CASES)


@pytest.mark.parametrize("name", [name for name in WRITABLE if FORMATS[name].packed])
def test_packed_files(name: str) -> None:
    back, losses, _ = there_and_back(FORMATS[name], [with_(Mention(SPAN))], packed=True)
    assert back == [with_(Mention(SPAN))]
    assert not losses.total


@pytest.mark.parametrize("name", [name for name in WRITABLE if name != "jsonl"])  # which loses nothing
def test_strict_writes_nothing_and_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    format_ = FORMATS[name]
    if format_.extra:
        pytest.importorskip(format_.extra)
    path = tmp_path / ("out" if format_.folder else f"out{format_.endings[0]}")
    write_annotated(path, [with_(Mention(SPAN))], format_)
    before = sorted((p.name, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file())
    lost = Mention(SPAN, votes=(Vote("m", True, "person", 0.5),))
    bad = with_(lost) if name != "parquet" else Annotated(Document("d", "a\ud800"), (Layer(),))
    with pytest.raises(OutputError, match="--strict allows no loss"):
        write_annotated(path, [bad], format_, WriteOptions(overwrite=True), LossReport(strict=True))
    assert sorted((p.name, p.read_bytes()) for p in tmp_path.rglob("*") if p.is_file()) == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", WRITABLE)
def test_a_fault_while_writing_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    format_ = FORMATS[name]
    if format_.extra:
        pytest.importorskip(format_.extra)
    path = tmp_path / ("out" if format_.folder else f"out{format_.endings[0]}")
    if not format_.folder:
        path.write_bytes(b"before")

    def broken() -> object:
        yield with_(Mention(SPAN))
        raise RuntimeError("the store is gone")

    with pytest.raises(RuntimeError, match="the store is gone"):
        write_annotated(path, broken(), format_)  # type: ignore[arg-type]
    assert [p.name for p in tmp_path.iterdir()] == ([] if format_.folder else [path.name])
    assert format_.folder or path.read_bytes() == b"before"
