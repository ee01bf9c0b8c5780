"""A person's way in a real terminal, from ``quorum init`` to ``quorum export``, by keys alone and without any model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = {"a": "Ada Lovelace met Charles Babbage in London.", "b": "Rain.", "c": "Grace Hopper saw Ada Lovelace."}

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Terminal:
    """A shell in tmux, 80x24, with the ``quorum`` command.

    Args:
        folder: Where it begins.
    """

    def __init__(self, folder: Path) -> None:
        self._tmux = ["tmux", "-L", f"quorum-test-{os.getpid()}", "-f", "/dev/null"]
        script = folder / "bin" / "quorum"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tui.main "$@"\n')
        script.chmod(0o755)
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "PS1": "$ ", "ENV": "",
            "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}", "QUORUM_HOME": str(folder / "home"),
        }  # fmt: skip
        self._call("new-session", "-d", "-x", "80", "-y", "24", "-c", str(folder), "/bin/sh", environment=environment)

    def _call(self, *words: str, environment: dict[str, str] | None = None) -> str:
        ended = subprocess.run(
            [*self._tmux, *words], capture_output=True, encoding="utf-8", check=True, env=environment
        )
        return ended.stdout

    def keys(self, *names: str) -> None:
        """Press keys, by tmux's names."""
        self._call("send-keys", *names)

    def types(self, line: str) -> None:
        """Type a command and Enter; the screen is cleared before."""
        self._call("send-keys", "-l", f"clear; {line}; echo left with $?")
        self.keys("Enter")

    def shows(self, text: str, seconds: float = 60.0, *, gone: str = "\0") -> str:
        """Wait until a text is on the screen, and another is not; gives all that is there."""
        end, seen = time.monotonic() + seconds, ""
        while time.monotonic() < end:
            seen = self._call("capture-pane", "-p")
            if text in seen and gone not in seen:
                return seen
            time.sleep(0.1)
        raise AssertionError(f"{text!r} did not come:\n{seen}")

    def close(self) -> None:
        """End it."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_from_init_to_export(tmp_path: Path, terminal: Terminal) -> None:
    records = [{"id": name, "text": text} for name, text in TEXTS.items()]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")

    terminal.types("quorum init p --labels person,location")
    assert "next: describe the labels" in terminal.shows("left with 0")
    terminal.types("quorum import texts.jsonl --project p")
    assert "3 documents added" in terminal.shows("left with 0")
    terminal.types("quorum status --project p")
    assert "label a first batch" in terminal.shows("left with 0")

    terminal.types("quorum label --project p --no-models --annotator ada")
    first = terminal.shows(TEXTS["a"])
    assert "unlabelled: 3 of 3 left" in first and "p person" in first
    terminal.keys("v", "C-Right", "C-Right")
    terminal.shows("selected Ada Lovelace")
    terminal.keys("p")
    terminal.shows("\u2713 mark: person \u201cAda Lovelace\u201d")
    terminal.keys("*")
    terminal.shows("in this document")
    terminal.keys("Tab")
    terminal.shows("1 more in 1 document")
    terminal.keys("Enter")
    terminal.shows("\u2713 marked 1 in c", gone="Esc leave")
    terminal.keys("C-Right", "C-Right", "v", "C-Right", "C-Right")  # met, Charles, and both words
    terminal.shows("selected Charles Babbage")
    terminal.keys("p")
    terminal.shows("\u2713 mark: person \u201cCharles Babbage\u201d")
    terminal.keys("F")
    terminal.shows("type the letters")
    terminal.keys("Escape")
    terminal.shows(TEXTS["a"])
    terminal.keys("u")
    terminal.shows("\u2713 taken back: mark")
    terminal.keys("U")
    terminal.shows("\u2713 done again: mark")
    terminal.keys("Enter")
    terminal.shows("\u2713 a: 2 marked")
    terminal.keys("?")
    terminal.shows("To the next suggestion")
    terminal.keys("?")
    terminal.shows("Rain.", gone="Esc closes")
    terminal.keys("-")
    terminal.shows("Grace Hopper")
    terminal.keys("!")
    terminal.shows("what is the matter?")
    terminal.keys("C-q")  # from the note, too; nothing was set aside
    assert "2 of 3 documents are done" in terminal.shows("left with 0")

    terminal.types("quorum label --project p --no-models --annotator ada")
    terminal.shows("unlabelled: 1 of 3 left")
    terminal.keys("v", "C-Right", "C-Right", "p")
    terminal.shows("\u2713 mark: person \u201cGrace Hopper\u201d")
    terminal.keys("Enter")
    terminal.shows("all 3 documents of this queue are done")
    terminal.keys("C-c")
    terminal.shows("left with 0")

    terminal.types("quorum export --project p --output gold.jsonl")
    terminal.shows("left with 0")
    lines = (tmp_path / "gold.jsonl").read_text(encoding="utf-8").splitlines()
    found = {one["id"]: [(e["text"], e["label"]) for e in one["entities"]] for one in map(json.loads, lines)}
    assert found == {
        "a": [("Ada Lovelace", "person"), ("Charles Babbage", "person")],
        "b": [],
        "c": [("Grace Hopper", "person"), ("Ada Lovelace", "person")],
    }
