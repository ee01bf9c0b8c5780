"""From the store to the output: every document once, in order, or nothing written at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from agent.runs.ledger import Ledger
from agent.runs.parts import FRESH_HINT
from tools.annotation.document import Document
from tools.annotation.merging import merge
from tools.annotation.prediction import DocumentResult, PassageResult
from tools.errors import OutputError

ENDINGS = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".parquet")


@dataclass(slots=True)
class Tally:
    """What went into the output.

    Attributes:
        documents: Records.
        entities: In all of them.
        grounded: Entities whose text stands at their offsets.
        ungrounded: Texts that models wrote and that stand nowhere; they are in no record's entities.
        outcomes: Documents by outcome.
    """

    documents: int = 0
    entities: int = 0
    grounded: int = 0
    ungrounded: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)

    def add(self, document: Document, result: DocumentResult) -> None:
        """Count a record."""
        self.documents += 1
        self.entities += len(result.entities)
        self.grounded += sum(0 <= e.span.start < e.span.end <= len(document.text) for e in result.entities)
        self.ungrounded += sum(len(passage.ungrounded) for passage in result.passages)
        kind = result.outcome.kind.value
        self.outcomes[kind] = self.outcomes.get(kind, 0) + 1


def refuse_foreign(output: Path, *, ours: bool, fresh: bool) -> None:
    """Refuse an output that cannot be written, or that no run of ours stands behind.

    Args:
        output: The file to be written.
        ours: Whether there is a run for it.
        fresh: Whether to write over it was asked for.

    Raises:
        OutputError: It exists and is not ours, is a folder, its folder does not
            exist, or its ending names no format.
    """
    if output.is_dir():
        raise OutputError(f"{output}: a folder", "name a file, e.g. predictions.jsonl")
    if not output.name.lower().endswith(ENDINGS):
        # Told now, not after hours of work.
        raise OutputError(f"{output}: its ending names no format", f"one of {', '.join(ENDINGS)}")
    if not output.parent.is_dir():
        raise OutputError(f"{output.parent}: no such folder", "make it, or give another --output")
    if output.exists() and not ours and not fresh:
        raise OutputError(f"{output} exists and was not made by a run that can go on here", FRESH_HINT)


def merged(ledger: Ledger) -> Iterator[tuple[Document, DocumentResult]]:
    """The run's documents in order with what was found in them, passages merged."""
    overlap = bool(ledger.run.config.get("config", {}).get("passages", {}).get("overlap_tokens"))
    for document, results in ledger.results():
        yield document, merge(document, whole_only(results) if overlap and len(results) > 1 else results)


def whole_only(results: Sequence[PassageResult]) -> list[PassageResult]:
    """Results of overlapping passages without what a neighbour found more of.

    A passage's edge may cut a mention. The piece is left out when a passage next
    to it has a longer mention of the same type around it that it had not itself,
    and nothing shows that it could see the whole. Mentions nested inside one
    passage stay, and so does what lies within the places a passage had candidates
    at: there it did see the longer one, and did not find it.

    Args:
        results: A document's passages, in order.
    """
    kept = []
    for place, result in enumerate(results):
        beside = (*results[max(0, place - 1) : place], *results[place + 1 : place + 2])
        near = [entity.span for other in beside for entity in other.entities]
        own = {entity.span for entity in result.entities}
        seen = [entity.span for entity in (*result.entities, *result.rejected)]
        first, last = min((s.start for s in seen), default=0), max((s.end for s in seen), default=0)
        entities = tuple(
            entity
            for entity in result.entities
            if not any(
                around.label == entity.span.label
                and len(around) > len(entity.span)
                and around.start <= entity.span.start
                and entity.span.end <= around.end
                and around not in own
                and not (first <= around.start and around.end <= last)
                for around in near
            )
        )
        kept.append(replace(result, entities=entities))
    return kept


def records(ledger: Ledger, tally: Tally, check: Callable[[], object] = lambda: None) -> Iterator[dict[str, Any]]:
    """The output's records, counted as they pass.

    Args:
        ledger: The run.
        tally: Counts.
        check: Called before each; what it raises ends the writing.

    Raises:
        OutputError: A span does not lie in its text: nothing ungrounded is ever written.
    """
    from tools.formats.writing import record_of

    for document, result in merged(ledger):
        check()
        tally.add(document, result)
        for entity in result.entities:
            if entity.span.end > len(document.text):
                raise OutputError(
                    f"document {document.id!r}: a span lies beyond its text", "check the store: quorum fsck"
                )
        yield record_of(document, result)


def write_output(
    ledger: Ledger,
    output: Path | None,
    stream: TextIO | None = None,
    check: Callable[[], object] = lambda: None,
) -> Tally:
    """Write the output from the store.

    Args:
        ledger: A run whose parts are all recorded.
        output: The file, written aside and put in its place when it is whole.
        stream: Where to write JSON Lines when there is no file.
        check: Called before each record; what it raises ends the writing.

    Raises:
        OutputError: It cannot be written; what was there before is untouched.
    """
    from tools.formats.writing import write_records

    tally = Tally()
    if output is not None:
        write_records(output, records(ledger, tally, check))
    elif stream is not None:
        for record in records(ledger, tally, check):
            # Escapes only: a stream's encoding may hold neither surrogates nor anything beyond ASCII.
            stream.write(json.dumps(record, separators=(",", ":")) + "\n")
        stream.flush()
    return tally
