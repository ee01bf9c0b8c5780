"""A real run, killed at random moments and started again until it is done; then compared.

Run as ``python -m tests.runs.kill_real --kills 20``: `quorum extract` over
sentences of ``examples/`` through a real vLLM server, in a project of its own.
Killed is the command, with SIGKILL; the server goes on, as it does for a user.

Two outputs stand beside the killed one. A *replay* is an unbroken run in the
same project, whose models' answers come from the project's response cache: it
must be equal byte for byte. A *fresh* run asks the models again: batches of a
server differ from call to call and with them the last digits of
probabilities, so its documents must be the same ones and its entities nearly.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.config import write_template
from agent.runs.ledger import Ledger, find_run
from tools.annotation import LabelSet
from tools.errors import StoreError
from tools.store import Store, fsck

ROOT = Path(__file__).resolve().parents[2]
LABELS = LabelSet.of("person", "organization", "location")


@dataclass(frozen=True, slots=True)
class Killed:
    """What a killed run came to.

    Attributes:
        kills: How often it was killed.
        moments: Seconds after its start at each kill.
        parts: Recorded parts after each kill, never falling.
    """

    kills: int
    moments: tuple[float, ...]
    parts: tuple[int, ...]


def corpus(path: Path, count: int) -> Path:
    """Short documents of all sample sets, in turns, with ids of their own."""
    texts = []
    for name in ("news", "materials", "biomedicine", "scripts"):
        with (ROOT / "examples" / name / "test.jsonl").open(encoding="utf-8") as stream:
            texts.append([json.loads(line)["text"] for line in stream])
    mixed = [column[row] for row in range(max(map(len, texts))) for column in texts if row < len(column)]
    lines = [json.dumps({"id": f"doc-{number:04d}", "text": text}) for number, text in enumerate(mixed[:count])]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def project(folder: Path, url: str, *, members: Sequence[str] = ("list", "typed", "bare"), batch: int = 2) -> Path:
    """A project whose members are the starter's, on a running server."""
    write_template(folder, LABELS)
    config = folder / "quorum.toml"
    prompts = {"list": ("spans.v1", "marked.v1"), "typed": ("typed.v1", "asked.v1"), "bare": ("spans.v1", "marked.v1")}
    tables = "".join(
        f'\n[[members]]\nname = "{name}"\nmodel = "served"\nextract = "{prompts[name][0]}"\n'
        f'classify = "{prompts[name][1]}"\n'
        for name in members
    )
    text = config.read_text(encoding="utf-8").replace("\n[run]\n", f"\n[run]\nbatch = {batch}\nin_flight = 3\n")
    assert "in_flight = 3\n" in text
    config.write_text(f'{text}\n[models.served]\nsource = "{url}#starter"\n{tables}', encoding="utf-8")
    return folder


def command(source: Path, output: Path, folder: Path) -> list[str]:
    """The command line of a run."""
    return [
        *(sys.executable, "-m", "tui.main", "extract", "--input", str(source), "--output", str(output)),
        *("--project", str(folder)),
    ]


