"""What a model card is written from: licences, what a member's training was, measured figures."""

from __future__ import annotations

import importlib
import importlib.util
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tools.errors import InputError

LICENCES = Path(__file__).with_name("licences.toml")
MEMBERS = "members.toml"
HELD_OUT = ("crossner_politics", "crossner_science", "mit_movie_eng")
"""Domains that no recipe reads, so that they can be tested as never seen."""


M = TypeVar("M", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Licence(_Part):
    """What a card must say about a corpus.

    Attributes:
        name: Of the corpus, as people write it.
        licence: Under which it, and its texts, may be used.
        attribution: Whom to name.
        only: Which of its records were used; empty for all.
    """

    name: str
    licence: str
    attribution: str
    only: str = ""


class Facts(_Part):
    """What was known when a member was trained: its recipe, and its table in ``members.toml``.

    Attributes:
        summary: What it is for, in a line.
        corpora: Corpora it was trained on, with their shares of the records.
        held_out: Domains that were kept out so that they can be tested as never seen.
        recipe: How it was trained, in sentences.
        command: The command that trains it.
        tokens: Read in training, in all.
        steps: Of the optimiser.
        minutes: Of training.
        machine: On what.
        begins_with: What it was branched off; empty for the plain base.
        limits: What it is not good at, a sentence each.
    """

    summary: Annotated[str, Field(min_length=1)]
    corpora: Annotated[dict[str, Annotated[float, Field(gt=0)]], Field(min_length=1)]
    held_out: tuple[str, ...] = HELD_OUT
    recipe: Annotated[str, Field(min_length=1)]
    command: Annotated[str, Field(min_length=1)]
    tokens: Annotated[int, Field(gt=0)]
    steps: Annotated[int, Field(gt=0)]
    minutes: Annotated[float, Field(gt=0)]
    machine: str = "two CPU cores"
    begins_with: str = ""
    limits: tuple[str, ...] = ()


class Score(_Part):
    """Strict micro-F1 and what it rests on."""

    precision: float
    recall: float
    f1: float
    low: float
    high: float
    support: int


class Corpus(_Part):
    """One pass over a corpus."""

    corpus: str
    split: str
    k: int
    trained_on: bool
    sentences: int
    rows: dict[str, Score]

    @property
    def best(self) -> Score:
        """The best way of asking alone."""
        return max((row for name, row in self.rows.items() if name.startswith("member ")), key=lambda row: row.f1)


class Within(_Part):
    """A figure and its interval."""

    value: float
    low: float
    high: float


class Bin(_Part):
    """A line of the reliability table."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: Within


class Reliability(_Part):
    """How far confidence can be trusted on held-out corpora."""

    k: int
    candidates: int
    right: int
    sentences: int
    ece: Within
    brier: Within
    bins: tuple[Bin, ...]


class Figures(_Part):
    """What ``benchmarks/member_card.py`` writes."""

    format: Literal[1]
    source: str
    command: str
    corpora: tuple[Corpus, ...]
    reliability: tuple[Reliability, ...]


def read_licences() -> dict[str, Licence]:
    """The corpora that may be trained on, by name."""
    table = tomllib.loads(LICENCES.read_text(encoding="utf-8"))
    return {name: Licence.model_validate(entry) for name, entry in table.items()}


def from_recipe(name: str) -> dict[str, Any]:
    """What the recipe of a name says about its training; empty where there is no such recipe."""
    where = f"tools.finetuning.recipes.{name}"
    if not name.isidentifier() or importlib.util.find_spec(where) is None:
        return {}
    from tools.finetuning.recipes.starter import TRUNK

    recipe = importlib.import_module(where).RECIPE
    mix = recipe.mix
    corpora: dict[str, float] = {}
    for part in (*TRUNK, *recipe.parts):
        total = sum(part.shares.values())
        for corpus, share in part.shares.items():
            corpora[corpus] = corpora.get(corpus, 0.0) + part.steps * share / total
    told = (
        "Records are made from the prompts that ship: a passage, a label set, demonstrations, and from there extract, "
        "typed extract, classify and verify questions, packed so that the shared prefix is read once. Types appear as "
        f"words in any order; in {mix.rename:.0%} of the records some have other names, {mix.bare:.0%} go without "
        f"descriptions, {mix.drop_types:.0%} drop types, {mix.no_demonstrations:.0%} show no demonstration. Loss on "
        "answers and, at a lower weight, on the demonstrations' entity lines; AdamW, learning rate "
        f"{' then '.join(f'{part.learning_rate:g}' for part in recipe.parts)} with warm-up, bf16, seed "
        f"{' and '.join(str(part.seed) for part in recipe.parts)}."
    )
    return {
        "corpora": corpora,
        "recipe": told,
        "command": f"python -m {where} --data DIR --base CHECKPOINT --out DIR --ship agent/models/adapters/{name}",
        "steps": sum(part.steps for part in (*TRUNK, *recipe.parts)),
        "begins_with": f"the trunk that all members share ({sum(part.steps for part in TRUNK):,} of the steps below)",
    }


def trained_on(folder: Path, name: str) -> dict[str, float]:
    """The corpora that a member was trained on, with their shares of all records; empty where nothing says so."""
    own = _tables(folder).get(name, {}).get("corpora") or from_recipe(name).get("corpora", {})
    return {str(corpus): float(share) for corpus, share in own.items()}


def read_facts(folder: Path, name: str) -> Facts:
    """What is known about a member's training.

    Raises:
        InputError: ``members.toml`` does not have it, or something is missing.
    """
    tables = _tables(folder)
    path = folder / MEMBERS
    if name not in tables:
        raise InputError(f"{path}: nothing about {name!r}", f"known here: {', '.join(tables) or 'none'}")
    return _valid(Facts, {**from_recipe(name), **tables[name]}, f"{path}: members.{name}")


def _tables(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / MEMBERS
    try:
        tables: dict[str, dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8")).get("members", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})", "name the folder of adapters by --folder") from error
    return tables


def read_figures(path: Path) -> Figures:
    """What was measured.

    Raises:
        InputError: The file cannot be read, or holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        hint = "make it with: python -m benchmarks.member_card"
        raise InputError(f"{path}: cannot be read ({error})", hint) from error
    return _valid(Figures, data, str(path))


def _valid(model: type[M], data: object, where: str) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        hint = f"needed: {', '.join(model.model_fields)}"
        raise InputError(f"{where}: {key}: {first['msg']}", hint) from error
