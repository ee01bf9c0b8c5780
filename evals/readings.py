"""What one pass tells about many cells: rules of voting, thresholds, verification, read off the same answers.

A reading changes what the deciding node of the graph is given, and then lets
that very node decide. So cells that differ only in the decision cost nothing
beyond the pass, and differ in nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from agent.extraction.confidence import Calibrator, shipped_for
from agent.extraction.context import Context
from agent.extraction.decide import decide
from agent.extraction.quorum import Quorum
from agent.extraction.state import Candidate, Work
from agent.extraction.verify import wants_verdict
from evals.matrix import Cell
from evals.passes import Worked
from evals.records import CellDocument, PredictedRow, SpanRow
from evals.tracing import span_row
from tools.annotation import Passage, Span
from tools.annotation.merging import merge
from tools.annotation.prediction import Entity, OutcomeKind

Charge = tuple[SpanRow, str, str]


class Reader:
    """Reads one cell off a pass.

    Args:
        cell: What is decided, and how.
        quorum: The quorum of the pass.
    """

    def __init__(self, cell: Cell, quorum: Quorum) -> None:
        self._cell = cell
        self._classified = cell.config.steps.classify
        # The fit of what this cell does: the pass may verify more, and has another.
        calibrator = shipped_for(cell.config.steps) if cell.vote == "calibrated" else Calibrator()
        threshold = {"calibrated": cell.config.run.threshold, "union": 0.0}.get(cell.vote, 0.5)
        self._threshold = threshold
        self._calibrator = calibrator
        self._quorum = quorum

    def read(self, document: Worked) -> CellDocument:
        """What the cell decides about a document, and which step its errors are charged to."""
        context = self._context(document)
        works = tuple(self._given(work, context) for work in document.done)
        decided = self._decided(document, works, context)
        charges = tuple(self._charges(document, works, decided, context))
        outcome = max((work.outcome.kind for work in works), key=lambda kind: kind.rank, default=OutcomeKind.OK)
        return CellDocument(
            document.gold.id,
            tuple(span_row(span) for span in document.gold.spans),
            tuple(PredictedRow(e.span.start, e.span.end, e.span.label, round(e.confidence, 6)) for e in decided),
            outcome.value,
            charges,
            document.gold.cluster,
        )

    def _context(self, document: Worked) -> Context:
        context = self._quorum.context(document.passages or (Passage(document.gold.id, 0, 0, ""),))
        run = self._cell.config.run.model_copy(update={"threshold": self._threshold})
        return replace(context, steps=self._cell.config.steps, run=run, calibrator=self._calibrator)

    def _given(self, work: Work, context: Context) -> Work:
        """The work as this cell's steps would have left it."""
        steps = context.steps
        kept = []
        for candidate in work.candidates:
            # The pass may have verified more than this cell does.
            if candidate.verdict is not None and (steps.verify == "off" or not wants_verdict(candidate, context)):
                candidate = replace(candidate, verdict=None)
            if self._cell.vote == "plain":
                candidate = self._plain(candidate)
            # Outside the calibrated rule a no is a no, as in EL4NER (stage 4).
            refused = self._cell.vote != "calibrated" and candidate.verdict is not None and candidate.verdict < 0.5
            if not refused:
                kept.append(candidate if self._cell.vote == "calibrated" else replace(candidate, verdict=None))
        return replace(work, candidates=tuple(kept))

    def _plain(self, candidate: Candidate) -> Candidate:
        """EL4NER's plain vote: a member a voice, and a type needs more than half of them."""
        if not candidate.votes:
            return candidate
        voices: defaultdict[str, int] = defaultdict(int)
        surest: defaultdict[str, float] = defaultdict(float)
        for vote in candidate.votes:
            voices[vote.label] += 1
            surest[vote.label] += vote.probability
        named = [label for label in voices if label]
        if not named:
            return replace(candidate, probability=0.0)
        best = max(named, key=lambda label: (voices[label], surest[label], label))
        share = voices[best] / len(candidate.votes)
        return replace(candidate, span=candidate.span.with_label(best), probability=share if share > 0.5 else 0.0)

    def _decided(self, document: Worked, works: Sequence[Work], context: Context) -> tuple[Entity, ...]:
        if not works:
            return ()
        return merge(document.gold.document, decide(tuple(works), context), document.passages).entities

    # -- which step an error is charged to ----------------------------------------------------------------------

    def _charges(
        self, document: Worked, works: Sequence[Work], decided: Sequence[Entity], context: Context
    ) -> Iterable[Charge]:
        """Errors with the first step that made them irreparable.

        A missed place that nobody proposed is extraction's; one whose vote chose
        another type, or "none", is classification's; one that only the verdict
        turned down is verification's; one that lost to an overlapping entity is
        the decision's. A place that should not be there is charged to the last
        step that could have stopped it: to verification if it was asked, else to
        classification, else (without one) to extraction.
        """
        gold = set(document.gold.spans)
        found = {entity.span for entity in decided}
        candidates: dict[tuple[int, int], list[Candidate]] = defaultdict(list)
        for work in document.done:
            for c in work.candidates:
                place = c.span.shifted(work.passage.start)
                candidates[place.start, place.end].append(c)
        if gold == found:
            return
        missed = gold - found
        unverified = self._unverified(document, context) if missed else set()
        overlapping = self._nested(document, works, context) if missed and context.steps.spans == "flat" else set()
        wrong_type: set[Span] = set()
        for span in sorted(missed):
            same = [other for other in found - gold if (other.start, other.end) == (span.start, span.end)]
            proposed = candidates.get((span.start, span.end), [])
            if same:
                wrong_type.update(same)
                yield span_row(span), "wrong_type", "classify" if self._classified else "extract"
            elif not proposed:
                yield span_row(span), "missed", "extract"
            elif span in overlapping:
                yield span_row(span), "missed", "decide"
            elif span in unverified:
                yield span_row(span), "missed", "verify"
            else:
                yield span_row(span), "missed", "classify" if self._classified else "extract"
        for span in sorted(found - gold - wrong_type):
            asked = any(
                c.verdict is not None and context.steps.verify != "off" and wants_verdict(c, context)
                for c in candidates.get((span.start, span.end), ())
            )
            last = "classify" if self._classified else "extract"
            yield span_row(span), "spurious", "verify" if asked else last

    def _unverified(self, document: Worked, context: Context) -> set[Span]:
        """What would have been decided had nobody asked the verifier."""
        if context.steps.verify == "off":
            return set()
        bare = replace(context, steps=context.steps.model_copy(update={"verify": "off"}))
        works = tuple(self._given(work, bare) for work in document.done)
        return {entity.span for entity in self._decided(document, works, bare)}

    def _nested(self, document: Worked, works: Sequence[Work], context: Context) -> set[Span]:
        """What would have been decided had entities been allowed to overlap."""
        loose = replace(context, steps=context.steps.model_copy(update={"spans": "nested"}))
        return {entity.span for entity in self._decided(document, works, loose)}
