"""The command itself: in a real terminal, killed at random moments, and where there is no terminal."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.run import process, quorum
from tools.store import Store, fsck

ROOT = Path(__file__).parents[2]
SCRIPT = """
import asyncio, random, sys
from tools.store import Store
from tools.annotation import LabelSet
from tui.app import QuorumApp
from tui.labelling.project import Project
from tui.labelling.queue import StoreQueue
from tui.labelling.session import Session
from tui.screens.label import LabelScreen
from pathlib import Path

async def work():
    rng = random.Random(int(sys.argv[2]))
    with Store.open(sys.argv[1], shared=True, durable=True) as store:
        labels = LabelSet.of("person", "location")
        session = Session(store, "ada", StoreQueue(store, "ada"))
        app = QuorumApp()
        screen = LabelScreen(Project("p", Path("."), labels, Path("labels.toml")), session)
        app.first = lambda: screen
        async with app.run_test() as pilot:
            while session.document is not None and session.left:
                key = rng.choice(["p", "l", "ctrl+right", "ctrl+right", "x", "enter", "enter", "u"])
                await pilot.press(key)
                if screen.says.startswith("\\u2713"):
                    done = sorted(name for (name,) in store.database.query(
                        "SELECT d.id FROM annotations a JOIN documents d ON d.seq = a.doc WHERE a.state = 'done'"))
                    last = store.last_action("ada")
                    print("\\t".join([str(last.action if last else 0), str(len(done)), screen.says]), flush=True)
asyncio.run(work())
"""


def test_two_processes_label_at_once(tmp_path: Path) -> None:
    """Two people, a window each, one store: both keep all that their screens confirmed, and nothing of the other's."""
    from tools.annotation import Document

    path = tmp_path / "s.db"
    with Store.open(path) as store:
        store.add_documents(Document(f"d{n}", "Ada met Grace in London.") for n in range(30))
    children = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT.replace('"ada"', f'"{who}"'), str(path), str(seed)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for seed, who in enumerate(("ada", "grace"))
    ]  # fmt: skip
    said = []
    for child in children:
        out, err = child.communicate(timeout=300)
        assert child.returncode == 0, err
        said.append([line.split("\t") for line in out.splitlines() if line.count("\t") == 2])
    assert all(said)
    with Store.open(path) as store:
        assert fsck(store) == []
        assert store.finished_count() == 30, "both went on until nothing was left"
        for who, lines in zip(("ada", "grace"), said, strict=True):
            last = store.last_action(who)
            assert last is not None and last.action >= int(lines[-1][0])
            for number in range(30):
                held, gold = store.decision(f"d{number}", who).decision, store.gold(f"d{number}", who)
                assert (gold.spans if gold else ()) == held.spans
        done = {
            who: {n for n in range(30) if store.decision(f"d{n}", who).decision.finished} for who in ("ada", "grace")
        }
        assert done["ada"] | done["grace"] == set(range(30)) and all(done.values())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_killed_at_random_moments_nothing_confirmed_is_lost_or_asked_twice(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    from tools.annotation import Document

    with Store.open(path) as store:
        store.add_documents(Document(f"d{n}", "Ada met Grace in London.") for n in range(400))
    rng = random.Random(3)
    asked: set[str] = set()
    for turn in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(path), str(turn)], stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert child.stdout is not None
        lines = [child.stdout.readline()]
        end = time.monotonic() + rng.uniform(0.3, 1.5)
        while time.monotonic() < end:
            lines.append(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().splitlines()
        child.wait()
        said = [line.rstrip("\n").split("\t") for line in lines if line.count("\t") == 2]
        assert said
        finished = [text.split()[1].rstrip(":") for _, _, text in said if text[2:3] == "d" and text[3:4].isdigit()]
        with Store.open(path) as store:
            held = store.database.first("SELECT coalesce(max(action), 0) FROM actions")
            assert held is not None and held[0] >= int(said[-1][0]), "an action that was confirmed is gone"
            assert fsck(store) == []
            undone = {text.split(" in ")[1].split(":")[0] for _, _, text in said if text.startswith("✓ taken back in ")}
            again = {name for name in finished if name in asked} - undone
            assert not again, "finished before the kill and asked once more"
            for name in set(finished) - undone:
                asked.add(name)
                assert store.decision(name, "ada").decision.finished


def make_project(folder: Path) -> Path:
    texts = folder / "texts.jsonl"
    records = [{"id": "a", "text": "Ada Lovelace met Charles Babbage in London."}, {"id": "b", "text": "Rain."}]
    texts.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    project = folder / "p"
    assert quorum("init", project, "--labels", "person,location")[0] == 0
    assert quorum("import", texts, "--project", project)[0] == 0
    return project


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "needs a terminal"),
        (("--theme", "pink"), "no theme 'pink'"),
        (("--queue", "missing.txt"), "missing.txt: cannot be read"),
    ],
)
def test_what_a_person_did_wrong_is_told_in_a_line(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    project = make_project(tmp_path)
    status, out, err = process("label", "--project", project, *arguments)
    assert status == 2 and not out
    assert says in err and "hint:" in err and "Traceback" not in err


def test_wrong_keys_in_the_project_file_are_told_before_the_screen_opens(tmp_path: Path) -> None:
    from tools.errors import ConfigError
    from tui.commands.common import load_project
    from tui.commands.label import make_queue, open_for_labelling, open_project

    project = make_project(tmp_path)
    with (project / "quorum.toml").open("a") as file:
        file.write('\n[keys]\npreset = "vim"\naccept = "z"\nundo = ["z", "u"]\n')
    with open_for_labelling(load_project(project)) as store, pytest.raises(ConfigError, match="both want the key z"):
        open_project(load_project(project), store)
    text = (project / "quorum.toml").read_text().replace('undo = ["z", "u"]', "").replace('"z"', '"y"')
    (project / "quorum.toml").write_text(text)
    with open_for_labelling(load_project(project)) as store:
        opened = open_project(load_project(project), store)
        assert opened.keymap.commands["y"] == "accept" and opened.keymap.preset == "vim"
        assert make_queue(store, "ada", ["b"]).next(None) == "b"


def test_the_screen_imports_nothing_heavy() -> None:
    code = (
        "import sys, tui.commands.label, tui.app, tui.screens.label, tui.labelling.session;"
        "print([m for m in ('torch', 'vllm', 'chromadb', 'transformers', 'numpy', 'pyarrow', 'langgraph') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
