"""Builds the JSON Lines of the sample sets from their marked-up sources.

A source marks a mention as ``[Oslo|location]``; marks nest, and a backslash
makes ``[``, ``]``, ``|`` and itself literal. In sentence files a line that
starts with ``# `` is a comment, and ``# lang: de`` names the language of the
lines after it. Run ``python examples/build.py`` (``--check`` writes nothing).
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
import unicodedata
from pathlib import Path
from typing import TypedDict

HERE = Path(__file__).resolve().parent
SPLITS = {"demonstrations": "demo", "test": "test"}


class Entity(TypedDict):
    """A mention: half-open code-point offsets and the name of its type."""

    start: int
    end: int
    label: str


class Record(TypedDict):
    """A sentence or document with its mentions, as one line of JSON Lines."""

    id: str
    text: str
    entities: list[Entity]
    meta: dict[str, str]


def parse(marked: str) -> tuple[str, list[Entity]]:
    """Splits marked text into the plain text and its mentions, outermost first.

    Raises:
        ValueError: A mark is not closed, not opened, or has no type.
    """
    out: list[str] = []
    opened: list[int] = []
    entities: list[Entity] = []
    at = 0
    while at < len(marked):
        char = marked[at]
        if char == "\\":
            at += 1
            out.append(marked[at])
        elif char == "[":
            opened.append(len(out))
        elif char == "|" and opened:
            close = marked.index("]", at)
            entities.append({"start": opened.pop(), "end": len(out), "label": marked[at + 1 : close]})
            at = close
        elif char == "]":
            raise ValueError(f"unexpected ']' at {at}: {marked!r}")
        else:
            out.append(char)
        at += 1
    if opened:
        raise ValueError(f"a mark is not closed: {marked!r}")
    return "".join(out), sorted(entities, key=lambda x: (x["start"], -x["end"], x["label"]))


def record(ident: str, marked: str, lang: str, domain: str, labels: set[str]) -> Record:
    """Parses one marked text and checks its mentions.

    Raises:
        ValueError: A type is unknown, a mention is empty, padded, doubled, or cuts a character from its marks.
    """
    text, entities = parse(marked)
    for number, entity in enumerate(entities):
        mention, after = text[entity["start"] : entity["end"]], text[entity["end"] : entity["end"] + 1]
        if entity["label"] not in labels:
            raise ValueError(f"{ident}: unknown type {entity['label']!r}")
        if not mention or mention != mention.strip() or entity in entities[:number]:
            raise ValueError(f"{ident}: bad mention {mention!r}")
        if unicodedata.category(mention[0])[0] == "M" or (after and unicodedata.category(after)[0] == "M"):
            raise ValueError(f"{ident}: {mention!r} splits a character from its combining mark")
    return {"id": ident, "text": text, "entities": entities, "meta": {"lang": lang, "domain": domain}}


def sentences(source: Path, prefix: str, domain: str, labels: set[str]) -> list[Record]:
    """Reads a file of one marked sentence a line."""
    records: list[Record] = []
    lang = "en"
    for line in source.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            lang = line.removeprefix("# lang:").strip() if line.startswith("# lang:") else lang
        elif line.strip():
            records.append(record(f"{prefix}-{len(records) + 1:03d}", line.strip(), lang, domain, labels))
    return records


def build(folder: Path) -> dict[str, list[Record]]:
    """Builds all files of one set: file name without suffix to its records.

    Raises:
        ValueError: A text occurs twice, or a record is not sound.
    """
    name = folder.name
    tables = tomllib.loads((folder / "labels.toml").read_text(encoding="utf-8"))["labels"]
    labels = {table["name"] for table in tables}
    built = {
        split: sentences(folder / "source" / f"{split}.txt", f"{name}-{short}", name, labels)
        for split, short in SPLITS.items()
    }
    documents = sorted((folder / "source" / "long").glob("*.txt"))
    if documents:
        texts = {path.stem: path.read_text(encoding="utf-8").strip() for path in documents}
        built["long_documents"] = [record(f"{name}-long-{x}", text, "en", name, labels) for x, text in texts.items()]
    plain = [item["text"] for records in built.values() for item in records]
    doubled = {text for text in plain if plain.count(text) > 1}
    if doubled:
        raise ValueError(f"{name}: texts that occur twice: {sorted(doubled)}")
    return built


def write(folder: Path, built: dict[str, list[Record]]) -> None:
    """Writes the JSON Lines of a set, and its long documents as plain text too."""
    for name, records in built.items():
        lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in records)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    for item in built.get("long_documents", []):
        target = folder / "long_documents" / f"{item['id'].split('-long-', 1)[1]}.txt"
        target.parent.mkdir(exist_ok=True)
        target.write_text(item["text"] + "\n", encoding="utf-8")


def summary(name: str, split: str, records: list[Record]) -> str:
    """One row of the table: texts, words, mentions, mentions inside another, texts without any."""
    nested = sum(
        any(other is not x and other["start"] <= x["start"] and x["end"] <= other["end"] for other in item["entities"])
        for item in records
        for x in item["entities"]
    )
    words = sum(len(item["text"].split()) for item in records)
    mentions = sum(len(item["entities"]) for item in records)
    empty = sum(not item["entities"] for item in records)
    return f"{name:12} {split:15} {len(records):5} {words:6} {mentions:9} {nested:7} {empty:6}"


def main() -> int:
    """Builds every set beside this script, and prints what is in it."""
    parser = argparse.ArgumentParser(description="Build the sample sets from their marked-up sources.")
    parser.add_argument("--check", action="store_true", help="check the sources and write nothing")
    check = parser.parse_args().check
    print(f"{'set':12} {'file':15} {'texts':>5} {'words':>6} {'mentions':>9} {'nested':>7} {'empty':>6}")
    for labels in sorted(HERE.glob("*/labels.toml")):
        built = build(labels.parent)
        if not check:
            write(labels.parent, built)
        for split, records in built.items():
            print(summary(labels.parent.name, split, records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
