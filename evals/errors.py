"""What a person can do wrong with an evaluation."""

from __future__ import annotations

from tools.errors import QuorumError


class SuiteError(QuorumError):
    """A suite cannot be read, names what does not exist, or says something that is not allowed."""


class EvalDataError(QuorumError):
    """Data of an evaluation are missing, changed, empty, or do not fit their label set."""


class ContaminationError(QuorumError):
    """A document of a test split would be shown to a model, or trained on."""


class EvalLogError(QuorumError):
    """A log of an evaluation is missing, damaged, or of another form."""
