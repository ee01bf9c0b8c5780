"""Label sets: the entity types, their descriptions, and their one-word codes."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from tools.errors import LabelSetError

NONE_CODE = "none"
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\-/.\s]+")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]*")


@dataclass(frozen=True, slots=True)
class Label:
    """One entity type.

    Attributes:
        name: What annotations carry; unique in its set.
        description: A short noun phrase that says what is in and what is out.
        examples: Mentions that are of this type.
        counter_examples: Mentions that look like it and are not.
        hotkey: A key of the labelling screen; unique in its set.
        parent: The name of a broader type of the same set.
        aliases: Other names of it, as other data may call it.
    """

    name: str
    description: str = ""
    examples: tuple[str, ...] = ()
    counter_examples: tuple[str, ...] = ()
    hotkey: str = ""
    parent: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The name as words: ``cell_line`` and ``CellLine`` become ``cell line``."""
        return words_of(self.name)


def words_of(name: str) -> str:
    """A label name as plain words, lower case unless all capitals (``DNA``)."""
    parts = [part for part in _CAMEL.split(name.strip()) if part]
    return " ".join(part if part.isupper() and len(part) <= 5 else part.lower() for part in parts)


@dataclass(frozen=True)
class LabelSet:
    """The entity types of a project, in the order a person wrote them.

    Raises:
        LabelSetError: No label, an empty or double name, an unknown parent, a
            circle of parents, a double hotkey.
    """

    labels: tuple[Label, ...]
    _by_name: dict[str, Label] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self.labels)
        object.__setattr__(self, "_by_name", {label.name: label for label in self.labels})

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Label:
        return self._by_name[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The names in order."""
        return tuple(self._by_name)

    @cached_property
    def codes(self) -> dict[str, str]:
        """Label name to its code, the one word a model answers with."""
        return allocate_codes([label.words for label in self.labels], self.names)

    @cached_property
    def resolver(self) -> dict[str, str]:
        """Every known spelling (name, alias, case-folded both) to the label name."""
        known: dict[str, str] = {}
        for label in self.labels:
            for spelling in (label.name, *label.aliases, label.words):
                known.setdefault(spelling.casefold(), label.name)
        known.update({label.name: label.name for label in self.labels})
        return known

    def resolve(self, spelling: str) -> str | None:
        """The label that a name or alias means, or None."""
        return self.resolver.get(spelling) or self.resolver.get(spelling.casefold())

    @cached_property
    def hash(self) -> str:
        """A hash of all that a prompt can show of the set (hex, 32 digits)."""
        shown = [[x.name, x.description, x.examples, x.counter_examples, x.parent] for x in self.labels]
        return hashlib.blake2b(json.dumps(shown).encode(), digest_size=16).hexdigest()

    def subset(self, names: Iterable[str]) -> LabelSet:
        """The set reduced to some names, in the set's own order; parents left out are cleared."""
        wanted = set(names)
        kept = [label for label in self.labels if label.name in wanted]
        return LabelSet(tuple(x if x.parent in wanted else replace(x, parent="") for x in kept))

    @classmethod
    def of(cls, *names: str) -> LabelSet:
        """A set of bare names, without descriptions."""
        return cls(tuple(Label(name) for name in names))


def _check(labels: Sequence[Label]) -> None:
    if not labels:
        raise LabelSetError(
            "the label set is empty", "name at least one entity type, e.g. --labels person,organization"
        )
    seen: set[str] = set()
    hotkeys: dict[str, str] = {}
    for position, label in enumerate(labels, 1):
        if not label.name.strip():
            raise LabelSetError(f"label {position} has no name", "give every label a name")
        if label.name != label.name.strip() or not label.name.isprintable():
            raise LabelSetError(
                f"label {label.name!r} has blanks around it or control characters", "write the name plainly"
            )
        if label.name in seen:
            raise LabelSetError(f"label {label.name!r} occurs twice", "names must be unique")
        if label.hotkey and label.hotkey in hotkeys:
            raise LabelSetError(
                f"labels {hotkeys[label.hotkey]!r} and {label.name!r} share the hotkey {label.hotkey!r}",
                "give each its own",
            )
        seen.add(label.name)
        hotkeys[label.hotkey] = label.name
    parents = {label.name: label.parent for label in labels}
    for label in labels:
        trail, parent = {label.name}, label.parent
        while parent:
            if parent not in seen:
                raise LabelSetError(
                    f"label {label.name!r} has the unknown parent {parent!r}", "a parent must be a label of the set"
                )
            if parent in trail:
                raise LabelSetError(f"label {label.name!r} is its own ancestor", "remove the circle of parents")
            trail.add(parent)
            parent = parents[parent]


def allocate_codes(words: Sequence[str], names: Sequence[str] | None = None) -> dict[str, str]:
    """Give every label one word that a model can answer in a single token.

    A code is a word of the label's own name, so that a small model need not
    learn a table of letters, and no two codes share their first four letters
    (nor does one begin another), so that the first token already tells them
    apart. Labels without such a word get a capital letter (two, where there are
    more labels than free letters).

    Args:
        words: The label names as words, in order.
        names: The keys of the result; the words themselves when left out.

    Returns:
        Name to code, in order; ``none`` is never a code.
    """
    keys = list(names if names is not None else words)
    options = [
        [w if w.isupper() else w.lower() for w in _WORD.findall(text)] if text.isascii() else [] for text in words
    ]
    taken = [NONE_CODE]
    codes: dict[str, str] = {}
    # Names of one word choose first: the others have a second word to fall back on.
    for position in sorted(range(len(keys)), key=lambda i: len(options[i])):
        free = [word for word in options[position] if not _clash(word, taken)]
        others = [word for i, option in enumerate(options) if i != position for word in option]
        code = next((word for word in free if not _clash(word, others)), free[0] if free else "")
        if code:
            codes[keys[position]] = code
            taken.append(code)
    letters = iter(_letters(len(keys) - len(codes), taken))
    return {key: codes.get(key) or next(letters) for key in keys}


def _clash(code: str, others: Iterable[str]) -> bool:
    """Whether a first token could not tell the code from one of the others."""
    folded = code.casefold()
    return any(
        folded[:4] == other[:4] or folded.startswith(other) or other.startswith(folded)
        for other in map(str.casefold, others)
    )


def _letters(count: int, taken: Sequence[str]) -> list[str]:
    """Codes of capital letters, all of one length, none of which begins or goes on from another code."""
    for size in itertools.count(1):
        found = ["".join(letters) for letters in itertools.product(string.ascii_uppercase, repeat=size)]
        found = [code for code in found if not any(code.startswith(t) or t.startswith(code) for t in taken)]
        if len(found) >= count:
            return found[:count]
    raise AssertionError("unreachable")
