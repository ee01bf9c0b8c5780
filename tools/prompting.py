"""Labels, demonstrations and candidates as templates see them: one place for inference and training."""

from __future__ import annotations

from collections.abc import Iterable

from prompts import CandidateView, DemonstrationView, EntityView, LabelView, window
from tools.annotation import LabelSet, Span, model_text


def label_views(labels: LabelSet) -> tuple[LabelView, ...]:
    """The label set in its own order, each label with its code."""
    codes = labels.codes
    # A person's label file is text like any other: nothing in it may look like a chat's own tokens.
    return tuple(
        LabelView(
            codes[label.name],
            model_text(label.words),
            model_text(label.description),
            tuple(map(model_text, label.examples)),
            tuple(map(model_text, label.counter_examples)),
        )
        for label in labels
    )


def demonstration_view(text: str, spans: Iterable[Span], labels: LabelSet) -> DemonstrationView:
    """A gold text as a demonstration: mentions of known types in text order, doubles once."""
    shown = model_text(text)
    codes = labels.codes
    pairs = dict.fromkeys((codes[span.label], span.text_in(shown)) for span in sorted(spans) if span.label in codes)
    return DemonstrationView(shown, tuple(EntityView(code, mention) for code, mention in pairs))


def candidate_view(shown: str, span: Span, code: str = "") -> CandidateView:
    """A candidate in its nearest words.

    Args:
        shown: The passage as shown.
        span: The candidate, in passage offsets.
        code: The type asked about, for verification.
    """
    before, after = window(shown, span.start, span.end)
    return CandidateView(span.text_in(shown), before, after, code)
