"""Rendering: from labels, demonstrations and a passage to what the model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from prompts.errors import PromptError
from prompts.loader import Prompt, Template, _compile

WINDOW = 40


@dataclass(frozen=True, slots=True)
class LabelView:
    """What a template may say of a label."""

    code: str
    words: str
    description: str = ""
    examples: tuple[str, ...] = ()
    counter_examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EntityView:
    """A mention in a demonstration: its label's code and its text as shown."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class DemonstrationView:
    """A gold text and its mentions, in the order they stand in the text."""

    text: str
    entities: tuple[EntityView, ...]


@dataclass(frozen=True, slots=True)
class CandidateView:
    """A candidate in its nearest words; ``code`` only where a type is asked about."""

    mention: str
    before: str
    after: str
    code: str = ""


def window(text: str, start: int, end: int, width: int = WINDOW) -> tuple[str, str]:
    """The words around a mention, at most ``width`` code points on each side.

    Args:
        text: The passage as shown.
        start: Offset of the mention's first code point.
        end: Offset after its last.
        width: The most code points on a side; words are not cut.

    Returns:
        What stands before and after it.
    """
    before, after = text[max(0, start - width) : start], text[end : end + width]
    if start > width and " " in before:
        before = before[before.index(" ") + 1 :]
    if end + width < len(text) and " " in after:
        after = after[: after.rindex(" ")]
    return before, after


def render(
    template: Template,
    labels: tuple[LabelView, ...],
    passage: str,
    *,
    demonstrations: Sequence[DemonstrationView] = (),
    context: str = "",
    candidate: CandidateView | None = None,
    extra: Path | None = None,
) -> Prompt:
    """Render a template.

    Values are data: braces, template syntax or instructions inside them are
    printed as they are.

    Args:
        template: The template.
        labels: The label set, in the order it is shown.
        passage: The passage as a model may see it (``Passage.shown``).
        demonstrations: Gold texts, the most similar last.
        context: Left context as shown, or empty.
        candidate: For classify and verify, the mention asked about.
        extra: The project's own folder of templates.

    Raises:
        PromptError: The template wants a variable that the step does not have.
    """
    compiled = _compile(template, extra)
    values: dict[str, Any] = {"demonstrations": demonstrations, "context": context, "passage": passage}
    if candidate is not None:
        values |= {
            "mention": candidate.mention,
            "before": candidate.before,
            "after": candidate.after,
            "code": candidate.code,
        }
    try:
        user = "".join(compiled.blocks["user"](compiled.new_context({**values, "labels": labels})))
        return Prompt(_system(template, labels, extra), user.strip())
    except RecursionError as error:
        raise PromptError(f"{template.path}: includes itself without end", "break the circle of includes") from error
    except (jinja2.TemplateError, TypeError, ValueError) as error:
        raise PromptError(
            f"{template.path}: {error}", f"a {template.step} prompt may use {', '.join(values)} and labels"
        ) from error


@lru_cache(maxsize=256)
def _system(template: Template, labels: tuple[LabelView, ...], extra: Path | None) -> str:
    compiled = _compile(template, extra)
    return "".join(compiled.blocks["system"](compiled.new_context({"labels": labels}))).strip()
