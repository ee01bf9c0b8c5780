"""Confidence: votes, log-probabilities and the verdict joined into one probability.

A logistic model over three readings of a candidate: the vote's log-odds, how
many of the members proposed it, and the verifier's log-odds. The coefficients
that ship were fitted on development data of corpora the members were trained
on (``benchmarks/calibration.py``); a project with gold of its own fits its own
by cross-fitting, so that no document is judged by a model that has seen it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.config import StepsConfig
from agent.extraction.state import Candidate
from tools.errors import ConfigError, OutputError

SHIPPED = Path(__file__).with_name("calibration.json")
MODES = ("off", "selective", "on")
FAST = "fast"
"""The mode of a single pass: types as written, with the probability of the line, and nothing verified."""
_EPSILON = 1e-4
FEATURES = ("vote", "proposed", "verdict", "asked")


def features(candidate: Candidate, members: int) -> tuple[float, float, float, float]:
    """What the model reads off a candidate.

    Args:
        candidate: With votes taken, and verified where that was wanted.
        members: How many members answered for its passage; one that is down says nothing.

    Returns:
        Log-odds of the vote's share; share of members that proposed it, minus
        one half; log-odds of the verdict (0 where not asked); 1 where asked.
    """
    asked = candidate.verdict is not None
    return (
        log_odds(candidate.probability),
        len(candidate.proposers) / max(1, members) - 0.5,
        log_odds(candidate.verdict) if candidate.verdict is not None else 0.0,
        1.0 if asked else 0.0,
    )


def log_odds(probability: float) -> float:
    """The log-odds of a probability, kept off 0 and 1 by 0.0001."""
    p = min(1 - _EPSILON, max(_EPSILON, probability))
    return math.log(p / (1 - p))


@dataclass(frozen=True, slots=True)
class Calibrator:
    """Coefficients of the logistic model, and where they come from.

    The default leaves the vote as it is and lets a verdict pull it half way in
    log-odds.
    """

    intercept: float = 0.0
    vote: float = 1.0
    proposed: float = 0.0
    verdict: float = 0.5
    asked: float = 0.0
    source: str = "uncalibrated"

    def confidence(self, candidate: Candidate, members: int) -> float:
        """The probability that a candidate's place and label are right."""
        values = features(candidate, members)
        score = self.intercept + sum(getattr(self, name) * x for name, x in zip(FEATURES, values, strict=True))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))

    def save(self, path: Path) -> None:
        """Write as JSON, by rename, so that a kill leaves the old one whole.

        Raises:
            OutputError: The file cannot be written.
        """
        fresh = path.with_name(f"{path.name}.tmp")
        try:
            fresh.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
            fresh.replace(path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})", "choose another place") from error

    @classmethod
    def load(cls, path: Path) -> Calibrator:
        """Read what ``save`` wrote.

        Raises:
            ConfigError: The file is not a calibration.
        """
        try:
            return cls.read(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigError(
                f"{path}: not a calibration ({error})", "remove it; the shipped one is used then"
            ) from error

    @classmethod
    def read(cls, data: object) -> Calibrator:
        """Coefficients from a table of them.

        Raises:
            ValueError, TypeError, KeyError: It is none.
        """
        if not isinstance(data, dict):
            raise ValueError("not a table")
        numbers = {key: float(data[key]) for key in ("intercept", *FEATURES)}
        if not all(map(math.isfinite, numbers.values())):
            raise ValueError("a coefficient is no number")
        return cls(**numbers, source=str(data["source"]))


def mode_of(steps: StepsConfig) -> str:
    """Which fit goes with a choice of steps.

    What a missing verdict says differs between off, selective and on, and the
    probability of a line is no vote: each mode has a fit of its own.
    """
    return FAST if not steps.classify and steps.verify == "off" else steps.verify


def shipped(mode: str) -> Calibrator:
    """The coefficients that come with the starter.

    Args:
        mode: As ``mode_of`` says. Where no fit of it was shipped, votes stay as they are.
    """
    table = json.loads(SHIPPED.read_text(encoding="utf-8"))
    return Calibrator.read(table[mode]) if mode in table else Calibrator()


def shipped_for(steps: StepsConfig) -> Calibrator:
    """The coefficients that go with a choice of steps; votes stay as they are where they are not calibrated."""
    return shipped(mode_of(steps)) if steps.calibrate else Calibrator()


def own_file(folder: Path, mode: str) -> Path:
    """Where a project keeps a fit of its own, in its state folder."""
    return folder / (f"calibration-{FAST}.json" if mode == FAST else SHIPPED.name)


def fit(examples: Sequence[tuple[tuple[float, ...], bool]], source: str) -> Calibrator:
    """Fit the coefficients by (lightly regularised) logistic regression.

    Args:
        examples: ``features`` of candidates, and whether each was right.
        source: What they were fitted on, for the record.

    Raises:
        ConfigError: There are fewer than 20 examples, or all are alike.
    """
    right = sum(good for _, good in examples)
    if len(examples) < 20 or right in (0, len(examples)):
        raise ConfigError(
            f"{len(examples)} candidates ({right} right) are too few to calibrate on", "label some more documents"
        )
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=10.0, max_iter=1000)
    model.fit([list(x) for x, _ in examples], [good for _, good in examples])
    weights = dict(zip(FEATURES, map(float, model.coef_[0]), strict=True))
    return Calibrator(float(model.intercept_[0]), **weights, source=source)


def cross_fit(
    by_document: Mapping[str, Sequence[tuple[tuple[float, ...], bool]]], folds: int = 5
) -> dict[str, Calibrator]:
    """For every document, coefficients fitted on the other documents.

    Args:
        by_document: Document id to the examples in it.
        folds: Into how many parts the documents are dealt, by sorted id.

    Raises:
        ConfigError: Too few examples outside some fold.
    """
    ids = sorted(by_document)
    fitted: dict[str, Calibrator] = {}
    for fold in range(min(folds, len(ids))):
        inside = set(ids[fold::folds])
        others = [example for name in ids if name not in inside for example in by_document[name]]
        calibrator = fit(others, f"cross-fitted, fold {fold + 1} of {folds}")
        fitted.update(dict.fromkeys(inside, calibrator))
    return fitted
