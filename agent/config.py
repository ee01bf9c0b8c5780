"""The project file, ``quorum.toml``: what it may say, where it is wrong, what it amounts to.

Every key is validated; an error names the file, the line and what to write
instead. Any key can be overridden by an environment variable: ``QUORUM_``, the
section, two underscores, the key (``QUORUM_RUN__BATCH=32``); lists and tables
are given as JSON. The docstrings below become the published JSON Schema and
``docs/configuration.md``.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from agent.configcampaign import CampaignConfig
from agent.configfault import Fault, first_fault
from agent.configsections import (
    DEFAULT_MEMBERS,
    MEMBER_STEPS,
    RETRIEVERS,
    DemonstrationsConfig,
    EngineName,
    Keys,
    MemberConfig,
    MemberStep,
    ModelConfig,
    Name,
    PassagesConfig,
    Project,
    RetrieverName,
    RunConfig,
    SpanMode,
    StepsConfig,
    VerifyMode,
    wrong,
)
from agent.tomllines import key_lines
from prompts.loader import Step, load
from tools.annotation.labelfile import read_label_set
from tools.annotation.labels import LabelSet
from tools.errors import ConfigError, PromptError

FILE_NAME = "quorum.toml"
STATE_FOLDER = ".quorum"
ENV_PREFIX = "QUORUM_"

__all__ = [
    "DEFAULT_MEMBERS",
    "ENV_PREFIX",
    "FILE_NAME",
    "MEMBER_STEPS",
    "RETRIEVERS",
    "STATE_FOLDER",
    "DemonstrationsConfig",
    "EngineName",
    "MemberConfig",
    "MemberStep",
    "ModelConfig",
    "Name",
    "PassagesConfig",
    "Project",
    "ProjectConfig",
    "RetrieverName",
    "RunConfig",
    "SpanMode",
    "StepsConfig",
    "VerifyMode",
    "write_template",
]


class ProjectConfig(BaseModel):
    """All of ``quorum.toml``; whatever it leaves out takes the default."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    project: Project = Project()
    models: dict[Name, ModelConfig] = {}
    """Models by the name that members use; ``[models.NAME]``. The ``starter`` needs no entry."""
    members: Annotated[tuple[MemberConfig, ...], Field(min_length=1)] = DEFAULT_MEMBERS
    """The voters; one ``[[members]]`` table each. By default three ways to ask the starter."""
    steps: StepsConfig = StepsConfig()
    demonstrations: DemonstrationsConfig = DemonstrationsConfig()
    passages: PassagesConfig = PassagesConfig()
    run: RunConfig = RunConfig()
    campaign: CampaignConfig = CampaignConfig()
    keys: dict[str, Keys | dict[str, dict[str, Keys]]] = {}
    """Keys of the screens: ``preset``, and commands with a key or several; ``[keys.on.SCREEN]`` for one screen."""
    prompts: str | None = None
    """A folder with prompts of the project's own, laid out as ``STEP/NAME.vN.md``; looked at first."""

    _root: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _members_fit(self) -> Self:
        names = [member.name for member in self.members]
        for position, name in enumerate(names):
            if name in names[:position]:
                raise wrong(f"member {name!r} occurs twice", "names must be unique", "members", position, "name")
        if "quorum" not in self.run.model_fields_set and self.run.quorum > len(names):
            object.__setattr__(self, "run", self.run.model_copy(update={"quorum": len(names)}))
        if self.run.quorum > len(names):
            at_fault = f"a quorum of {self.run.quorum} cannot be met by {len(names)} member(s)"
            raise wrong(at_fault, f"at most {len(names)}", "run", "quorum")
        if self.steps.verifier is not None and self.steps.verifier not in names:
            raise wrong(
                f"the verifier {self.steps.verifier!r} is no member", f"one of {', '.join(names)}", "steps", "verifier"
            )
        if self.steps.verifier is not None and "verify" not in self.members[names.index(self.steps.verifier)].steps:
            raise wrong(
                f"the verifier {self.steps.verifier!r} does not verify",
                'add "verify" to its steps',
                "steps",
                "verifier",
            )
        if (missing := self._unmanned()) is not None:
            raise wrong(f"no member takes the step {missing!r}", f'add "{missing}" to a member\'s steps', "members")
        return self

    def _unmanned(self) -> MemberStep | None:
        """A step that is on and that no member takes part in."""
        wanted: dict[MemberStep, bool] = {
            "extract": True,
            "classify": self.steps.classify,
            "verify": self.steps.verify != "off",
        }
        return next((s for s, on in wanted.items() if on and not any(s in m.steps for m in self.members)), None)

    # -- making one ---------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, folder: str | Path, *, environment: Mapping[str, str] | None = None) -> ProjectConfig:
        """Read a project's ``quorum.toml``.

        Args:
            folder: The project's folder, or the file itself.
            environment: Overrides; the process's environment when left out.

        Raises:
            ConfigError: The file is missing, no TOML, or says something that is
                not allowed; the message names the line, the hint says what to write.
        """
        path = Path(folder)
        path = path if path.suffix == ".toml" else path / FILE_NAME
        if not path.is_file():
            raise ConfigError(f"{path}: no such file", f"make a project with: quorum init {path.parent}")
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read ({error})", "the project file is UTF-8 text") from error
        return cls.parse(text, path, environment=environment)

    @classmethod
    def parse(cls, text: str, path: Path, *, environment: Mapping[str, str] | None = None) -> ProjectConfig:
        """As :meth:`load`, from the file's text; ``path`` is where it is (to be) kept.

        Raises:
            ConfigError: As :meth:`load`.
        """
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: not TOML: {error}", "compare with: quorum config show --defaults") from error
        lines = key_lines(text)

        def where(location: Iterable[str | int]) -> str:
            keys = tuple(location)
            while keys and keys not in lines:
                keys = keys[:-1]
            return f"{path}:{lines[keys]}" if keys else f"{path}"

        try:
            # Strict, so that `batch = true` or `k = "5"` is told and not guessed; by way of JSON
            # because that is where strict mode still takes a list for a tuple.
            config = cls.model_validate_json(json.dumps(data, default=str), strict=True)
        except ValidationError as error:
            raise _config_error(first_fault(error, cls), where) from error
        config = config._overridden(environment)
        config._root = path.parent
        config._check_prompts(where)
        return config

    @classmethod
    def default(
        cls, *, root: str | Path = ".", environment: Mapping[str, str] | None = None, **sections: Any
    ) -> ProjectConfig:
        """What holds where there is no project file.

        Args:
            root: The folder that relative paths start from.
            environment: Overrides; the process's environment when left out.
            sections: Sections to set, e.g. ``run=RunConfig(batch=8)``.

        Raises:
            ConfigError: A section or an override is not allowed.
        """
        try:
            config = cls(**sections)
        except ValidationError as error:
            raise _config_error(first_fault(error, cls), lambda keys: ".".join(map(str, keys))) from error
        config = config._overridden(environment)
        config._root = Path(root)
        return config

    def with_members(self, names: Iterable[str]) -> ProjectConfig:
        """The same project with some of its members only; the quorum shrinks with them.

        A member that is left alone takes part in all steps; where nobody is left
        who verifies, nothing is verified.

        Raises:
            ConfigError: A name is no member's, none is left, or none that extracts or classifies.
        """
        wanted = list(dict.fromkeys(names))
        known = {member.name: member for member in self.members}
        for name in wanted:
            if name not in known:
                raise ConfigError(f"there is no member {name!r}", f"members are {', '.join(known)}")
        if not wanted:
            raise ConfigError("no member is left", f"name at least one of {', '.join(known)}")
        kept = tuple(known[name] for name in wanted)
        if len(kept) == 1:
            # Who is alone does everything.
            kept = (kept[0].model_copy(update={"steps": MEMBER_STEPS}),)
        run = self.run.model_copy(update={"quorum": min(self.run.quorum, len(kept))})
        verifier = self.steps.verifier if self.steps.verifier in wanted else None
        steps = self.steps.model_copy(update={"verifier": verifier})
        if not any("verify" in member.steps for member in kept):
            steps = steps.model_copy(update={"verify": "off"})
        config = self.model_copy(update={"members": kept, "run": run, "steps": steps})
        if (missing := config._unmanned()) is not None:
            named = ", ".join(wanted)
            raise ConfigError(f"of {named} nobody takes the step {missing!r}", f"members are {', '.join(known)}")
        return config

    def fast(self) -> ProjectConfig:
        """The quick profile: one member, one pass, and the same demonstrations for every passage.

        The member is the first whose extract prompt names types; where there is
        none, the first, with the prompt ``typed``. Types are as it wrote them,
        nothing is classified again or verified.
        """
        able = [member for member in self.members if "extract" in member.steps]
        first, prompt = able[0], "typed.v1"
        for member in able:
            if load("extract", member.extract, self.prompts_folder).answer == "typed":
                first, prompt = member, member.extract
                break
        one = self.with_members([first.name])
        only = one.members[0].model_copy(update={"extract": prompt})
        steps = one.steps.model_copy(update={"classify": False, "verify": "off"})
        shown = one.demonstrations.model_copy(update={"retriever": "fixed"})
        return one.model_copy(update={"members": (only,), "steps": steps, "demonstrations": shown})

    # -- what it amounts to -------------------------------------------------------------------------------------

    @property
    def root(self) -> Path:
        """The project's folder; relative paths start from it."""
        return self._root

    @property
    def labels_path(self) -> Path:
        """The label file."""
        return self._root / self.project.labels

    @property
    def store_path(self) -> Path:
        """The project's SQLite store."""
        return self._root / STATE_FOLDER / "store.db"

    @property
    def chroma_path(self) -> Path:
        """The folder of the demonstration index."""
        return self._root / STATE_FOLDER / "chroma"

    @property
    def prompts_folder(self) -> Path | None:
        """The project's own prompts, or None."""
        return self._root / self.prompts if self.prompts else None

    def label_set(self) -> LabelSet:
        """Read the label file.

        Raises:
            LabelSetError: It is missing or cannot be used.
        """
        return read_label_set(self.labels_path)

    def model_of(self, member: MemberConfig) -> ModelConfig:
        """The model a member names: an entry of ``[models]``, or its name taken as a source."""
        return self.models.get(member.model) or ModelConfig(source=member.model)

    def demonstrations_of(self, member: MemberConfig) -> int:
        """How many demonstrations a member is shown."""
        if not self.steps.retrieve:
            return 0
        return self.demonstrations.k if member.demonstrations is None else member.demonstrations

    @property
    def hash(self) -> str:
        """A hash of everything here that changes results (hex, 32 digits).

        Prompts count by their content. Left out: names, the label file's path
        (the label set has a hash of its own), keys, and what changes only the
        pace (batch, in_flight, cache).

        Raises:
            PromptError: A member names a prompt that does not exist.
        """
        extra = self.prompts_folder
        members = []
        for member in self.members:
            templates = [load("extract", member.extract, extra).hash, load("classify", member.classify, extra).hash]
            if member.pre_extract != "spans":  # what is left at its default was no key in older runs
                templates.append(load("pre_extract", member.pre_extract, extra).hash)
            if member.verify != "yes_no":
                templates.append(load("verify", member.verify, extra).hash)
            model = self.model_of(member).model_dump(exclude={"api_key_env"})
            if not model["template_options"]:
                del model["template_options"]  # older runs had no such key, and stay the same runs
            members.append([member.name, member.weight, self.demonstrations_of(member), templates, model])
            if set(member.steps) != set(MEMBER_STEPS):
                members[-1].append(sorted(member.steps))
        shared = [load("pre_extract", "spans", extra).hash, load("verify", "yes_no", extra).hash]
        rest = self.model_dump(include={"steps": True, "demonstrations": True, "passages": True})
        run = self.run.model_dump(include={"quorum", "threshold", "seed"})
        what = json.dumps([members, shared, rest, run], sort_keys=True)
        return hashlib.blake2b(what.encode(), digest_size=16).hexdigest()

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """The JSON Schema (2020-12) of ``quorum.toml``."""
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **cls.model_json_schema()}

    # -- inside -------------------------------------------------------------------------------------------------

    def _overridden(self, environment: Mapping[str, str] | None) -> ProjectConfig:
        from agent.configenv import environment_values, variable_of

        values = environment_values(type(self), ENV_PREFIX, environment)
        if not values:
            return self
        merged = _merge(self.model_dump(exclude_unset=True), values)
        try:
            return type(self).model_validate(merged)
        except ValidationError as error:
            raise _config_error(
                first_fault(error, type(self)), lambda keys: variable_of(keys, ENV_PREFIX, environment)
            ) from error

    def _check_prompts(self, where: Any) -> None:
        extra = self.prompts_folder
        if extra is not None and not extra.is_dir():
            raise ConfigError(f"{where(('prompts',))}: {extra} is no folder", "make it, or remove the key")
        steps: tuple[Step, ...] = ("extract", "classify", "pre_extract", "verify")
        for position, member in enumerate(self.members):
            for step in steps:
                try:
                    load(step, getattr(member, step), extra)
                except PromptError as error:
                    place = where(("members", position, step))
                    raise ConfigError(f"{place}: {error.message}", error.hint) from error


def _config_error(fault: Fault, where: Any) -> ConfigError:
    return ConfigError(f"{where(fault.location)}: {fault.message}", fault.hint)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def write_template(folder: str | Path, labels: LabelSet) -> Path:
    """Write a commented ``quorum.toml`` and ``labels.toml`` into a folder.

    Args:
        folder: Made where it does not exist.
        labels: The label set to begin with.

    Returns:
        The path of the project file.

    Raises:
        ConfigError: There is a project file already, or the folder cannot be written.
    """
    from agent.configtemplate import labels_toml, project_toml

    root = Path(folder)
    path = root / FILE_NAME
    if path.exists():
        raise ConfigError(f"{path} exists already", "edit it, or choose another folder")
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not (label_path := root / "labels.toml").exists():
            label_path.write_text(labels_toml(labels), encoding="utf-8")
        path.write_text(project_toml(root.resolve().name or "quorum"), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{root}: cannot be written ({error.strerror})", "choose a folder of your own") from error
    return path
