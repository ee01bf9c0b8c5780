"""Keeping one bad passage from taking its part, or the run, with it.

Failures of models are records and never come here. What does come here is an
exception nobody expected: the part is halved until the passage at fault stands
alone, and that one ends as failed; the others are extracted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from agent.runs.extractor import Batch, Extracted, Extractor, merge_usage
from agent.runs.parts import is_blank
from tools.annotation.document import Passage
from tools.annotation.prediction import Outcome, OutcomeKind, PassageResult
from tools.errors import QuorumError

_LOG = logging.getLogger(__name__)
_REASON_LENGTH = 300


class Misanswered(Exception):
    """An extractor gave results that are not those of the passages it was asked about."""


async def extract_part(extractor: Extractor, passages: Sequence[Passage]) -> Extracted:
    """Extract a part, whatever single passages do to the extractor.

    Args:
        extractor: Whoever extracts.
        passages: The part; passages without text are answered here.

    Returns:
        One result a passage, in order; a passage at fault has the outcome
        ``failed`` with the exception as its reason.

    Raises:
        QuorumError: What stops the run (``QuorumLost``, a store that is full, ...).
    """
    asked = [passage for passage in passages if not is_blank(passage)]
    batch = await _isolated(extractor, asked) if asked else Extracted(())
    answers = iter(batch.results)
    results = tuple(
        PassageResult(p.document_id, p.index, Outcome(OutcomeKind.OK, "no text")) if is_blank(p) else next(answers)
        for p in passages
    )
    return Extracted(results, batch.usage, tuple(batch.members_down))


async def _isolated(extractor: Extractor, passages: Sequence[Passage]) -> Batch:
    try:
        return _checked(await extractor.extract(passages), passages)
    except QuorumError:
        raise
    except Exception as error:
        if len(passages) == 1:
            _LOG.warning("passage %r failed", passages[0].id, exc_info=True)
            return Extracted((failed(passages[0], error),))
        _LOG.debug("a batch of %d passages failed and is halved: %r", len(passages), error)
    middle = len(passages) // 2
    first = await _isolated(extractor, passages[:middle])
    second = await _isolated(extractor, passages[middle:])
    down = dict.fromkeys((*first.members_down, *second.members_down))
    return Extracted((*first.results, *second.results), merge_usage([first.usage, second.usage]), tuple(down))


def failed(passage: Passage, error: BaseException) -> PassageResult:
    """The record of a passage that raised."""
    reason = f"{type(error).__name__}: {error}".replace("\n", " ")[:_REASON_LENGTH]
    return PassageResult(passage.document_id, passage.index, Outcome(OutcomeKind.FAILED, reason))


def _checked(batch: Batch, passages: Sequence[Passage]) -> Batch:
    """The batch, after making sure that it answers what was asked and stays inside the passages."""
    if len(batch.results) != len(passages):
        raise Misanswered(f"{len(batch.results)} results for {len(passages)} passages")
    for passage, result in zip(passages, batch.results, strict=True):
        if (result.document_id, result.index) != (passage.document_id, passage.index):
            raise Misanswered(f"a result for {result.document_id}#{result.index} where {passage.id} was asked")
        for entity in (*result.entities, *result.rejected):
            if entity.span.start < passage.start or entity.span.end > passage.end:
                raise Misanswered(f"a span at {entity.span.start}:{entity.span.end} outside its passage")
    return batch
