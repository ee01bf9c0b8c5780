"""What can be wrong with a campaign."""

from __future__ import annotations

from tools.errors import QuorumError


class CampaignError(QuorumError):
    """A campaign cannot begin or go on: nothing to ask, wrong oracle, changed labels."""
