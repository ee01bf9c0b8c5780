"""What a person should label next: strategies with one signature, reasons, and a random audit stream.

``select`` is all that most callers need; ``Pool.of`` makes what it chooses from.
"""

from tools.selection.choose import STRATEGIES, select
from tools.selection.corpus import Corpus, corpus_of
from tools.selection.cost import Timing, TimingModel
from tools.selection.embeddings import EmbeddingCache
from tools.selection.items import Item, items_of
from tools.selection.protocol import Pick, Pool, Reason, Selection, SelectionError, SelectionOptions
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
    "Timing",
    "TimingModel",
    "corpus_of",
    "items_of",
    "select",
]