def whole(source: Path, output: Path, folder: Path, environment: Mapping[str, str]) -> None:
    """An unbroken run."""
    ended = subprocess.run(
        command(source, output, folder), cwd=ROOT, env=dict(environment), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def recorded(folder: Path, output: Path) -> int:
    """How many parts of a run are on disk, seen from outside."""
    try:
        with Store.open(folder / ".quorum" / "store.db", read_only=True) as store:
            found = find_run(store, str(output.resolve()))
            return 0 if found is None else len(Ledger.of(store, found).parts)
    except StoreError:
        return 0  # it is being made just now


def kill_until_done(
    source: Path,
    output: Path,
    folder: Path,
    *,
    kills: int,
    rng: random.Random,
    environment: Mapping[str, str],
    longest: float,
    say: Callable[[str], object] = lambda line: None,
) -> Killed:
    """Start a run, kill it at a random moment, start it again; the last start is left to end.

    A run that ends by itself before all kills is not begun again.

    Args:
        source: The input.
        output: The output.
        folder: The project.
        kills: How often to kill.
        rng: Draws the moments.
        environment: Of the processes.
        longest: The most seconds that every other start lives; the rest live until a part more is recorded.
        say: Told about each kill.

    Raises:
        AssertionError: Something that was recorded is gone, an unfinished output
            was written, or the run ended with an error.
    """
    moments: list[float] = []
    parts: list[int] = []
    known = 0
    while len(moments) < kills:
        began = time.monotonic()
        process = subprocess.Popen(
            command(source, output, folder),
            cwd=ROOT, env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            # Half of them anywhere, while modules load or parts are checked; the others once it works again.
            if len(moments) % 2:
                while process.poll() is None and recorded(folder, output) <= known:
                    time.sleep(0.02)
                wait = rng.uniform(0.0, 0.7)
            else:
                wait = rng.uniform(0.1, longest)
            process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        else:
            # Done before the killer came: so it is on a fast machine.
            assert process.stderr is not None
            assert process.returncode == 0, process.stderr.read().decode()
            break
        finally:
            process.kill()
        now = recorded(folder, output)
        assert now >= known, f"{known} parts were recorded, {now} are left"
        if output.exists():
            # Killed between its last act and its end: then all of it must be there.
            assert len(records(output)) == len(records(source)), "an unfinished run has written its output"
            break
        known = now
        moments.append(time.monotonic() - began)
        parts.append(now)
        say(f"kill {len(moments)} after {moments[-1]:.1f} s: {now} parts are recorded")
    whole(source, output, folder, environment)
    return Killed(len(moments), tuple(moments), tuple(parts))


def records(path: Path) -> list[dict[str, Any]]:
    """The records of an output."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def entities(output: Sequence[Mapping[str, Any]]) -> Counter[tuple[str, int, int, str]]:
    """Document, place and label of every entity."""
    return Counter((r["id"], e["start"], e["end"], e["label"]) for r in output for e in r["entities"])


def check(source: Path, output: Path, replay: Path, folder: Path) -> None:
    """Every document once and in order, the text as it was, and equal to an unbroken run of the same answers.

    Raises:
        AssertionError: It is not so.
    """
    given, found = records(source), records(output)
    assert [(r["id"], r["text"]) for r in found] == [(r["id"], r["text"]) for r in given]
    assert all(r["text"][e["start"] : e["end"]] == e["text"] for r in found for e in r["entities"])
    assert {r["outcome"]["kind"] for r in found} <= {"ok", "repaired", "truncated", "ungrounded"}
    assert output.read_bytes() == replay.read_bytes(), "the killed run differs from an unbroken one"
    with Store.open(folder / ".quorum" / "store.db", read_only=True) as store:
        assert not [finding for finding in fsck(store) if finding.severity == "error"]


def served_starter() -> str:
    """The address of a running starter; started where there is none, and then left running."""
    from agent.models import serve

    subprocess.run([sys.executable, "-m", "tui.main", "models", "serve", "starter"], cwd=ROOT, check=True)
    return next(each.record.url for each in serve.status() if each.state == "ready")


def main() -> None:
    """The full check, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--documents", type=int, default=150)
    parser.add_argument("--longest", type=float, default=6.0, help="seconds that every other start lives at most")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--url", default="", help="a server of the starter, http://host:port/v1; else one is started")
    parser.add_argument("--folder", type=Path, help="where to work; a folder that is removed when left out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quorum-kill-") as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        url = given.url or served_starter()
        source = corpus(folder / "in.jsonl", given.documents)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        one, other = project(folder / "killed", url), project(folder / "fresh", url)
        print(f"seed {given.seed}, {given.documents} documents, {url}")
        done = kill_until_done(
            source, folder / "out.jsonl", one,
            kills=given.kills, rng=random.Random(given.seed), environment=environment, longest=given.longest, say=print,
        )  # fmt: skip
        assert done.kills == given.kills, "it ended before it was killed often enough: give it more documents"
        whole(source, folder / "replay.jsonl", one, environment)
        check(source, folder / "out.jsonl", folder / "replay.jsonl", one)
        print(f"killed {done.kills} times: {given.documents} documents, each once and in order, nothing lost;")
        print("equal byte for byte to an unbroken run of the same answers")
        began = time.monotonic()
        whole(source, folder / "fresh.jsonl", other, environment)
        killed, fresh = records(folder / "out.jsonl"), records(folder / "fresh.jsonl")
        same = killed == fresh
        ours, theirs = entities(killed), entities(fresh)
        shared = (ours & theirs).total()
        print(
            f"an unbroken run that asked the models anew ({time.monotonic() - began:.0f} s): "
            + ("equal in every byte" if same else f"{shared} entities shared of {ours.total()} and {theirs.total()}")
        )
        assert shared >= 0.95 * max(ours.total(), theirs.total())


if __name__ == "__main__":
    main()
