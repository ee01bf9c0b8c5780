"""The way from the campaign screen to the labelling screen and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.store import Store
from tui.labelling.campaignqueue import CampaignQueue, waits_for

if TYPE_CHECKING:
    from agent.config import ProjectConfig
    from tui.screens.label import LabelScreen


class Desk:
    """Where one annotator labels what a campaign asks.

    Args:
        config: The project's settings.
        store: Open for writing.
        annotator: Who labels.
        models: Whether the labelling screen asks the models for suggestions.
    """

    def __init__(self, config: ProjectConfig, store: Store, annotator: str, *, models: bool = True) -> None:
        self.config, self.store, self.annotator, self._models = config, store, annotator, models

    def waits(self) -> bool:
        """Whether the campaign has anything to label for this annotator."""
        return waits_for(self.store, self.annotator)

    def screen(self, document_id: str | None = None) -> LabelScreen:
        """The labelling screen, at a document or at the next one that waits.

        Raises:
            QuorumError: The label file or the keys are wrong, or the store cannot be written.
        """
        from tui.commands.label import open_project
        from tui.labelling.session import Session
        from tui.screens.label import LabelScreen

        project = open_project(self.config, self.store)
        project.ask_models = self._models
        session = Session(self.store, self.annotator, CampaignQueue(self.store, self.annotator))
        if document_id is not None:
            session.open(document_id)
        return LabelScreen(project, session)

    def leave(self) -> None:
        """Give back what is in hand."""
        self.store.release(self.annotator)
