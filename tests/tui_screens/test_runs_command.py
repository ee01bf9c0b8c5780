"""``quorum watch``, ``quorum demos browse`` and ``quorum config check --screen`` as commands, without a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tui_screens.runs_made import FAILING, finished
from tools.annotation import LabelSet
from tui.main import run

pytestmark = pytest.mark.usefixtures("own_state")


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def test_one_look_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = finished(tmp_path)
    for name in (tmp_path / "out.jsonl", store):
        code, out, _ = told(capsys, "watch", str(name), "--json")
        found = json.loads(out)
        assert code == 0
        assert (found["state"], found["documents"], found["dead_letters"]) == ("complete", 100, len(FAILING))
        assert {member["name"] for member in found["members"]} == {"list", "typed", "bare"}


def test_what_a_person_does_wrong_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(tmp_path)
    project = tmp_path / "project"
    from agent.config import write_template

    write_template(project, LabelSet.of("name"))
    output = str(tmp_path / "out.jsonl")
    for arguments, says in (
        (("watch", str(tmp_path / "other.jsonl")), "there is no run"),
        (("watch", output, "--project", str(project)), "both name a run"),
        (("watch", output, "--run", "9", "--json"), "no run 9"),
        (("watch", output, "--theme", "pink"), "no theme"),
        (("watch", output), "needs a terminal"),
        (("watch", "--project", str(tmp_path / "none")), "no such file"),
        (("watch", "--project", str(project)), "no store yet"),
        (("demos", "browse", "--project", str(project)), "needs a terminal"),
        (("demos", "browse", "--project", str(project), "--theme", "pink"), "no theme"),
        (("config", "check", "--screen", "--project", str(project)), "needs a terminal"),
        (("config", "check", "--screen", "--project", str(tmp_path / "none")), "no such folder"),
    ):
        code, out, err = told(capsys, *arguments)
        assert code == 2, arguments
        assert says in err, arguments
        assert "hint: " in err
        assert not out
        assert "Traceback" not in err
