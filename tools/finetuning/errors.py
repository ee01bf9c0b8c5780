"""What goes wrong in a training and is a person's to mend."""

from __future__ import annotations

from tools.errors import QuorumError


class TrainingError(QuorumError):
    """A training cannot begin or go on: too little gold, a loss that is no number, no room for a checkpoint."""
