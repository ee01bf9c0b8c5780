"""Why an item was picked, in a few plain words with the figure that decided.

Distances are 1 minus the cosine: 0 for the same, about 1 for nothing in common. BM25 has no such scale; there the
score itself is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tools.selection.distances import Similarity


def apart(similarity: Similarity, best: float) -> str:
    """How far an item is from everything labelled or picked.

    Args:
        similarity: What tells how alike items are.
        best: Its highest similarity with any of them, whole number; minus infinity where there is nothing.
    """
    if not math.isfinite(best):
        return "nothing is labelled yet"
    if similarity.name == "bm25":
        return f"shares few words with anything labelled so far (BM25 {best / similarity.unit:.1f})"
    return f"far from everything labelled so far ({1 - best / similarity.unit:.2f})"


def odd(similarity: Similarity, mean: float) -> str:
    """The first of a diverse batch: how far it is from all others on average (whole number)."""
    if similarity.name == "bm25":
        return f"shares fewer words with the other documents than any (BM25 {mean / similarity.unit:.1f} on average)"
    return f"farthest from all the others on average ({1 - mean / similarity.unit:.2f})"


def typical(reading: str, value: float) -> str:
    """How near an item is to the rest of the pool, by one of the readings of ``sum_rank``."""
    if reading == "ranks":
        return f"typical of what is unlabelled (nearer to it than {value:.0%} of the others)"
    if reading == "reciprocal":
        return f"typical of what is unlabelled (mean of 1 / rank {value:.2g})"
    return f"typical of what is unlabelled ({value:.2f} alike on average)"


def unsure(measure: str, value: float, facts: Mapping[str, float]) -> str:
    """What the models were unsure of.

    Args:
        measure: What decided.
        value: Its value.
        facts: All that is known of the item: the measures, how many spans were voted on and how many disputed.
    """
    said = {
        "votes": _disputed(facts) or f"members disagree ({value:.0%} of the most they could)",
        "perplexity": f"members hesitate between {value:.1f} types where 1 is sure",
        "margin": f"members give their types {_odds(value)} to 1",
        "verifier": f"the verifier contradicts the members ({value:.0%} apart)",
    }
    if measure != "mixed":
        return said.get(measure, f"the models are unsure ({value:.2g})")
    parts = [_disputed(facts)]
    if facts.get("perplexity", 1.0) >= 1.05:
        parts.append(f"they hesitate between {facts['perplexity']:.1f} types where 1 is sure")
    if facts.get("verifier", 0.0) >= 0.1:
        parts.append(f"the verifier is {facts['verifier']:.0%} apart from them")
    told = ", ".join(part for part in parts if part)
    return f"{told or 'the models are unsure'} (less sure than {value:.0%} of the pool)"


def covers(votes: float) -> str:
    """Vote-k's score."""
    return f"stands for {votes:.3g} similar documents that nothing labelled covers"


def brings(gain: float) -> str:
    """Facility location's gain, in similarities."""
    return f"brings the most documents nearer to something labelled ({gain:.3g} in all)"


def _disputed(facts: Mapping[str, float]) -> str:
    spans = int(facts.get("candidates", 0))
    return f"members disagree on {int(facts.get('disputed', 0))} of {spans} spans" if spans else ""


def _odds(margin: float) -> str:
    return f"{math.exp(-margin):.2g}"
