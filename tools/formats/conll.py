"""CoNLL column files: a token a line, a blank line after a sentence, tags in BIO, BIOES or IOB1."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tools.annotation.document import Document
from tools.annotation.sentences import sentence_spans
from tools.annotation.span import Span
from tools.formats.encoding import Encoding
from tools.formats.filing import atomic_text, told
from tools.formats.format import Format, ReadOptions, WriteOptions
from tools.formats.holds import Holds
from tools.formats.items import Annotated, Layer, Mention
from tools.formats.loss import LossReport
from tools.formats.naming import plain_label
from tools.formats.report import BadRecord, ReadReport
from tools.formats.rows import Fault, numbered_lines
from tools.formats.sources import Source
from tools.formats.tags import SCHEMES, Chunk, Scheme, TagFault, decode, encode, split_tag, tell
from tools.formats.texts import text_rows
from tools.formats.tokens import Range, TokenMap, cut_at, tokenize

_LINE_LIMIT = 64 << 20
_COMMENT = re.compile(r"#\s*([a-z_][a-z_ ]*?)\s*=\s?(.*)", re.DOTALL)
# What a column cannot show; the text comment holds it exactly.
_HIDDEN = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]")
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_JUDGED = 2000  # sentences by which the scheme is told
_REPAIR_HINT = "mend it, repair and count such tags (--repair), or go on without the document: --skip-bad"
_COLUMN_HINT = "a line is a word and a tag, between tabs or blanks; see --word-column and --tag-column"


@dataclass(slots=True)
class _Sentence:
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Raw:
    """A document as its lines have it."""

    line: int
    scheme: Scheme | Literal[""] = ""
    id: str = ""
    text: str | None = None
    annotator: str = ""
    decided: bool = True
    meta: dict[str, Any] = field(default_factory=dict)
    sentences: list[_Sentence] = field(default_factory=list)
    fault: Fault | None = None
    marked: bool = False

    def spoil(self, line: int, reason: str, hint: str) -> None:
        """Keep the first thing that makes it unusable."""
        self.fault = self.fault or Fault(line, reason, hint)


class _Parser:
    """Lines to documents; the scheme may be named by a comment on the way."""

    def __init__(self, options: ReadOptions) -> None:
        self.options = options
        self.scheme: Scheme | Literal[""] = options.scheme
        self._marks = False  # whether the file says where documents begin; else a sentence is one
        self._columns = 0
        self._tabs = False
        self._raw: _Raw | None = None
        self._sentence = _Sentence()

    def feed(self, number: int, line: str) -> Iterator[_Raw]:
        """Take a line; gives the documents that it ends."""
        line = line.removesuffix("\n").removesuffix("\r")
        if not line.strip():
            yield from self._end_sentence()
            return
        if line.startswith("#") and not self._sentence.words and (found := self._comment(line)):
            yield from self._said(number, *found)
            return
        if line.startswith("-DOCSTART-"):
            yield from self._begin(number, marked=True)
            return
        self._token(number, line)

    def end(self) -> Iterator[_Raw]:
        """The file is over."""
        yield from self._end_sentence()
        if self._raw is not None:
            yield self._raw
        self._raw = None

    def _comment(self, line: str) -> tuple[str, str] | None:
        if matched := _COMMENT.match(line):
            return matched[1], matched[2]
        columns = line.split("\t") if "\t" in line else line.split()
        tagged = len(columns) > 1 and (self._columns or len(columns)) == len(columns) and split_tag(columns[-1])
        return None if tagged else ("", line)

    def _said(self, number: int, key: str, value: str) -> Iterator[_Raw]:
        if key in ("id", "newdoc id"):
            yield from self._begin(number, marked=True)
            assert self._raw is not None
            self._raw.id = str(_value(value))
            return
        if key == "scheme" and value.strip().lower() in SCHEMES and not self.options.scheme:
            self.scheme = next(name for name in SCHEMES if name == value.strip().lower())
        raw = self._raw
        if raw is None or not raw.marked or raw.sentences:
            return
        said = _value(value)
        if key == "text" and value[:1] == '"' and said != value.strip():
            raw.text = said  # in other files a text that begins with a quote may stand there as it is
        elif key == "annotator":
            raw.annotator = str(said)
        elif key == "decided":
            raw.decided = value.strip() != "no"
        elif key == "meta" and isinstance(said, dict):
            raw.meta = said

    def _begin(self, number: int, *, marked: bool) -> Iterator[_Raw]:
        yield from self._end_sentence()
        # What stands before the first mark is of no document where it is a heading without tokens.
        if self._raw is not None and (self._raw.sentences or self._raw.fault or self._raw.id):
            yield self._raw
        self._marks = self._marks or marked
        self._raw = _Raw(number, self.scheme, marked=marked)

    def _end_sentence(self) -> Iterator[_Raw]:
        if self._raw is None or not (self._sentence.words or self._raw.fault):
            return
        if self._sentence.words:
            self._raw.sentences.append(self._sentence)
            self._sentence = _Sentence()
        if not self._marks:
            yield self._raw
            self._raw = None

    def _token(self, number: int, line: str) -> None:
        if self._raw is None:
            self._raw = _Raw(number, self.scheme)
        tabs = "\t" in line
        columns = line.split("\t") if tabs else line.split()
        if not self._columns:
            self._columns, self._tabs = len(columns), tabs
        if line[0] in "{[" and _is_json(line):
            self._raw.spoil(number, "this is JSON, not columns", "name the file for what it is, or see --format")
        elif len(columns) < 2:
            self._raw.spoil(number, "one column, where a word and a tag are needed", _COLUMN_HINT)
        elif tabs != self._tabs:
            kinds = ("tabs", "blanks") if tabs else ("blanks", "tabs")
            self._raw.spoil(number, f"{kinds[0]} between the columns, {kinds[1]} before", "use one of them throughout")
        elif len(columns) != self._columns:
            self._raw.spoil(number, f"{len(columns)} columns, {self._columns} before", _COLUMN_HINT)
        else:
            try:
                word, tag = columns[self.options.word_column], columns[self.options.tag_column]
            except IndexError:
                self._raw.spoil(number, f"only {len(columns)} columns", "see --word-column and --tag-column")
                return
            if not word.strip():
                self._raw.spoil(number, "an empty word", _COLUMN_HINT)
                return
            self._sentence.words.append(word)
            self._sentence.tags.append(tag)
            self._sentence.lines.append(number)


def read(source: Source, options: ReadOptions, report: ReadReport) -> Iterator[Annotated | Fault]:
    """Read documents: from one mark (``# id =`` or -DOCSTART-) to the next, or a sentence each."""
    parser = _Parser(options)

    def parse(stream: io.BufferedReader, encoding: Encoding) -> Iterator[_Raw | Fault]:
        for number, line in numbered_lines(stream, encoding, limit=_LINE_LIMIT):
            if isinstance(line, Fault):
                yield line
            else:
                yield from parser.feed(number, line)
        yield from parser.end()

    waiting: list[_Raw] = []
    judged = 0
    for raw in text_rows(source, report, parse):
        if isinstance(raw, Fault):
            yield raw
            continue
        waiting.append(raw)
        judged += len(raw.sentences)
        if parser.scheme or judged >= _JUDGED:
            parser.scheme = parser.scheme or _told(waiting, source, report)
            yield from (_document(one, parser.scheme, source, options, report) for one in waiting)
            waiting = []
    scheme = parser.scheme or _told(waiting, source, report)
    yield from (_document(one, scheme, source, options, report) for one in waiting)


def _told(raws: Sequence[_Raw], source: Source, report: ReadReport) -> Scheme:
    scheme = tell(sentence.tags for raw in raws for sentence in raw.sentences)
    if scheme == "iob1":
        report.warn(f"{source.name}: every mention begins with I-, so it is read as IOB1; see --scheme")
    return scheme or "bio"


def _document(raw: _Raw, scheme: Scheme, source: Source, options: ReadOptions, report: ReadReport) -> Annotated | Fault:
    if raw.fault:
        return raw.fault
    name = raw.id or f"{source.stem}:{raw.line}"
    chunks: list[list[Chunk]] = []
    for sentence in raw.sentences:
        # What was said before it began counts: a file may be two that were joined.
        found = list(decode(sentence.tags, raw.scheme or scheme))
        chunks.append([part for part in found if isinstance(part, Chunk)])
        for fault in (part for part in found if isinstance(part, TagFault)):
            line = sentence.lines[fault.at]
            if not options.repair:
                return Fault(line, fault.reason, _REPAIR_HINT)
            report.repair(fault.kind, BadRecord(source.name, line, fault.reason))
    placed = _joined(raw) if raw.text is None else _aligned(raw, raw.text)
    if isinstance(placed, Fault):
        return placed
    text, places = placed
    mentions = [
        Mention(Span(ranges[chunk.first][0], ranges[chunk.last][1], chunk.label))
        for ranges, part in zip(places, chunks, strict=True)
        for chunk in part
    ]
    document = Document(name, text, raw.meta)
    return Annotated(document, (Layer(tuple(mentions), raw.annotator),) if raw.decided else ())


def _joined(raw: _Raw) -> tuple[str, list[list[Range]]]:
    """The text that tokens make: a blank between words, a line break between sentences."""
    places: list[list[Range]] = []
    at = 0
    for sentence in raw.sentences:
        ranges = []
        for word in sentence.words:
            ranges.append((at, at + len(word)))
            at += len(word) + 1
        places.append(ranges)
    return "\n".join(" ".join(sentence.words) for sentence in raw.sentences), places


def _aligned(raw: _Raw, text: str) -> tuple[str, list[list[Range]]] | Fault:
    """The text as its comment has it, and where in it the words are."""
    shown = _HIDDEN.sub("\ufffd", text)
    places: list[list[Range]] = []
    at = 0
    for sentence in raw.sentences:
        ranges = []
        for word, line in zip(sentence.words, sentence.lines, strict=True):
            begin = shown.find(word, at)
            if begin < 0 or not (begin == at or text[at:begin].isspace()):
                return Fault(line, f"{word!r} is not the next word of the text in '# text ='", "mend one of the two")
            at = begin + len(word)
            ranges.append((begin, at))
        places.append(ranges)
    return text, places


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), (dict, list))
    except (ValueError, RecursionError):
        return False


