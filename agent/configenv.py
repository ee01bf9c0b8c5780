"""Overrides from the environment, by way of pydantic-settings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, create_model
from pydantic_settings import BaseSettings, EnvSettingsSource
from pydantic_settings.exceptions import SettingsError

from tools.errors import ConfigError

DELIMITER = "__"


class _Source(EnvSettingsSource):
    """The environment source over a mapping that is given, not over the process's own."""

    def __init__(self, settings: type[BaseSettings], prefix: str, variables: Mapping[str, str]) -> None:
        self._given = {name.lower(): value for name, value in variables.items()}
        super().__init__(settings, env_prefix=prefix, env_nested_delimiter=DELIMITER)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._given


def environment_values(model: type[BaseModel], prefix: str, environment: Mapping[str, str] | None) -> dict[str, Any]:
    """What the environment sets, as nested tables, not yet validated.

    Args:
        model: The model whose sections may be set.
        prefix: What the variables begin with.
        environment: The variables; the process's when None.

    Raises:
        ConfigError: A list or table is not JSON.
    """
    ours = _ours(model, prefix, environment)
    if not ours:
        return {}
    fields: dict[str, Any] = {
        name: (field.annotation, field.get_default()) for name, field in model.model_fields.items()
    }
    settings = create_model("EnvironmentSettings", __base__=BaseSettings, **fields)
    try:
        return _Source(settings, prefix, ours)()
    except (SettingsError, ValueError) as error:
        raise ConfigError(f"{', '.join(ours)}: not JSON", "give lists and tables as JSON, e.g. '[0.2, 0.8]'") from error


def variable_of(keys: Iterable[str | int], prefix: str, environment: Mapping[str, str] | None) -> str:
    """The variable that set a key, for messages."""
    names = {name.lower(): name for name in (os.environ if environment is None else environment)}
    parts = [str(key) for key in keys]
    for size in range(len(parts), 0, -1):
        if found := names.get((prefix + DELIMITER.join(parts[:size])).lower()):
            return f"environment variable {found}"
    return f"an environment variable {prefix}*"


def _ours(model: type[BaseModel], prefix: str, environment: Mapping[str, str] | None) -> dict[str, str]:
    """Variables of sections; others that share the prefix (caches, test switches) are left alone."""
    variables = os.environ if environment is None else environment
    found = {}
    for name, value in variables.items():
        section = name.lower().removeprefix(prefix.lower()).split(DELIMITER)[0]
        if name.lower().startswith(prefix.lower()) and section in model.model_fields:
            found[name] = value
    return found
