"""A project as the labelling screen sees it: its types, keys and guidelines, and their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.annotation.labels import LabelSet
from tui.keymap import Keymap, make_keymap
from tui.labelling.child import Child, Told


@dataclass
class Project:
    """What a person can change while labelling: the types, and the guidelines.

    Attributes:
        name: The project's name.
        root: Its folder.
        labels: The types in force.
        labels_path: Where they are kept.
        keys: The ``[keys]`` table.
        guidelines: Version and text.
        ask_models: Whether a helper process asks the project's models for suggestions.
    """

    name: str
    root: Path
    labels: LabelSet
    labels_path: Path
    keys: Mapping[str, Any] = field(default_factory=dict)
    guidelines: tuple[int, str] = (0, "")
    ask_models: bool = False
    _helpers: dict[str, tuple[Child, list[Told]]] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """Where helper processes write their diagnostics."""
        return self.root / ".quorum" / "helpers.log"

    def helper(self, module: str, told: Told) -> Child:
        """A helper process of this project, started at its first use and kept.

        Args:
            module: A module with a ``main``; its one argument is the project's folder.
            told: Told what the helper says from now on, instead of who was told before.

        Raises:
            EngineError: It cannot be started.
        """
        if module in self._helpers:
            child, listeners = self._helpers[module]
            if child.wait(0) is None:
                listeners[0] = told
                return child
        listeners = [told]
        child = Child(module, [str(self.root)], lambda message: listeners[0](message), self.log)
        self._helpers[module] = child, listeners
        return child

    def close(self) -> None:
        """End the helper processes; returns at once, they stop what they started by themselves."""
        for child, _ in self._helpers.values():
            child.close()

    @property
    def keymap(self) -> Keymap:
        """The keys for these types.

        Raises:
            ConfigError: The table is wrong.
        """
        return make_keymap(self.labels, self.keys, str(self.root / "quorum.toml") + " [keys]")
