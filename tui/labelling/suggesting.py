"""What others propose for a document: the models' results in the store, and other people's gold."""

from __future__ import annotations

from tools.annotation import Span
from tools.store import Store
from tui.labelling.editor import Suggestion


def suggestions_for(
    store: Store, document_id: str, annotator: str, *, others: bool = True, models: bool = True
) -> tuple[Suggestion, ...]:
    """Everything proposed for a document, in text order, each span once.

    Args:
        store: The project's store.
        document_id: The document.
        annotator: Who is asked; their own decision is no proposal.
        others: Whether finished decisions of other people count as proposals.
        models: Whether the models' results do.

    Raises:
        InputError: The document is unknown.
    """
    found: dict[Span, Suggestion] = {}
    run = store.run_of(document_id) if models else None
    if run is not None:
        for result in store.passage_results(run, document_id):
            for low, entities in ((False, result.entities), (True, result.rejected)):
                for entity in entities:
                    if not entity.span.label:
                        continue
                    one = Suggestion(entity.span, entity.confidence, f"run {run}", entity, result.demonstrations, low)
                    old = found.get(entity.span)
                    if old is None or (old.low, -old.confidence) > (one.low, -one.confidence):
                        found[entity.span] = one
    if others:
        gold = store.gold(document_id)
        if gold is not None and gold.annotator != annotator and gold.state.value == "done":
            found.update((span, Suggestion(span, 1.0, gold.annotator)) for span in gold.spans)
    return tuple(sorted(found.values(), key=lambda s: (s.span.start, -s.span.end, s.span.label)))
