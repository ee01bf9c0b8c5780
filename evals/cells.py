"""What a cell takes from its pass: decisions and figures, and the requests it would have sent."""

from __future__ import annotations

from collections.abc import Sequence

from agent.config import ProjectConfig
from agent.extraction.asking import GONE
from agent.extraction.quorum import Quorum
from evals import figures
from evals.passes import Passed
from evals.plan import PlannedCell, PlannedPass
from evals.readings import Reader
from evals.records import CellDocument, OracleDocument, StepRow
from tools.metrics import TrainingMentions


def read_cell(
    planned: PlannedCell, one: PlannedPass, quorum: Quorum, passed: Passed
) -> tuple[dict[str, float], Sequence[CellDocument | OracleDocument]]:
    """A cell's figures and its documents.

    Args:
        planned: The cell.
        one: Its pass.
        quorum: The quorum of the pass.
        passed: What the pass came to.
    """
    cell = planned.cell
    members = [member.name for member in quorum.members]
    if cell.kind == "end_to_end":
        reader = Reader(cell, quorum)
        documents = [reader.read(document) for document in passed.documents]
        texts = {document.gold.id: document.gold.document.text for document in passed.documents}
        seen = _pool_mentions(one) if "seen" in one.scorers and one.data.pool else None
        found = figures.cell_figures(documents, one.scorers, one.data.labels, cell.seed, texts, seen)
        return {**found, **figures.grounding_rate(passed.documents)}, documents
    if cell.kind == "oracle_extract":
        asked = [figures.extraction_items(document) for document in passed.documents]
        return figures.extraction_figures(asked, members), asked
    step = cell.kind.removeprefix("oracle_")
    asked = [d for document in passed.documents for d in document.oracle.get(step, ())]
    if step == "classify":
        return figures.typing_figures(asked, members), asked
    return figures.verification_figures(asked), asked


def _pool_mentions(one: PlannedPass) -> TrainingMentions:
    """All mentions that demonstrations may show."""
    return TrainingMentions(
        (d.document.text[span.start : span.end], span.label) for d in one.data.pool for span in d.spans
    )


def steps_of(planned: PlannedCell, passed: Passed) -> list[StepRow]:
    """The requests that a cell's own choice of steps would have sent."""
    cell = planned.cell
    rows = [row for document in passed.documents for own in document.steps for row in own]
    if cell.kind == "end_to_end":
        mode = cell.config.steps.verify
        if mode == "off":
            return [row for row in rows if row.step != "verify" and not row.step.startswith("oracle_")]
        if mode == "on":
            return [row for row in rows if not row.step.startswith("oracle_")]
        low, high = cell.config.steps.verify_band
        close = {
            (document.gold.id, work.passage.start + c.span.start, work.passage.start + c.span.end)
            for document in passed.documents
            for work in document.done
            for c in work.candidates
            if c.span.label and low <= c.probability <= high
        }
        return [
            row
            for document in passed.documents
            for own in document.steps
            for row in own
            if not row.step.startswith("oracle_")
            and (row.step != "verify" or (row.about and (document.gold.id, row.about[0], row.about[1]) in close))
        ]
    if cell.kind == "oracle_extract":
        return [row for row in rows if row.step in ("pre_extract", "extract")]
    return [row for row in rows if row.step == cell.kind]


def engine_failures(passed: Passed) -> list[str]:
    """Requests that failed because of an engine, not because of what they asked."""
    gone = tuple(f"{kind}:" for kind in GONE)
    return [
        f"{row.step}/{row.member}: {row.failure}"
        for document in passed.documents
        for rows in document.steps
        for row in rows
        if row.failure.startswith(gone)
    ]


def all_models_of(passes: Sequence[PlannedPass]) -> ProjectConfig:
    """A configuration that names every model any of the passes asks."""
    members = {member.model: member for one in passes for member in one.config.members}
    first = passes[0].config
    models = {name: model for one in passes for name, model in one.config.models.items()}
    renamed = tuple(member.model_copy(update={"name": f"m{n}"}) for n, member in enumerate(members.values()))
    return first.model_copy(update={"members": renamed, "models": models})
