"""What a campaign goes by: the project's settings, what commands were given instead, and what its figures hang on."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from agent.campaign.errors import CampaignError
from agent.campaign.policy import Rule
from agent.campaign.services import Settings
from agent.config import ProjectConfig
from agent.runs.identity import Reading, identity
from tools.annotation import LabelSet
from tools.store import Store

CONCERNS = {
    "labels": "the label set",
    "members": "the members",
    "prompts": "the prompts",
    "models": "a model",
    "steps": "the steps",
    "settings": "the settings of [run]",
    "demonstrations": "how demonstrations are retrieved",
    "calibration": "the calibration of confidences",
    "passages": "how documents are cut",
}


def settings_of(config: ProjectConfig, **given: Any) -> Settings:
    """A campaign's settings: the project's, with what a command was given instead.

    Args:
        config: The project's configuration.
        given: Keys of ``[campaign]`` and ``seed``; None leaves the project's.

    Raises:
        CampaignError: A budget or a batch below 1.
    """
    kept = {key: value for key, value in given.items() if value is not None}
    chosen = config.campaign.model_dump() | kept
    for key in ("budget", "batch"):
        if chosen[key] < 1:
            raise CampaignError(f"a {key} of {chosen[key]} asks nothing", f"give --{key} a number of 1 or more")
    for key in ("target_f1", "min_gain"):
        if chosen[key] is not None and not 0 <= chosen[key] <= 1:
            raise CampaignError(f"{key} {chosen[key]:g} is no F1", "F1 lies between 0 and 1, e.g. 0.75")
    chosen.setdefault("seed", config.run.seed)
    return Settings(
        **{name: chosen[name] for name in Settings.__slots__ if name not in ("rule", "given")},
        rule=Rule(chosen["budget"], chosen["target_f1"], chosen["min_gain"]),
        given=kept,
    )


def settings_for(config: ProjectConfig, store: Store, *, fresh: bool = False, **given: Any) -> Settings:
    """As ``settings_of``, on top of what earlier commands of the same campaign were given.

    Args:
        config: The project's configuration.
        store: The project's store.
        fresh: Whether another campaign is begun.
        given: As ``settings_of``.

    Raises:
        CampaignError: As ``settings_of``.
        StoreError: A newer release made the campaign.
    """
    known = None if fresh else store.campaign()
    earlier = {} if known is None else dict(known.settings.get("given", {}))
    return settings_of(config, **earlier | {key: value for key, value in given.items() if value is not None})


def campaign_identity(config: ProjectConfig, labels: LabelSet) -> dict[str, Any]:
    """What the figures of a campaign hang on, by concern.

    Models count by what the configuration says of them, so that it can be told without having them.
    """
    models = {
        member.model: config.model_of(member).model_dump_json(exclude={"api_key_env"}) for member in config.members
    }
    what = identity(config, labels, Reading(), models=models)
    # As the store gives it back: tuples are lists.
    plain: dict[str, Any] = json.loads(json.dumps({key: what[key] for key in CONCERNS}))
    return plain


def plain_settings(settings: Settings) -> dict[str, Any]:
    """Settings as JSON values."""
    return asdict(settings)