def _value(written: str) -> Any:
    """The value of a comment: JSON where it is a text in quotes or an object, else as it stands."""
    if written[:1] in ('"', "{"):
        try:
            return json.loads(written)
        except (ValueError, RecursionError):
            pass
    return written.strip()


def _written(value: str) -> str:
    """A value for a comment, in JSON where it would not come back as it stands."""
    plain = value and value.isprintable() and value == value.strip() and value[0] not in '"{'
    return value if plain else json.dumps(value)


def write(path: Path, items: Iterable[Annotated], options: WriteOptions, losses: LossReport) -> int:
    """Write documents with their exact text in a comment, so that offsets come back."""
    count = 0
    with atomic_text(path, losses.settle) as out:
        with told(path):
            out.write(f"# scheme = {options.scheme.upper()}\n\n".encode())
        for item in items:
            data = "\n".join(_lines_of(item, options, losses)).encode() + b"\n"
            with told(path):
                out.write(data)
            count += 1
    return count


def _lines_of(item: Annotated, options: WriteOptions, losses: LossReport) -> Iterator[str]:
    document = item.document
    layer = item.layers[0] if item.layers else None
    yield f"# id = {_written(document.id)}"
    if layer is None:
        yield "# decided = no"
    elif layer.annotator:
        yield f"# annotator = {_written(layer.annotator)}"
    if document.meta:
        yield f"# meta = {json.dumps(dict(document.meta))}"
    text = json.dumps(document.text, ensure_ascii=bool(_ESCAPED.search(document.text)))
    yield f"# text = {text}"
    spans = layer.spans if layer else ()
    tokens = tokenize(document.text)
    if options.split_tokens:
        tokens = cut_at(tokens, spans)
    places = TokenMap(tokens)
    chunks = []
    for span in spans:
        found = places.find(span)
        if found is None:
            losses.add("tokens", document.id, span)
        else:
            chunks.append(Chunk(*found, plain_label(span, document.id, losses)))
    shown = _HIDDEN.sub("\ufffd", document.text)
    at = 0
    for first, last in _sentences(document.text, tokens, chunks):
        begin = at
        while at < len(chunks) and chunks[at].first < last:
            at += 1
        inside = [Chunk(c.first - first, c.last - first, c.label) for c in chunks[begin:at]]
        tags = encode(last - first, inside, options.scheme)
        yield from (f"{shown[start:end]}\t{tag}" for (start, end), tag in zip(tokens[first:last], tags, strict=True))
        yield ""
    if not tokens:
        yield ""


