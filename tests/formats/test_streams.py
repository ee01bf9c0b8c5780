"""Large files take no large memory: measured in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, resource, sys
from pathlib import Path
from tools.annotation import Document, Span
from tools.formats.annotated import read_annotated, write_annotated
from tools.formats.items import Annotated, Layer, Mention
from tools.formats.registry import FORMATS

name, path, megabytes = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
line = "Ada Lovelace wrote to Charles Babbage from London \\U0001f440, and it rained.\\n"
text = line * 100

def items(count):
    for n in range(count):
        mentions = tuple(Mention(Span(k * len(line), k * len(line) + 12, "person")) for k in range(0, 100, 10))
        yield Annotated(Document(f"d{n}", text), (Layer(mentions, "ada"),))

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

write_annotated(path, items(3), FORMATS[name])
size = path.stat().st_size / 3
sum(1 for _ in read_annotated(path, FORMATS[name]))
before = peak()
count = int(megabytes * 1e6 / size)
write_annotated(path, items(count), FORMATS[name])
written = peak()
read = sum(len(item.layers[0].mentions) for item in read_annotated(path, FORMATS[name]))
print(json.dumps([before, written, peak(), path.stat().st_size / 1e6, read == 10 * count]))
"""


@pytest.mark.parametrize(
    ("name", "ending", "megabytes"),
    [("jsonl", "jsonl", 50), ("labelstudio", "json", 20), ("prodigy", "jsonl", 20), ("conll", "conll", 6)],
)
def test_memory_stays_flat(tmp_path: Path, name: str, ending: str, megabytes: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, name, str(tmp_path / f"big.{ending}"), str(megabytes)],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=240,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    before, written, read, size, whole = json.loads(ended.stdout)
    assert whole
    assert size > 0.9 * megabytes
    # A few chunks and documents, and the table of ids: far from the file's size.
    assert written - before < 12
    assert read - before < 12
