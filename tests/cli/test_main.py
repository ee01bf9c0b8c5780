"""The root command: laziness, speed, how errors are told."""

from __future__ import annotations

import importlib
import re
import resource
import signal
import subprocess
import sys

import pytest
import typer

from tests.cli.run import ROOT, process, quorum
from tools.errors import ConfigError, QuorumLost
from tui.main import COMMANDS, LazyCommand, run

HEAVY = ("torch", "vllm", "textual", "chromadb", "transformers", "langgraph", "pyarrow", "pydantic", "numpy", "jinja2")


def modules_after(*arguments: str) -> set[str]:
    script = (
        "import sys\nfrom tui.main import run\nstatus = run(sys.argv[1:])\n"
        "print('MODULES', *sys.modules, file=sys.stderr)\nsys.exit(status)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return {name.split(".")[0] for name in ended.stderr.rpartition("MODULES")[2].split()}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert not modules_after(*arguments) & set(HEAVY)


def test_light_commands_stay_light() -> None:
    assert not modules_after("prompts", "list") & {"torch", "vllm", "textual", "chromadb", "langgraph", "pyarrow"}
    assert not modules_after("config", "show", "--defaults") & {"torch", "vllm", "textual", "chromadb", "langgraph"}


def test_help_is_quick() -> None:
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        status, _, _ = process("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert status == 0
    # Processor time, because tests share their machine: waiting for a turn is not the command's doing.
    assert min(times) < 0.3, times


def test_help_lists_every_command() -> None:
    status, out, _ = quorum("--help")
    assert status == 0
    for name, entry in COMMANDS.items():
        assert re.search(rf"│ {name} +{re.escape(entry.help[:30])}", out), name


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    module = importlib.import_module(f"tui.commands.{COMMANDS[name].module}")
    assert hasattr(module, COMMANDS[name].attribute)
    status, out, err = quorum(name, "--help")
    assert status == 0, err
    assert f"quorum {name}" in out
    # Rich takes words in square brackets for markup and leaves them out.
    function = getattr(module, COMMANDS[name].attribute)
    if not isinstance(function, typer.Typer):
        assert not re.search(r"(?<!\\)\[[a-z]", function.__doc__ or "")


def test_stand_ins_know_no_parameters() -> None:
    command = LazyCommand("doctor", COMMANDS["doctor"])
    assert not command.params
    assert command.help == COMMANDS["doctor"].help


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["nonsense"], "quorum: No such command 'nonsense'", "hint: see quorum --help"),
        (["config", "schema", "--x"], "quorum: No such option: --x", "hint: see quorum config schema --help"),
        (["prompts", "diff"], "quorum: Missing argument", "hint: see quorum prompts diff --help"),
        (["config", "check", "--project", "/nowhere"], "quorum: /nowhere/quorum.toml: no such file", "quorum init"),
    ],
)
def test_mistakes_are_told_in_two_lines(arguments: list[str], message: str, hint: str) -> None:
    status, out, err = quorum(*arguments)
    assert status == 2
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 2, err
    assert lines[0].startswith(message)
    assert hint in lines[1]


def test_a_near_miss_is_suggested() -> None:
    assert "extract" in quorum("extrct")[2]


def test_no_command_shows_help() -> None:
    status, out, err = quorum()
    assert status == 2
    assert "Usage: quorum" in out
    assert err == ""


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def fails() -> None:
        raise error

    module = importlib.import_module("tui.commands.fsck")
    monkeypatch.setattr(module, "fsck", fails)
    return run(["fsck"])


def test_exit_status_is_the_errors_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("QUORUM_DEBUG", raising=False)
    assert raising(monkeypatch, QuorumLost("two members are down", "start them")) == 3
    assert capsys.readouterr().err == "quorum: two members are down\nhint: start them\n"
    assert raising(monkeypatch, ConfigError("no hint here")) == 2
    assert capsys.readouterr().err == "quorum: no hint here\n"
    assert raising(monkeypatch, KeyboardInterrupt()) == 130
    assert raising(monkeypatch, typer.Exit(7)) == 7


def test_messages_cannot_disturb_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("QUORUM_DEBUG", raising=False)
    raising(monkeypatch, ConfigError("file \x1b[2J\n\udc80 \u202e", "hint\x07"))
    err = capsys.readouterr().err
    assert err == "quorum: file \\x1b[2J\\n\\udc80 \\u202e\nhint: hint\\x07\n"


def test_debug_shows_the_traceback(tmp_path) -> None:
    for arguments, environment in (
        (["--debug", "config", "check", "--project", tmp_path], {}),
        (["config", "check", "--project", tmp_path], {"QUORUM_DEBUG": "1"}),
    ):
        status, _, err = quorum(*arguments, **environment)
        assert status == 2
        assert "Traceback" in err
        assert err.splitlines()[-2].startswith("quorum: ")
    assert "Traceback" not in quorum("config", "check", "--project", tmp_path)[2]


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        raising(monkeypatch, ZeroDivisionError())


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m tui.main config schema | head -c 1"
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert ended.stderr == ""
    assert ended.stdout == "{"
    assert ended.returncode == 0


def test_interrupted_is_130() -> None:
    # A shell that starts this in the background hands down an ignored SIGINT; a person's terminal does not.
    script = "import signal, sys, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    script += "from tui.commands import fsck\n"
    script += "def slow():\n    print('on', flush=True)\n    time.sleep(30)\n"
    script += "fsck.fsck = slow\nfrom tui.main import run\nsys.exit(run(['fsck']))"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "")


def test_shell_completion_knows_the_commands() -> None:
    status, out, _ = process(
        _QUORUM_COMPLETE="complete_bash", COMP_WORDS="quorum ex", COMP_CWORD="1", _TYPER_COMPLETE_ARGS="quorum ex"
    )
    assert "extract" in out
    assert "doctor" not in out
    assert status == 0
    _, out, _ = process(
        _QUORUM_COMPLETE="complete_bash",
        COMP_WORDS="quorum config sh",
        COMP_CWORD="2",
        _TYPER_COMPLETE_ARGS="quorum config sh",
    )
    assert "show" in out
