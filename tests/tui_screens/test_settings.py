"""The settings check: where each value comes from, what is found wrong, every key, and how it looks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

import tui.views.settings as views
from agent.config import ProjectConfig
from tests.tui_screens.conftest import app_of, drive, settled, shown
from tui.commands.doctor import Check
from tui.keymap import Command
from tui.screens.label_dialogs import Page, Pick
from tui.screens.settings import SettingsScreen
from tui.views.settings import Setting, problems, read_sheet

pytestmark = pytest.mark.usefixtures("own_state")
SIZES = ((80, 24), (120, 40))
THEMES = ("standard", "contrast")
TOML = """\
[project]
name = "letters [b]of[/b] Ada"

[models.gone]
source = "./no-such-model"

[models.spare]
source = "starter"

[[members]]
name = "one"
model = "gone"

[[members]]
name = "two"
model = "far"
weight = 2.0

[models.far]
source = "http://127.0.0.1:9/v1#far"

[run]
batch = 32
threshold = 0.5

[keys]
skip = "ctrl+x"
"""
LABELS = """\
[[labels]]
name = "person"
description = "people by name"
hotkey = "u"

[[labels]]
name = "place"
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("QUORUM_") and name != "QUORUM_HOME"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("QUORUM_RUN__THRESHOLD", "0.75")
    monkeypatch.chdir(tmp_path)
    folder = Path("letters")
    folder.mkdir()
    (folder / "quorum.toml").write_text(TOML)
    (folder / "labels.toml").write_text(LABELS)
    return folder


