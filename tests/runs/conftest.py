"""What tests of runs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.corpus import write_corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "in.jsonl", 100)
