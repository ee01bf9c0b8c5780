"""What a person should label next: strategies with one signature, reasons, and a random audit stream.

``select(strategy, pool, budget, rng, *, options=None, state=None, report=None) -> Selection`` is all that most callers
need; ``Pool.of(ids, *, texts, embeddings, labelled, excluded, signals, seconds)`` makes what it chooses from.

Strategies that look at what models said (``uncertainty``, ``allabel``) read it from ``Pool.signals``: measure to one
float64 number an item, in the order of ``ids``, higher for less certain, NaN where nothing is known of an item. The
measures are ``perplexity``, ``margin``, ``votes`` and ``verifier`` (disagreement of verifier and members); with
``expected_errors`` and ``suggestions`` beside them, which cost-aware choices and reasons use. Any subset will do;
``SelectionOptions(measure=...)`` says which one decides (``mixed``: mean percentile over those that are there), and
without any signal the least similar to what is labelled count as uncertain, which the selection's notes say. Who has
``PassageResult`` records, from a store or from anywhere else, gets all of it with
``signals_for(ids, [(id, [PassageResult, ...]), ...]) -> dict[str, array]``; one item's by ``signal_of(results)``.
"""

from tools.selection.choose import STRATEGIES, select
from tools.selection.corpus import Corpus, corpus_of
from tools.selection.cost import Timing, TimingModel
from tools.selection.embeddings import EmbeddingCache
from tools.selection.items import Item, items_of
from tools.selection.protocol import Pick, Pool, Reason, Selection, SelectionError, SelectionOptions
from tools.selection.signals import Signal, signal_of, signals_for
from tools.selection.state import SelectionState

__all__ = [
    "STRATEGIES",
    "Corpus",
    "EmbeddingCache",
    "Item",
    "Pick",
    "Pool",
    "Reason",
    "Selection",
    "SelectionError",
    "SelectionOptions",
    "SelectionState",
    "Signal",
    "Timing",
    "TimingModel",
    "corpus_of",
    "items_of",
    "select",
    "signal_of",
    "signals_for",
]