def _sentences(text: str, tokens: Sequence[Range], chunks: Sequence[Chunk]) -> Iterator[Range]:
    """Ranges of tokens that are sentences; a mention across a border makes one of two."""
    uncut = {number for chunk in chunks for number in range(chunk.first + 1, chunk.last + 1)}
    first = at = 0
    for _, end in sentence_spans(text):
        while at < len(tokens) and tokens[at][0] < end:
            at += 1
        if at > first and at not in uncut:
            yield first, at
            first = at
    if first < len(tokens):
        yield first, len(tokens)


FORMAT = Format(
    name="conll",
    title="CoNLL columns",
    endings=(".conll", ".iob", ".bio", ".iob2", ".bioes"),
    holds=Holds(nested=False, overlapping=False, same_span=False, any_offsets=False, meta=True),
    reader=read,
    writer=write,
    packed=True,
    notes=(
        "Word and tag between tabs, BIO by default (`--scheme bioes` or `iob1`). Tokens: a run of letters, digits and "
        "`_` with its combining marks, a single character of a script written without spaces, or any other single "
        "character; white space is in no token. A mention whose border is inside a token is a loss, unless "
        "`--split-tokens` cuts the token there. `# text =` holds the exact text as a JSON string, from which offsets "
        "come back; files without it get a blank between words and a line break between sentences. Documents begin "
        "at `# id =` or `-DOCSTART-`; in files with neither, each sentence is one. The scheme is told by the tags "
        "(`# scheme =`, else by the first 2,000 sentences). Invalid tags are errors with their line; `--repair` reads "
        "them as conlleval does, and counts them. Control characters show as U+FFFD in the word column only."
    ),
)
