"""A server that misbehaves in the middle of a run: a line, a hint, and the same command goes on when it is well again."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.cli.faulty import FAULTS, Fault, Faulty, serving
from tests.cli.run import quorum
from tests.cli.test_bad_input import extract

TEXTS = {f"d{number}": f"Ada met Bob on day {number}." for number in range(24)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in TEXTS.items()))
    return path


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_goes_wrong_and_comes_back(source: Path, tmp_path: Path, fault: Fault) -> None:
    output = tmp_path / "out.jsonl"
    with serving(Faulty(fault, after=16)) as server:
        code, out, lines = extract(server, source, output)
        assert out == ""
        assert not output.exists()
        said, hint = lines[-2:]
        assert said.startswith("quorum: ")
        assert hint.startswith("hint: ")
        assert hint.count("same command") == 1
        if fault == "garbage":
            # The server lives and talks nonsense: passages fail, and three failed parts in a row end the run.
            assert code == 1
            assert "every passage of 3 parts in a row failed" in said
            assert "bad_response" in said
        else:
            assert code == 3
            assert "0 of 2 members answer" in said
        before = server.answered
        server.fault = ""
        code, out, lines = extract(server, source, output, "--json")
        assert code == 0, lines
        summary = json.loads(out)
        assert summary["skipped"] >= 8, "the parts done before the fault are not done again"
        failed = summary["dead_letters"]
        assert failed == (12 if fault == "garbage" else 0)
        assert server.answered - before == 2 * (24 - summary["skipped"])
        if failed:
            code, _, err = quorum("retry", "--output", output, QUORUM_MEMBERS="")
            assert code == 0, err
            assert "12 mended, 0 failed again" in err
    with output.open() as stream:
        found = [json.loads(line) for line in stream]
    assert {r["id"]: r["text"] for r in found} == TEXTS
    assert len(found) == len(TEXTS)
    assert {r["outcome"]["kind"] for r in found} == {"ok"}


def test_a_server_that_says_nothing_is_noticed_before_the_run(source: Path, tmp_path: Path) -> None:
    """It accepts connections and never answers: told within seconds, not after the patience of a request."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        members = json.dumps([{"name": "a", "model": f"http://127.0.0.1:{silent.getsockname()[1]}/v1"}])
        code, _, err = quorum("extract", "-i", source, "-o", tmp_path / "o.jsonl", "-l", "a,b", QUORUM_MEMBERS=members)
    assert code == 2
    assert "Traceback" not in err
    assert len(err.splitlines()) == 2
    assert not (tmp_path / "o.jsonl").exists()
