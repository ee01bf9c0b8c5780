"""The campaign's training step: ``quorum train`` on the gold so far, the adapter in the members' place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agent.runs.progress import Observer

MINUTES = 15.0


class ProjectTrainer:
    """A ``Trainer`` of the project's members. Audit documents are never trained on.

    Args:
        root: The project's folder.
        registered: Called when the project file names a new adapter: models and figures are others from then on.
        observer: Told what happens.
    """

    def __init__(self, root: Path, registered: Callable[[], None], observer: Observer) -> None:
        self._root, self._registered, self._observer = root, registered, observer

    def train(self, campaign: int, round_number: int) -> str:
        """Train, or find what an earlier call trained for this round.

        Args:
            campaign: The campaign's number.
            round_number: The round's number.

        Returns:
            What came of it, in a line.

        Raises:
            QuorumError: There is too little gold, or it cannot be trained here.
        """
        from agent.training import train_project
        from agent.trainingrun import TrainOptions

        def watch(event: object) -> None:
            if isinstance(event, str):
                self._observer.note(event)

        options = TrainOptions(name=f"campaign-{campaign}-{round_number}", minutes=MINUTES, allow_few=True)
        outcome = train_project(self._root, options, watch, register="replace")
        for line in outcome.notes:
            self._observer.note(line)
        if outcome.registered:
            self._registered()
            return f"trained {outcome.name}: {outcome.registered}"
        return f"trained {outcome.name}; the members stay as they are"