@pytest.fixture
def no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what differs from machine to machine."""
    monkeypatch.setattr(views, "all_checks", lambda project: iter(()))


def line_of(beginning: str) -> str:
    return f"line {1 + next(n for n, line in enumerate(TOML.splitlines()) if line.startswith(beginning))}"


def by_key(root: Path) -> dict[str, Setting]:
    return {setting.key: setting for setting in read_sheet(root).settings}


def checks(root: Path) -> dict[tuple[str, str], Check]:
    return {(check.topic, check.name): check for check in problems(read_sheet(root))}


def test_each_value_says_where_it_comes_from(root: Path) -> None:
    found = by_key(root)
    batch = found["run.batch"]
    assert (batch.value, batch.source, batch.where, batch.default) == ("32", "file", line_of("batch = 32"), "64")
    assert "extraction graph" in batch.description
    over = found["run.threshold"]
    assert (over.value, over.source, over.where) == ("0.75", "environment", "QUORUM_RUN__THRESHOLD")
    assert found["run.seed"].source == "default"
    assert found["members[two].weight"].where == line_of("weight = 2.0")
    assert found["members[one].weight"].source == "default"
    assert found["models.far.source"].where == line_of('source = "http')
    assert found["keys.skip"].where == line_of("skip")
    assert found["campaign.budget"].value == "100"


def test_every_key_of_the_schema_is_there_with_what_holds(root: Path) -> None:
    found = by_key(root)
    config = ProjectConfig.load(root)
    for name in ("project", "steps", "demonstrations", "passages", "run", "campaign"):
        section = getattr(config, name)
        for key in type(section).model_fields:
            assert f"{name}.{key}" in found
            assert found[f"{name}.{key}"].description, f"{name}.{key} has no description"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("[run]\nbatch = true\n", "batch"),
        ("[run\n", "not TOML"),
        ("[run]\nbtach = 3\n", "btach"),
        ("members = 3\n", "members"),
        ("models = []\n", "models"),
        ("keys = 1\nproject = 2\n", "quorum.toml"),
        ("[[members]]\nname = 'a'\nextract = 'none.v9'\n", "none.v9"),
        ("\x00", "not TOML"),
    ],
)
def test_a_broken_file_is_shown_with_its_fault(root: Path, wrong: str, says: str) -> None:
    (root / "quorum.toml").write_text(wrong)
    sheet = read_sheet(root)
    assert sheet.problem is not None
    assert says in sheet.problem.message
    assert sheet.settings
    first = next(iter(problems(sheet)))
    assert (first.level, first.detail) == ("failure", sheet.problem.message)

    async def work(pilot: Pilot[int], screen: SettingsScreen) -> None:
        assert "quorum.toml" in shown(pilot.app)
        await pilot.press("end", "enter")
        await pilot.pause()

    drive(lambda: SettingsScreen(root), work, (160, 24))


def test_a_wrong_variable_is_shown_with_its_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORUM_RUN__BATCH", "many")
    sheet = read_sheet(root)
    assert sheet.problem is not None
    assert "QUORUM_RUN__BATCH" in sheet.problem.message


def test_without_a_file_the_defaults_are_shown(tmp_path: Path) -> None:
    sheet = read_sheet(tmp_path, {})
    assert sheet.problem is not None
    assert "no such file" in sheet.problem.message
    assert sheet.counts["file"] == 0
    assert {setting.key for setting in sheet.settings} >= {"run.batch", "members[list].extract"}


@pytest.mark.usefixtures("no_machine")
def test_problems_of_files_members_and_keys_are_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = checks(root)
    assert found["settings", "quorum.toml"].level == "ok"
    assert found["members", "one"].level == "failure"
    assert "no-such-model" in found["members", "one"].detail
    assert found["members", "two"].level == "failure"  # nothing listens on that port
    assert "127.0.0.1:9" in found["members", "two"].detail
    assert found["members", "models.spare"].level == "info"
    assert found["labels", "descriptions"].detail == "none for place"
    assert found["labels", "keys"].level == "warning"  # u is undo's
    (root / "quorum.toml").write_text(TOML.replace('"ctrl+x"', '"u"\nundo = "u"'))
    clash = checks(root)["labels", "keys"]
    assert clash.level == "failure"
    assert "both want the key u" in clash.detail
    (root / "labels.toml").unlink()
    assert checks(root)["labels", "labels.toml"].level == "failure"
    (root / "quorum.toml").write_text('[demonstrations]\nembedder = "./gone"\n')
    assert checks(root)["demonstrations", "embedder"].level == "failure"
    (root / "quorum.toml").write_text('[models.x]\nsource = "http://127.0.0.1:9/v1"\napi_key_env = "NO_KEY"\n'
        '[[members]]\nname = "x"\nmodel = "x"\n')  # fmt: skip
    assert "NO_KEY is not set" in checks(root)["members", "x"].detail


def test_what_doctor_knows_is_there_too(root: Path) -> None:
    found = checks(root)
    assert ("versions", "python") in found
    assert ("disk", "project") in found


def listed(screen: SettingsScreen) -> int:
    assert screen.listed is not None
    return screen.listed.cursor


def on(screen: SettingsScreen) -> str:
    return screen.settings[listed(screen)].key


EXPECTED: dict[str, tuple[tuple[str, ...], Callable[[SettingsScreen], object]]] = {
    "check": ((), lambda s: s.showing == "problems" and s.checked and s.checks),
    "switch": ((), lambda s: s.showing == "problems" and "c looks for problems" in shown(s.app)),
    "only": ((), lambda s: s.only and all(one.changed for one in s.settings) and 0 < len(s.settings) < 20),
    "next_set": ((), lambda s: on(s) == "models.gone.source"),
    "open": ((), lambda s: isinstance(s.app.screen, Page) and "A name for reports" in shown(s.app)),
    "reload": ((), lambda s: s.says == "read again"),
    "up": (("down",), lambda s: listed(s) == 0),
    "down": ((), lambda s: listed(s) == 1),
    "page_up": (("pagedown",), lambda s: listed(s) == 0),
    "page_down": ((), lambda s: listed(s) > 5),
    "first": (("down",), lambda s: listed(s) == 0),
    "last": ((), lambda s: on(s) == "prompts"),
    "theme": ((), lambda s: s.palette.name == "light"),
    "help": ((), lambda s: isinstance(s.app.screen, Page) and "Look for problems" in shown(s.app)),
    "palette": ((), lambda s: isinstance(s.app.screen, Pick) and "check" in shown(s.app)),
    "back": ((), lambda s: s.app._exit),
    "leave": ((), lambda s: s.app._exit),
}


@pytest.mark.usefixtures("no_machine")
@pytest.mark.parametrize("command", SettingsScreen.commands(), ids=lambda command: command.id)
def test_every_key(root: Path, command: Command) -> None:
    before, holds = EXPECTED[command.id]
    for key in command.keys:

        async def work(pilot: Pilot[int], screen: SettingsScreen, key: str = key) -> None:
            await pilot.press(*before, key)
            if command.id not in ("back", "leave"):
                await settled(pilot.app)
            await pilot.pause()
            assert holds(screen), f"{key} did not do {command.id}"

        drive(lambda: SettingsScreen(root), work)


def test_no_key_stands_for_two_commands() -> None:
    keys = [key for command in SettingsScreen.commands() for key in command.keys]
    assert len(keys) == len(set(keys))


@pytest.mark.usefixtures("no_machine")
def test_a_file_that_was_mended_is_read_again(root: Path) -> None:
    (root / "quorum.toml").write_text("[run]\nbatch = true\n")

    async def work(pilot: Pilot[int], screen: SettingsScreen) -> None:
        assert "batch" in shown(pilot.app).splitlines()[1]
        (root / "quorum.toml").write_text("[run]\nbatch = 8\n")
        await pilot.press("f5")
        await pilot.pause()
        assert screen.sheet.problem is None
        assert next(one for one in screen.sheet.settings if one.key == "run.batch").value == "8"

    drive(lambda: SettingsScreen(root), work)


@pytest.mark.usefixtures("no_machine")
def test_from_here_one_can_go_to_the_other_screens_and_back(root: Path) -> None:
    from tui.screens.demonstrations import DemonstrationsScreen
    from tui.screens.runs import RunScreen

    async def work(pilot: Pilot[int], screen: SettingsScreen) -> None:
        for words, kind in (("unattended", RunScreen), ("demonstrations", DemonstrationsScreen)):
            await pilot.press("ctrl+p", *f"go to {words}".replace(" ", ""), "enter")
            await settled(pilot.app)
            assert not isinstance(pilot.app.screen, kind), "blanks tell words apart"
            await pilot.press("escape", "ctrl+p", *words, "enter")
            await settled(pilot.app)
            assert isinstance(pilot.app.screen, kind)
            assert "Esc back" in shown(pilot.app)
            await pilot.press("escape")
            await pilot.pause()
            assert pilot.app.screen_stack[-1] is screen

    drive(lambda: SettingsScreen(root), work, (120, 30))


def slow(project: Path) -> Iterator[Check]:
    yield Check("disk", "project", "warning", "50 MiB free", "make room")


SNAPS: dict[str, tuple[str, ...]] = {
    "settings": ("n", "n", "n"),
    "only": ("o", "end"),
    "problems": ("c",),
    "open": ("n", "enter"),
    "help": ("question_mark",),
}
CASES = [
    pytest.param(name, theme, size, id=f"{name}-{theme}-{size[0]}x{size[1]}")
    for name in SNAPS
    for theme in THEMES
    for size in SIZES
]


@pytest.mark.parametrize(("name", "theme", "size"), CASES)
def test_picture(
    root: Path,
    snap_compare: Callable[..., bool],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    theme: str,
    size: tuple[int, int],
) -> None:
    monkeypatch.setattr(views, "all_checks", slow)

    async def before(pilot: Pilot[int]) -> None:
        await pilot.pause()
        for key in SNAPS[name]:
            await pilot.press(key)
            await settled(pilot.app)
        if name == "problems":
            await pilot.press("n")
        await pilot.pause()

    assert snap_compare(app_of(lambda: SettingsScreen(root), theme), terminal_size=size, run_before=before)
