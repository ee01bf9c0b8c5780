"""The one error tree: what a person did wrong is told in a line and a hint."""

from __future__ import annotations

from prompts.errors import PromptError, QuorumError

__all__ = [
    "ConfigError",
    "DemonstrationIndexError",
    "EngineError",
    "InputError",
    "LabelSetError",
    "ModelError",
    "OutputError",
    "PromptError",
    "QuorumError",
    "QuorumLost",
    "StoreError",
]


class ConfigError(QuorumError):
    """The project file or an option is wrong."""


class LabelSetError(QuorumError):
    """A label set cannot be used: empty or double names, unknown parents."""


class InputError(QuorumError):
    """A file to be read is missing, broken or of an unknown form."""


class OutputError(QuorumError):
    """A file to be written cannot be, or belongs to something else."""


class StoreError(QuorumError):
    """The store is locked, of another version, or damaged."""


class EngineError(QuorumError):
    """An engine cannot be built or reached at all (single failures are records)."""


class ModelError(QuorumError):
    """A model or adapter is unknown, unsafe or does not load."""


class DemonstrationIndexError(QuorumError):
    """The demonstration index is locked, or made by another embedding model."""


class QuorumLost(QuorumError):
    """Fewer members answer than the quorum needs: the run pauses."""

    exit_code = 3
