"""How long the labelling screen takes: from a key to the paint, to open, to list a million documents.

    python benchmarks/tui_latency.py [--documents 1000000] [--keys 200] [--kills 0] [--json]

Everything is measured from outside, on the real command in a pseudo-terminal: a
key is written to it, and the time is taken until the last byte of what it paints
has been read. ``--kills 50`` kills a labelling session that many times at random
moments and checks that all it had confirmed is there.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import random
import re
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tools.annotation import Document, LabelSet, Span
from tools.annotation.prediction import Entity, Outcome, PassageResult, Vote
from tools.store import Store, fsck

QUIET = 0.025
SENTENCE = "Ada Lovelace wrote to Charles Babbage from London, and the Bank of England read it on Monday."


class Terminal:
    """The command in a pseudo-terminal."""

    def __init__(self, folder: Path, *arguments: str, size: tuple[int, int] = (80, 24)) -> None:
        self.begun = time.perf_counter()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
            os.chdir(folder)
            command = [sys.executable, "-m", "tui.main", "label", "--no-models", *arguments]
            os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
            os.execv(sys.executable, command)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def read(self, quiet: float = QUIET, at_most: float = 20.0) -> tuple[bytes, float]:
        """What comes until nothing has come for a while, and when its last byte came."""
        seen, last, end = b"", 0.0, time.perf_counter() + at_most
        while (left := end - time.perf_counter()) > 0:
            ready, _, _ = select.select([self.fd], [], [], quiet if seen else left)
            if not ready:
                break
            try:
                seen += os.read(self.fd, 1 << 16)
            except OSError:
                break
            last = time.perf_counter()
        return seen, last

    def until(self, text: str, seconds: float = 60.0) -> float:
        """Read until a text was painted; seconds since the start."""
        seen, end = b"", time.perf_counter() + seconds
        while time.perf_counter() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                seen += os.read(self.fd, 1 << 16)
                if text.encode() in re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", seen):
                    return time.perf_counter() - self.begun
        raise TimeoutError(f"{text!r} was not painted; {seen[-300:]!r}")

    def press(self, key: str) -> float:
        """Seconds from a key to the last byte of its paint."""
        begun = time.perf_counter()
        os.write(self.fd, key.encode())
        seen, last = self.read()
        return last - begun if seen else 0.0

    def close(self) -> None:
        """Leave it by its key."""
        os.write(self.fd, b"\x11")
        self.read(0.3, 5)
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def project(folder: Path) -> Path:
    """A folder with a project."""
    from agent.config import write_template

    write_template(folder, LabelSet.of("person", "organization", "location"))
    return folder / ".quorum" / "store.db"


def suggest(store: Store, name: str, spans: int) -> None:
    """Suggestions over a document, some of them nested."""
    text, rng = store.document(name).text, random.Random(5)
    votes = tuple(Vote(member, True, "person", 0.8) for member in ("list", "typed", "bare"))
    starts = sorted(rng.sample(range(len(text) - 30), spans))
    found = {Span(at, at + rng.randint(3, 25), rng.choice(("person", "location"))) for at in starts}
    entities = tuple(Entity(span, rng.random(), votes) for span in sorted(found))
    run = store.start_run({}, "benchmark")
    store.record_part(run, 0, "f", [PassageResult(name, 0, Outcome(), entities)], {})


def summary(times: list[float]) -> dict[str, float]:
    """Milliseconds: the median, the 95th percentile, the slowest."""
    ordered = sorted(times)
    cut = {"median": statistics.median(ordered), "p95": ordered[int(len(ordered) * 0.95) - 1], "slowest": ordered[-1]}
    return {name: round(1000 * value, 1) for name, value in cut.items()}


MOVES = ("\x1b[C", "\x1b[C", "\x1b[B", "\x1b[1;5C", "\t", "\x1b[A", "\x1b[D", "v", "\x1b[C", "v")
EDITS = ("\t", " ", "\t", "x", "\t", ">", "u", "u")


def keys_of(folder: Path, count: int, moves: tuple[str, ...]) -> dict[str, float]:
    """Latency of keys on the first document of a project."""
    terminal = Terminal(folder)
    terminal.until("help")
    terminal.read(0.5)
    times = []
    for number in range(count):
        if taken := terminal.press(moves[number % len(moves)]):
            times.append(taken)
        terminal.read(0.01, 0.02)
    terminal.close()
    return {**summary(times), "keys": len(times)}


def latency(folder: Path, count: int) -> dict[str, object]:
    """Keys on a sentence, on 20,000 characters with 500 spans, and on a megabyte on one line."""
    found: dict[str, object] = {}
    words = (SENTENCE + " ") * 220
    for name, text, spans in (("sentence", SENTENCE, 6), ("20,000 characters, 500 spans", words[:20_000], 500),
                              ("1 MB on one line", (SENTENCE + " ") * 11_000, 500)):  # fmt: skip
        place = folder / name.replace(" ", "_")
        with Store.open(project(place)) as store:
            store.add_documents([Document("one", text)])
            suggest(store, "one", spans)
        found[f"{name}: moving"] = keys_of(place, count, MOVES)
        found[f"{name}: deciding"] = keys_of(place, count // 2, EDITS)
    return found


def opening(folder: Path, documents: int) -> dict[str, object]:
    """Opening the screen and the queue browser in a large project."""
    place = folder / "large"
    with Store.open(project(place)) as store:
        store.add_documents(Document(f"doc-{n}", f"{SENTENCE} Number {n}.") for n in range(documents))
    starts, lists, pages, ends = [], [], [], []
    for _ in range(5):
        terminal = Terminal(place)
        starts.append(terminal.until("Lovelace"))
        terminal.read(0.4)
        lists.append(terminal.press("Q"))
        pages.append(terminal.press("\x1b[6~"))
        ends.append(terminal.press("\x1b[F"))
        os.write(terminal.fd, b"\x1b")
        terminal.read(0.3)
        terminal.close()
    return {
        "documents": documents,
        "command to first paint": summary(starts),
        "opening the queue": summary(lists),
        "a page on": summary(pages),
        "to the end": summary(ends),
    }


def killed(folder: Path, kills: int, seed: int = 7) -> dict[str, int]:
    """Kill a labelling session at random moments; what the screen had confirmed must be in the store."""
    place, rng = folder / "killed", random.Random(seed)
    path = project(place)
    with Store.open(path) as store:
        store.add_documents(Document(f"d{n}", f"{SENTENCE} Number {n}.") for n in range(5000))
    confirmed, lost, twice = 0, 0, 0
    seen_done: set[str] = set()
    for _ in range(kills):
        terminal = Terminal(place, "--annotator", "ada")
        terminal.until("help")
        shown, end = b"", time.perf_counter() + rng.uniform(0.2, 3.0)
        while time.perf_counter() < end:
            os.write(terminal.fd, rng.choice((b"p", b"\x1b[1;5C", b"\x1b[1;5C", b"l", b"\r", b"\x1b[1;5C", b"x")))
            shown += terminal.read(0.01, 0.1)[0]
        os.kill(terminal.pid, signal.SIGKILL)
        shown += terminal.read(0.1, 0.5)[0]
        os.close(terminal.fd)
        os.waitpid(terminal.pid, 0)
        done = set(re.findall(r"\u2713 (d\d+): ", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="ignore"))))
        with Store.open(path) as store:
            for name in done:
                confirmed += 1
                lost += not store.decision(name, "ada").decision.finished
            twice += len(done & seen_done)
            seen_done |= done
    with Store.open(path) as store:
        findings = len(fsck(store))
    return {"kills": kills, "confirmed": confirmed, "lost": lost, "asked twice": twice, "findings of fsck": findings}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--keys", type=int, default=200)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--only", choices=("keys", "opening", "kills"))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="quorum-latency-") as name:
        if given.only in (None, "keys"):
            found["milliseconds from key to paint"] = latency(Path(name), given.keys)
        if given.only in (None, "opening") and given.documents:
            found["milliseconds to open"] = opening(Path(name), given.documents)
        if given.kills:
            found["killed"] = killed(Path(name), given.kills)
    print(json.dumps(found, indent=None if given.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
