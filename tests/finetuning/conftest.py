from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.finetuning.tiny import write_tiny


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random checkpoint."""
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tokenizer(tiny: Path) -> Any:
    """Its tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny)


@pytest.fixture(scope="session")
def starter_tokenizer(starter_path: Path) -> Any:
    """The tokenizer of the model that the recipe trains."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(starter_path)
