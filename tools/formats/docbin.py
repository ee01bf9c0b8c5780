"""spaCy's DocBin, by spaCy itself (the optional dependency ``spacy``)."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.annotation.document import Document
from tools.annotation.span import Span
from tools.errors import InputError
from tools.formats.filing import atomic_file, atomic_folder, told
from tools.formats.format import Format, ReadOptions, WriteOptions
from tools.formats.holds import Holds, flat
from tools.formats.items import Annotated, Layer, Mention
from tools.formats.loss import LossReport
from tools.formats.report import ReadReport
from tools.formats.rows import Fault
from tools.formats.sources import Source
from tools.formats.tokens import Range, TokenMap, cut_at, tokenize
from tools.formats.writing import without_surrogates

if TYPE_CHECKING:
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

GROUP = "sc"  # the span group that spaCy's span categorizer reads by default
PART = 2000  # documents a file, where a folder is written
_KEY = "quorum"


def _spacy() -> Any:
    try:
        import spacy.tokens
        import spacy.vocab
    except ImportError as error:
        raise InputError("DocBin needs spaCy, which is not installed", "pip install 'quorum-ner[spacy]'") from error
    return spacy


def read(source: Source, options: ReadOptions, report: ReadReport) -> Iterator[Annotated | Fault]:
    """Read the documents of one file; all of it is in memory meanwhile."""
    spacy = _spacy()
    if source.path is None:
        yield Fault(0, "a DocBin cannot be read from a pipe", "give the file's name")
        return
    data = source.path.read_bytes()
    report.opened(source.name, "docbin")
    try:
        # Looked into first: spaCy's own message does not say what the file is instead.
        zlib.decompressobj().decompress(data, 64)
        docs = list(spacy.tokens.DocBin().from_bytes(data).get_docs(spacy.vocab.Vocab()))
    except Exception as error:  # whatever spaCy, numpy or msgpack make of broken bytes
        reason = "it is damaged or cut off" if data[:1] == b"\x78" else "this is something else"
        detail = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        yield Fault(0, f"no DocBin: {reason} ({detail})", "write it again with DocBin.to_disk, or see --format")
        return
    for number, doc in enumerate(docs, 1):
        yield _item(doc, f"{source.stem}:{number}", source, report)


def _item(doc: Doc, default_id: str, source: Source, report: ReadReport) -> Annotated:
    ours = _ours(doc.user_data.get(_KEY))
    name = ours.get("id", default_id)
    if doc.has_unknown_spaces:
        report.warn(f"{source.name}: its blanks are unknown; words are joined by one")
    found = {Span(ent.start_char, ent.end_char, ent.label_) for ent in doc.ents if ent.label_}
    for key, group in doc.spans.items():
        if key != GROUP:
            report.losses.add("other regions", name, detail=f"span group {key!r}", count=len(group))
            continue
        found.update(Span(s.start_char, s.end_char, s.label_) for s in group if s.label_ and len(s))
        if unlabelled := sum(not s.label_ for s in group):
            report.losses.add("no label", name, count=unlabelled)
    if linked := [ent for ent in doc.ents if ent.kb_id]:
        report.losses.add("other regions", name, detail="links to a knowledge base", count=len(linked))
    decided = ours.get("decided", bool(found) or doc.has_annotation("ENT_IOB"))
    layer = Layer(tuple(Mention(span) for span in sorted(found)), ours.get("annotator", ""), ours.get("kind", "gold"))
    return Annotated(Document(name, doc.text, ours.get("meta", {})), (layer,) if decided else ())


def _ours(written: Any) -> dict[str, Any]:
    """What our own export left in the user data; nothing where it is not of the form."""
    try:
        found = json.loads(written) if isinstance(written, str) else {}
    except ValueError:
        return {}
    types = {"id": str, "annotator": str, "kind": str, "decided": bool, "meta": dict}
    return {key: found[key] for key, kind in types.items() if isinstance(found.get(key), kind)}


def write(path: Path, items: Iterable[Annotated], options: WriteOptions, losses: LossReport) -> int:
    """Write one file, or into a folder a file for every 2,000 documents (where the name has no ``.spacy``)."""
    if path.suffix.lower() == ".spacy":
        with atomic_file(path, losses.settle) as raw:
            data, count = _pack(items, options, losses)
            with told(path):
                raw.write(data)
        return count
    stream = iter(items)
    total = 0
    with atomic_folder(path, (".spacy",), losses.settle, overwrite=options.overwrite) as folder:
        number = 0
        while part := list(islice(stream, PART)):
            number += 1
            data, count = _pack(part, options, losses)
            with told(path):
                (folder / f"part-{number:05d}.spacy").write_bytes(data)
            total += count
    return total


def _pack(items: Iterable[Annotated], options: WriteOptions, losses: LossReport) -> tuple[bytes, int]:
    spacy = _spacy()
    box = spacy.tokens.DocBin(attrs=["ENT_IOB", "ENT_TYPE"], store_user_data=True)
    vocab = spacy.vocab.Vocab()
    for item in items:
        box.add(_doc(item, vocab, options, losses))
    return box.to_bytes(), len(box)


def _doc(item: Annotated, vocab: Vocab, options: WriteOptions, losses: LossReport) -> Doc:
    from spacy.tokens import Doc
    from spacy.tokens import Span as DocSpan

    document = item.document
    layer = item.layers[0] if item.layers else None
    text, replaced = without_surrogates(document.text)
    if replaced:
        losses.add("text", document.id, detail="lone surrogates", count=replaced)
    tokens = tokenize(text)
    spans = layer.spans if layer else ()
    if options.split_tokens:
        tokens = cut_at(tokens, spans)
    pieces = _with_blanks(text, tokens)
    doc = Doc(vocab, words=[text[a:b] for a, b, _ in pieces], spaces=[space for _, _, space in pieces])
    places = TokenMap([(a, b) for a, b, _ in pieces])
    placed: list[tuple[Span, DocSpan]] = []
    for span in spans:
        at = places.find(span)
        if at is None:
            losses.add("tokens", document.id, span)
            continue
        label, changed = without_surrogates(span.label)
        if changed:
            losses.add("label", document.id, span)
        placed.append((span, DocSpan(doc, at[0], at[1] + 1, label=label)))
    if layer is not None:
        # doc.ents can hold no overlap; the group holds all, so that nothing is lost here.
        apart = {mention.span for mention in flat([Mention(span) for span, _ in placed], "", LossReport())}
        doc.set_ents([piece for span, piece in placed if span in apart], default="outside")
        if len(apart) < len(placed):
            doc.spans[GROUP] = [piece for _, piece in placed]
    doc.user_data[_KEY] = json.dumps(
        {
            "id": document.id, "decided": layer is not None, "annotator": layer.annotator if layer else "",
            "kind": layer.kind if layer else "gold", "meta": dict(document.meta),
        }
    )  # fmt: skip
    return doc


def _with_blanks(text: str, tokens: Sequence[Range]) -> list[tuple[int, int, bool]]:
    """Tokens as spaCy wants them: start, end, and whether a blank follows; other white space is a token too."""
    pieces: list[tuple[int, int, bool]] = []
    at = 0
    for start, end in [*tokens, (len(text), len(text))]:
        if at < start:
            if pieces and text[at] == " ":
                pieces[-1] = (*pieces[-1][:2], True)
                at += 1
            if at < start:
                pieces.append((at, start, False))
        if start < end:
            pieces.append((start, end, False))
        at = end
    return pieces


FORMAT = Format(
    name="docbin",
    title="spaCy DocBin",
    endings=(".spacy",),
    holds=Holds(any_offsets=False, suggestions=True, meta=True, any_text=False),
    reader=read,
    writer=write,
    streams=False,
    extra="spacy",
    notes=(
        "Tokens as in CoNLL columns, and runs of white space beyond a single blank are tokens of their own, so that "
        "`doc.text` is the text. `doc.ents` has the mentions (of overlapping ones the longest), and where some overlap "
        "the span group `sc` has them all. Id, annotator, meta and whether it was decided travel as JSON in "
        "`doc.user_data['quorum']`. A file is in memory as a whole, in spaCy as here: an output without `.spacy` at "
        "its end becomes a folder with a file for every 2,000 documents. Other span groups are losses."
    ),
)
