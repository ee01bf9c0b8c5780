"""What makes two runs the same: everything that decides what comes out.

The parts of it are kept apart, so that a changed one can be named to whoever
runs the command again with other options.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from agent.config import MEMBER_STEPS, ProjectConfig
from agent.runs.errors import RunMismatch
from agent.runs.parts import FRESH_HINT
from tools.annotation.labels import LabelSet

_NAMES = {
    "labels": "the label set",
    "members": "the members",
    "prompts": "the prompts",
    "models": "a model",
    "steps": "the steps",
    "settings": "the settings",
    "demonstrations": "the demonstrations",
    "calibration": "the calibration of confidences",
    "passages": "how documents are cut ([passages], batch)",
    "input": "how the input is read",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """How the input is read, as far as it decides which documents there are.

    Attributes:
        lines: A line of a text file is a document.
        text_column: The column or key of the text.
        id_column: The column or key of the id.
        limit: The most documents.
        shard: ``(i, n)``, or None.
        skip_bad: Broken records are left out.
    """

    lines: bool = False
    text_column: str = "text"
    id_column: str = "id"
    limit: int | None = None
    shard: tuple[int, int] | None = None
    skip_bad: bool = False


def identity(
    config: ProjectConfig,
    labels: LabelSet,
    reading: Reading,
    *,
    models: Mapping[str, str],
    demonstrations: str = "",
) -> dict[str, Any]:
    """All that decides the outcome of a run, as JSON values by concern.

    Args:
        config: The configuration.
        labels: The label set.
        reading: How the input is read.
        models: Model name to revision (a hash of the weights where known).
        demonstrations: A hash of what may be shown; empty for nothing.
    """
    dump = config.model_dump(mode="json")
    return {
        "labels": labels.hash,
        "members": [
            # Steps are named only where they are not all, so that older runs stay the same.
            [m["name"], m["model"], m["extract"], m["classify"], m["weight"], *_own_steps(m["steps"])]
            for m in dump["members"]
        ],
        "prompts": _prompts(config),
        "models": dict(sorted(models.items())),
        "steps": dump["steps"],
        "demonstrations": [
            demonstrations,
            dump["demonstrations"],
            [config.demonstrations_of(member) for member in config.members],
        ],
        "calibration": _calibration(config),
        "passages": [dump["passages"], config.run.batch],
        # Whether broken records are left out is not part of it: the documents themselves tell, and a run
        # that stopped at one must be able to go on without it.
        "input": {key: value for key, value in asdict(reading).items() if key != "skip_bad"},
        "settings": {key: dump["run"][key] for key in ("quorum", "threshold", "seed")},
    }


def _own_steps(steps: list[str]) -> list[list[str]]:
    return [sorted(steps)] if set(steps) != set(MEMBER_STEPS) else []


def _prompts(config: ProjectConfig) -> dict[str, str]:
    from prompts.loader import load

    extra = config.prompts_folder
    found = {}
    for member in config.members:
        found[f"pre_extract/{member.pre_extract}"] = load("pre_extract", member.pre_extract, extra)
        found[f"verify/{member.verify}"] = load("verify", member.verify, extra)
        found[f"extract/{member.extract}"] = load("extract", member.extract, extra)
        found[f"classify/{member.classify}"] = load("classify", member.classify, extra)
    return {name: template.hash for name, template in sorted(found.items())}


def _calibration(config: ProjectConfig) -> str:
    """A hash of the file that makes probabilities of votes, where one is used."""
    from agent.extraction.confidence import SHIPPED, mode_of, own_file

    if not config.steps.calibrate:
        return ""
    own = own_file(config.chroma_path.parent, mode_of(config.steps))
    used = own if own.is_file() else SHIPPED
    return hashlib.blake2b(used.read_bytes(), digest_size=16).hexdigest() if used.is_file() else ""


def identity_hash(what: Mapping[str, Any]) -> str:
    """A hash of an identity (hex, 32 digits)."""
    return hashlib.blake2b(json.dumps(what, sort_keys=True).encode(), digest_size=16).hexdigest()


def same(known: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two identities are equal, one of which has been kept as JSON."""
    return json.dumps(known, sort_keys=True) == json.dumps(now, sort_keys=True)


def refuse_other(
    known: Mapping[str, Any], now: Mapping[str, Any], where: str, hint: str = f"{FRESH_HINT}; or run it as it was begun"
) -> None:
    """Refuse to go on with a run that was begun in another way.

    Args:
        known: The identity that the run was begun with.
        now: The identity of this call.
        where: What the run writes, for the message.
        hint: What to do about it.

    Raises:
        RunMismatch: They differ; the message names in what.
    """
    # By way of JSON, because that is what the known one has been through.
    fresh = json.loads(json.dumps(now))
    changed = [_NAMES.get(key, key) for key in {**known, **fresh} if known.get(key) != fresh.get(key)]
    if changed:
        raise RunMismatch(
            f"{where}: begun with another configuration; changed: {', '.join(changed)}",
            hint,
        )


def label_tables(labels: LabelSet) -> list[dict[str, Any]]:
    """A label set as ``[[labels]]`` tables; ``parse_label_set`` reads them back."""
    tables = []
    for label in labels:
        table = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(label).items()}
        tables.append({key: value for key, value in table.items() if value})
    return tables
