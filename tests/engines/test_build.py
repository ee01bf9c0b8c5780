from __future__ import annotations

import subprocess
import sys

import pytest

import agent.engines as engines
from agent.engines.build import EngineSpec, build_engine
from agent.engines.protocol import Engine
from tools.errors import EngineError, ModelError


def test_a_description_makes_an_engine(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SOME_KEY", "secret")
    made = [
        build_engine(EngineSpec("vllm-server", "m", "http://127.0.0.1:1", revision="r", context_tokens=9)),
        build_engine(
            EngineSpec(
                "openai", "m", "http://127.0.0.1:1", api_key_variable="SOME_KEY", path=str(tmp_path), context_tokens=9
            )
        ),
        build_engine(EngineSpec("transformers", str(tmp_path), name="t", context_tokens=9)),
        build_engine(EngineSpec("vllm", str(tmp_path), name="v", context_tokens=9)),
    ]
    assert all(isinstance(engine, Engine) for engine in made)
    assert [engine.context_tokens for engine in made] == [9] * 4
    assert len({engine.model_revision for engine in made}) == 4
    assert made[0].model_revision == "vllm:m@r"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (EngineSpec("vllm-server", "m"), "has no URL"),
        (EngineSpec("vllm-server", "", "http://x"), "needs a model"),
        (EngineSpec("openai", "m", "http://x", api_key_variable="NO_SUCH_VARIABLE_HERE"), "is empty"),
        (EngineSpec("llama", "m"), "unknown engine kind"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_description_is_told_in_a_line(spec: EngineSpec, said: str) -> None:
    with pytest.raises(EngineError, match=said) as caught:
        build_engine(spec)
    assert caught.value.hint


@pytest.mark.transformers
def test_an_unknown_model_is_told_in_a_line(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    engine = build_engine(EngineSpec("transformers", str(tmp_path / "absent")))
    with pytest.raises(EngineError, match="no model at"):
        _ = engine.context_tokens
    with pytest.raises(ModelError, match="no tokenizer"):
        engine.count_tokens("x")


def test_every_name_is_there() -> None:
    for name in engines.__all__:
        assert getattr(engines, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = engines.Nonsense


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = """
import sys
from agent.engines import Request, build_engine, EngineSpec, ResilientEngine, CachedEngine, MemoryCache, ScriptedEngine
build_engine(EngineSpec("vllm-server", "m", "http://127.0.0.1:1"))
build_engine(EngineSpec("transformers", "m")), build_engine(EngineSpec("vllm", "m"))
heavy = {"torch", "vllm", "transformers", "textual", "chromadb", "langchain_core", "sentence_transformers"}
sys.exit(", ".join(sorted(heavy & set(sys.modules))) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
