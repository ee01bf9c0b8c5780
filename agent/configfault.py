"""What pydantic found wrong with a configuration, in a person's words."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        location: Keys and indices that lead to it.
        message: What is wrong, without the file's name.
        hint: What to write instead.
    """

    location: tuple[str | int, ...]
    message: str
    hint: str


def first_fault(error: ValidationError, model: type[BaseModel]) -> Fault:
    """The first fault of a validation error; the hint counts the others.

    Args:
        error: What pydantic raised.
        model: The model that was validated, to name what is allowed.
    """
    faults = error.errors(include_url=False)
    # Unknown keys first: a misspelt key often causes the faults that follow it.
    first = min(faults, key=lambda fault: fault["type"] != "extra_forbidden")
    location = tuple(part for part in first["loc"] if part != "[key]" and not _one_type(part))
    context: Mapping[str, Any] = first.get("ctx", {})
    name = ".".join(str(part) for part in location)
    if first["type"] == "quorum":
        location = (*location, *context["at"])
        message, hint = str(context["message"]), str(context["hint"])
    elif first["type"] == "extra_forbidden":
        known = _keys_at(model, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1)
        message = f"{name!r} is not a known key"
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    elif first["type"] == "missing":
        message, hint = f"{name!r} is missing", "add it"
    elif location[:1] == ("keys",):
        message = f"{name} = {_shown(first['input'])} is no key"
        hint = 'write a key like "a" or "ctrl+n", a list of them, or a table [keys.on.SCREEN] of such'
    else:
        message = f"{name} = {_shown(first['input'])} is not allowed"
        hint = first["msg"][:1].lower() + first["msg"][1:]
    if len(faults) > 1 and location[:1] != ("keys",):  # there one mistake is told once for each type allowed
        hint += f" ({len(faults) - 1} more fault(s) after this one)"
    return Fault(location, message, hint)


def _one_type(part: str | int) -> bool:
    """Whether it is what pydantic puts into a location for one of the types that a value may have."""
    return part == "str" or str(part).startswith(("list[", "dict["))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _keys_at(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """The keys that may stand in the table at a location."""
    here: Any = model
    for part in location:
        models = models_in(here.model_fields[part].annotation) if part in getattr(here, "model_fields", {}) else [here]
        here = models[0] if models else here
    return list(here.model_fields)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that a field's annotation mentions, in order."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in models_in(inner)]
