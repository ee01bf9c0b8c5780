"""Draw the labelling screen for the README: the real screen, on a project made for it.

    python docs/picture.py [--out docs/label.svg] [--size 110x30] [--theme standard]

Writes the SVG, and a PNG beside it where a headless Chromium is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent.configtemplate import labels_toml
from tools.annotation import Document, Label, LabelSet, Span
from tools.annotation.prediction import Entity, Outcome, PassageResult, Vote
from tools.store import Store
from tui.app import QuorumApp
from tui.labelling.project import Project
from tui.labelling.queue import StoreQueue
from tui.labelling.session import Session
from tui.screens.label import LabelScreen

LABELS = LabelSet(
    (
        Label("person", "real and invented people, by name", ("Ada Lovelace",), ("the governor",)),
        Label("organization", "companies, authorities and other organised groups"),
        Label("location", "places that have a name, also inside the name of something else"),
        Label("date", "days, months and years"),
    )
)
GUIDELINES = "Titles are not part of a name.\n\nA place inside the name of an organization is marked, too.\n"
TEXT = (
    "Ada Lovelace wrote to Charles Babbage from London in June 1843. She had translated the notes of Luigi Menabrea, "
    "who had heard Babbage speak in Turin, and asked whether the Royal Astronomical Society of Great Britain would "
    "print them. Mary Somerville, a friend of both, read the proofs in Rome.\n\n"
    "A printer in Geneva set them again, and Zoë Müller reviewed that edition in Zürich."
)
SUGGESTED = (
    ("Ada Lovelace", "person", 0.97), ("Charles Babbage", "person", 0.95), ("London", "location", 0.98),
    ("June 1843", "date", 0.91), ("Luigi Menabrea", "person", 0.88), ("Turin", "location", 0.93),
    ("Royal Astronomical Society of Great Britain", "organization", 0.74), ("Great Britain", "location", 0.52),
    ("Mary Somerville", "person", 0.9), ("Rome", "location", 0.95), ("Geneva", "location", 0.66),
    ("Zoë Müller", "person", 0.81), ("Zürich", "location", 0.9),
)  # fmt: skip
KEYS = ("space",) * 6


def suggested(mention: str, label: str, confidence: float) -> Entity:
    """A suggestion with its votes."""
    start = TEXT.index(mention)
    doubted = {"bare": ""} if confidence < 0.6 else {}
    votes = tuple(Vote(name, True, doubted.get(name, label), confidence) for name in ("list", "typed", "bare"))
    return Entity(Span(start, start + len(mention), label), confidence, votes, 0.9)


async def draw(out: Path, size: tuple[int, int], theme: str, keys: tuple[str, ...] = KEYS) -> None:
    """Let the screen run without a terminal, press some keys, and write what it shows."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "labels.toml").write_text(labels_toml(LABELS), encoding="utf-8")
        with Store.open(root / ".quorum" / "store.db", shared=True) as store:
            store.add_documents([Document("letter-17", TEXT), *(Document(f"letter-{n}", "x") for n in range(18, 143))])
            store.save_label_set(LABELS)
            store.save_guidelines(GUIDELINES, "ada")
            run = store.start_run({}, "picture")
            found = tuple(suggested(*one) for one in SUGGESTED)
            store.record_part(run, 0, "f", [PassageResult("letter-17", 0, Outcome(), found)], {})
            project = Project("letters", root, LABELS, root / "labels.toml", {}, store.guidelines())
            app = QuorumApp(theme)
            app.first = lambda: LabelScreen(project, Session(store, "grace", StoreQueue(store, "grace")))
            async with app.run_test(size=size) as pilot:
                await pilot.pause()
                await pilot.press(*keys)
                await pilot.pause()
                out.write_text(app.export_screenshot(title="quorum label"), encoding="utf-8")


def to_png(svg: Path) -> Path | None:
    """The SVG as PNG, where a Chromium is there."""
    browser = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if browser is None:
        return None
    box = svg.read_text(encoding="utf-8").split('viewBox="0 0 ', 1)[1].split('"', 1)[0].split()
    width, height = (round(float(value)) for value in box)
    png = svg.with_suffix(".png")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        image = f'<img src="{svg.resolve().as_uri()}" width="{width}">'
        page.write_text(f'<body style="margin:0">{image}</body>', encoding="utf-8")
        options = [
            "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files",
            f"--screenshot={png.resolve()}", f"--window-size={width},{height}", f"--user-data-dir={folder}/profile",
        ]  # fmt: skip
        subprocess.run([browser, *options, page.as_uri()], check=True, capture_output=True, timeout=120)
    return png


def main() -> int:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("label.svg"))
    parser.add_argument("--size", default="110x30")
    parser.add_argument("--theme", default="standard")
    parser.add_argument("--keys", nargs="*", default=list(KEYS))
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    asyncio.run(draw(given.out, (width, height), given.theme, tuple(given.keys)))
    png = to_png(given.out)
    print(f"wrote {given.out}" + (f" and {png}" if png else "; no Chromium, so no PNG"), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
