"""Documents, passages, spans and label sets: the words everything else uses."""

from tools.annotation.document import Document, Passage, text_hash
from tools.annotation.labels import NONE_CODE, Label, LabelSet
from tools.annotation.modeltext import model_text
from tools.annotation.span import Span

__all__ = ["NONE_CODE", "Document", "Label", "LabelSet", "Passage", "Span", "model_text", "text_hash"]
