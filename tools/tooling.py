"""What all tools share: a function made a tool, texts that any JSON reader takes, spans by offsets or by text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from langchain_core.tools import StructuredTool, ToolException
from pydantic import BaseModel, ValidationError

from tools.annotation import LabelSet, Span, model_text
from tools.annotation.grounding import locate
from tools.errors import InputError, QuorumError
from tools.toolargs import SpanArg

Json = dict[str, Any]


def tool(function: Callable[..., Json], schema: type[BaseModel]) -> StructuredTool:
    """A tool of the schema's title and docstring that tells what went wrong in one line."""

    def told(**arguments: Any) -> Json:
        try:
            return function(schema.model_validate(arguments))
        except QuorumError as error:
            raise ToolException(_line(str(error))) from error

    return StructuredTool.from_function(
        told,
        name=str(schema.model_config["title"]),
        description=" ".join((schema.__doc__ or "").split()),
        args_schema=schema,
        handle_tool_error=True,
        handle_validation_error=_invalid,
    )


def _invalid(error: Any) -> str:
    if not isinstance(error, ValidationError):
        return _line(f"bad arguments: {error}")
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "arguments"
    more = f" and {error.error_count() - 1} more" if error.error_count() > 1 else ""
    return _line(f"bad arguments: {where}: {first['msg']}{more} (see the tool's schema)")


def _line(text: str) -> str:
    return readable(" ".join(text.split()))


def readable(text: str) -> str:
    """A text that any JSON reader takes: lone surrogates replaced, one for one, so that offsets hold."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def span_json(text: str, span: Span) -> Json:
    """A span of a text as tools give it: offsets, text, and its label where it has one."""
    found: Json = {"start": span.start, "end": span.end, "text": readable(span.text_in(text))}
    return found | {"label": span.label} if span.label else found


def spans_of(text: str, given: Iterable[SpanArg], labels: LabelSet | None = None) -> list[Span]:
    """Spans from offsets, or from mention texts: every occurrence of each.

    Args:
        text: What they stand in.
        given: Offsets, or mentions.
        labels: What labels are held to; aliases are taken. None takes any.

    Raises:
        InputError: A span lies outside the text, says another text than stands
            there, is nowhere to be found, or has an unknown label.
    """
    found: dict[Span, None] = {}
    shown = model_text(text)
    for number, item in enumerate(given, 1):
        label = item.label if labels is None else labels.resolve(item.label)
        if label is None:
            assert labels is not None
            raise InputError(f"span {number}: unknown label {item.label!r}", f"one of {', '.join(labels.names)}")
        if item.start is None or item.end is None:
            places, _ = locate(shown, model_text(item.text))
            if not places:
                raise InputError(f"span {number}: {item.text!r} stands nowhere in the text", "copy it exactly")
            found.update(dict.fromkeys(place.with_label(label) for place in places))
            continue
        if not item.start < item.end <= len(text):
            raise InputError(
                f"span {number}: {item.start}:{item.end} is no place in a text of {len(text)} characters",
                "offsets count code points, the end is exclusive; or give the mention's text alone",
            )
        there = text[item.start : item.end]
        if item.text and item.text not in (there, readable(there)):
            raise InputError(
                f"span {number}: {item.start}:{item.end} is {readable(there)!r}, not {item.text!r}",
                "leave start and end out; the text alone finds every occurrence",
            )
        found[Span(item.start, item.end, label)] = None
    return sorted(found)
