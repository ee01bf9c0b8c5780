"""Finding, parsing and hashing templates.

A template is ``prompts/STEP/NAME.vN.md``: front matter between two ``---``
lines (id, step, version, answer, changed) and a Jinja body with the blocks
``system`` and ``user``. A project may bring its own folder of the same form,
which is looked at first.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from prompts.errors import PromptError

Step = Literal["pre_extract", "extract", "classify", "verify"]
Answer = Literal["spans", "typed", "code", "yes_no"]
STEPS: tuple[Step, ...] = get_args(Step)
_ANSWERS: dict[Step, tuple[Answer, ...]] = {
    "pre_extract": ("spans", "typed"),
    "extract": ("spans", "typed"),
    "classify": ("code",),
    "verify": ("yes_no",),
}
HERE = Path(__file__).parent
_NAME = re.compile(r"(?P<id>[a-z][a-z0-9_]*)\.v(?P<version>[1-9][0-9]*)\.md\Z")
_INCLUDE = re.compile(r"{%[-+]?\s*(?:include|import|extends|from)\s+[\"']([^\"']+)[\"']")
_FIELDS = ("id", "step", "version", "answer", "changed")


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template.

    Attributes:
        step: The step it belongs to.
        id: Its name without the version.
        version: Its number, from 1.
        answer: What the model is to write: spans, typed spans, a code, yes or no.
        changed: What this version changed, one line.
        source: The body, front matter removed.
        hash: Of the body and all it includes (hex, 16 digits).
        path: The file it came from.
    """

    step: Step
    id: str
    version: int
    answer: Answer
    changed: str
    source: str
    hash: str
    path: Path

    @property
    def reference(self) -> str:
        """How members and records name it: ``extract/spans.v1``."""
        return f"{self.step}/{self.id}.v{self.version}"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt: what the system and the user say."""

    system: str
    user: str

    @property
    def messages(self) -> tuple[tuple[str, str], ...]:
        """Role and content, in order."""
        return (("system", self.system), ("user", self.user))


def reference(text: str, step: Step) -> tuple[str, int | None]:
    """Split ``spans.v2``, ``extract/spans.v2`` or ``spans`` into id and version."""
    bare = text.removeprefix(f"{step}/").removesuffix(".md")
    name, _, version = bare.partition(".v")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or (version and not version.isdigit()):
        raise PromptError(f"{text!r} names no prompt", f"write it like {step}/spans.v1")
    return name, int(version) if version else None


def folders(extra: Path | None) -> tuple[Path, ...]:
    """Where templates are looked for, first hit wins."""
    return (extra, HERE) if extra else (HERE,)


def catalogue(extra: Path | None = None) -> list[Template]:
    """Every template, by step, id and version; a project's own folder hides ours."""
    found: dict[str, Template] = {}
    for folder in reversed(folders(extra)):
        for step in STEPS:
            for path in sorted((folder / step).glob("*.md")):
                template = parse(path, extra)
                found[template.reference] = template
    return sorted(found.values(), key=lambda t: (STEPS.index(t.step), t.id, t.version))


@lru_cache(maxsize=256)
def load(step: Step, name: str, extra: Path | None = None) -> Template:
    """The template that a member names; without a version, the newest.

    Raises:
        PromptError: There is none of that name, or it is malformed.
    """
    wanted, version = reference(name, step)
    matching = [t for t in catalogue(extra) if t.step == step and t.id == wanted and version in (None, t.version)]
    if not matching:
        known = ", ".join(t.reference for t in catalogue(extra) if t.step == step)
        raise PromptError(f"there is no prompt {step}/{name}", f"known: {known}")
    return matching[-1]


def parse(path: Path, extra: Path | None = None) -> Template:
    """Read one template file.

    Raises:
        PromptError: The name, the front matter or the body is not of the form.
    """
    matched = _NAME.match(path.name)
    if not matched:
        raise PromptError(f"{path}: not named NAME.vN.md", "for example spans.v2.md")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{path}: cannot be read ({error})", "templates are UTF-8 text") from error
    front, body = _split(path, text)
    step = path.parent.name
    if step not in STEPS or front["step"] != step:
        raise PromptError(f"{path}: step {front['step']!r} does not fit its folder", f"steps are {', '.join(STEPS)}")
    if front["id"] != matched["id"] or front["version"] != matched["version"]:
        raise PromptError(f"{path}: id or version differs from the file's name", "make them the same")
    if front["answer"] not in _ANSWERS[step]:
        raise PromptError(f"{path}: answer {front['answer']!r} is not for {step}", f"use {' or '.join(_ANSWERS[step])}")
    template = Template(
        step=step,
        id=front["id"],
        version=int(front["version"]),
        answer=front["answer"],
        changed=front["changed"],
        source=body,
        hash=_hash(body, extra),
        path=path,
    )
    _compile(template, extra)
    return template


def _split(path: Path, text: str) -> tuple[dict[str, str], str]:
    parts = text.split("---\n", 2)
    if len(parts) != 3 or parts[0].strip():
        raise PromptError(f"{path}: no front matter", "begin with a --- line, fields, and another --- line")
    front: dict[str, str] = {}
    for number, line in enumerate(parts[1].splitlines(), 2):
        name, colon, value = line.partition(":")
        if not colon or name.strip() not in _FIELDS:
            raise PromptError(f"{path}:{number}: {line!r} is no field", f"fields are {', '.join(_FIELDS)}")
        front[name.strip()] = value.strip()
    missing = [name for name in _FIELDS if not front.get(name)]
    if missing:
        raise PromptError(f"{path}:1: front matter lacks {', '.join(missing)}", "every field is required")
    return front, parts[2]


def _hash(body: str, extra: Path | None) -> str:
    digest = hashlib.blake2b(body.encode(), digest_size=8)
    for included in _included(body, extra, set(), ()):
        digest.update(included)
    return digest.hexdigest()


def _included(body: str, extra: Path | None, seen: set[str], within: tuple[str, ...]) -> Iterator[bytes]:
    """What a body includes, and what that includes in turn, each file once.

    Raises:
        PromptError: A file includes itself, if by way of others.
    """
    for name in _INCLUDE.findall(body):
        path = next((folder / name for folder in folders(extra) if (folder / name).is_file()), None)
        if path and name in within:
            circle = " -> ".join((*within[within.index(name) :], name))
            raise PromptError(f"{path}: includes itself ({circle})", "break the circle")
        if path and name not in seen:
            seen.add(name)
            content = path.read_bytes()
            yield content
            yield from _included(content.decode("utf-8", "replace"), extra, seen, (*within, name))


@lru_cache(maxsize=8)
def environment(extra: Path | None = None) -> jinja2.Environment:
    """The sandboxed Jinja environment: undefined names are errors, no escaping."""
    return ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader([str(folder) for folder in folders(extra)]),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )


@lru_cache(maxsize=256)
def _compile(template: Template, extra: Path | None) -> jinja2.Template:
    try:
        compiled = environment(extra).from_string(template.source)
    except jinja2.TemplateError as error:
        line = getattr(error, "lineno", None)
        # Jinja counts from the body's first line; a person counts from the file's.
        above = template.path.read_text(encoding="utf-8").count("\n") - template.source.count("\n")
        where = f"{template.path}:{line + above}" if line else str(template.path)
        raise PromptError(f"{where}: {error}", "mend the Jinja body") from error
    if missing := {"system", "user"} - set(compiled.blocks):
        raise PromptError(
            f"{template.path}: lacks the block {', '.join(sorted(missing))}",
            "write {% block user %} and {% block system %}",
        )
    return compiled
