"""Runs that several tests look at; made once."""

from __future__ import annotations

import pytest

from tests.evals.two_runs import Made, make


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Real runs with scripted models."""
    return make(tmp_path_factory.mktemp("evals"))
