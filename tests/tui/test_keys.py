"""Every key of the table is pressed on the real screen, in every preset; a command without an expectation fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.tui.conftest import ADA, LABELS, Bench
from tools.annotation import Label, LabelSet, Span
from tools.errors import ConfigError
from tools.store import Decision, DocumentState
from tui.keymap import COMMANDS, PRESETS, help_markdown, make_keymap, normal, read_user_keys, shown
from tui.labelling.editor import Target
from tui.screens.guidelines import GuidelinesScreen
from tui.screens.label import LabelScreen
from tui.screens.label_dialogs import Ask, Page, Pick
from tui.screens.label_identical import Identical
from tui.screens.queue import QueueScreen
from tui.screens.search import SearchScreen
from tui.theme import PALETTES

ADA_SPAN, LONDON = Span(0, 12, "person"), Span(43 - 5, 44, "location")
Check = Callable[[LabelScreen], object]


def decision(screen: LabelScreen, name: str = "letters") -> Decision:
    return screen.session.store.decision(name, "ada").decision


def shows(kind: type) -> Check:
    return lambda screen: isinstance(screen.app.screen, kind)


def cursor(at: int) -> Check:
    return lambda screen: screen.session.editor.cursor == at


def selected(text: str) -> Check:
    return lambda screen: ADA[slice(*(screen.session.editor.selection or (0, 0)))] == text


def on(mention: str) -> Check:
    return lambda screen: screen.session.editor.target and screen.session.editor.target.span.text_in(ADA) == mention


def marked(*spans: str) -> Check:
    return lambda screen: [span.text_in(ADA) for span in decision(screen).spans] == list(spans)


def document(name: str) -> Check:
    return lambda screen: screen.session.document and screen.session.document.id == name


# Command: commands that lead up to it, and what must hold after it. Each begins on the first suggestion, "Ada Lovelace".
EXPECTED: dict[str, tuple[tuple[str, ...], Check]] = {
    "next_suggestion": ((), on("Charles Babbage")),
    "previous_suggestion": ((), on("England")),
    "next_mark": (("accept", "accept"), on("Ada Lovelace")),
    "previous_mark": (("accept", "accept", "next_mark"), on("Charles Babbage")),
    "left": (("right", "right"), cursor(1)),
    "right": ((), cursor(1)),
    "up": (("document_end",), lambda s: s.session.editor.cursor < len(ADA) - 10),
    "down": ((), lambda s: s.session.editor.cursor > 50),
    "word_right": ((), cursor(4)),
    "word_left": (("right",) * 6, cursor(4)),
    "word_end": ((), cursor(2)),
    "sentence_right": ((), cursor(ADA.index("London was"))),
    "sentence_left": (("right",) * 5, cursor(0)),
    "row_start": (("right",) * 3, cursor(0)),
    "row_end": ((), lambda s: 60 < s.session.editor.cursor < 80),
    "page_down": ((), cursor(len(ADA))),
    "page_up": (("document_end",), cursor(0)),
    "document_start": (("document_end",), cursor(0)),
    "document_end": ((), cursor(len(ADA))),
    "jump": ((), lambda s: len(s.hints) > 10 and "type the letters" in s.says),
    "select": ((), selected("A")),
    "swap_end": (("select", "right", "right"), lambda s: (s.session.editor.cursor, s.session.editor.anchor) == (0, 2)),
    "extend_left": (("right", "right"), selected("da")),
    "extend_right": ((), selected("Ad")),
    "extend_up": (("down",), lambda s: len(s.session.editor.selection or ()) == 2),
    "extend_down": ((), lambda s: (s.session.editor.selection or (0, 0))[1] > 60),
    "extend_word_right": ((), selected("Ada")),
    "extend_word_left": (("word_right", "word_end"), selected("Lovelace")),
    "cancel": (("select", "right"), lambda s: s.session.editor.selection is None),
    "accept": ((), lambda s: decision(s).marks == ((ADA_SPAN, "suggestion"),) and on("Charles Babbage")(s)),
    "reject": ((), lambda s: decision(s).rejected == (ADA_SPAN,) and not decision(s).marks),
    "accept_all": ((), marked("Ada Lovelace", "Charles Babbage", "London", "Bank of England", "England")),
    "accept_above": ((), shows(Ask)),
    "done": (("accept",), lambda s: decision(s).state is DocumentState.DONE and document("weather")(s)),
    "all_and_done": ((), lambda s: len(decision(s).marks) == 5 and decision(s).state is DocumentState.DONE),
    "nothing": ((), lambda s: decision(s).state is DocumentState.DONE and not decision(s).marks),
    "flag": ((), shows(Ask)),
    "repeat": (("accept", "reject", "document_start", "row_end"), lambda s: "person" in {x.label for x in decision(s).spans}),
    "identical": (("next_suggestion", "next_suggestion", "accept", "previous_mark"), shows(Identical)),
    "choose_type": ((), shows(Pick)),
    "undo": (("accept",), lambda s: decision(s) == Decision() and on("Ada Lovelace")(s)),
    "redo": (("accept", "undo"), marked("Ada Lovelace")),
    "grow": ((), marked("Ada Lovelace w")),
    "shrink": ((), marked("Ada Lovelac")),
    "grow_word": ((), marked("Ada Lovelace wrote")),
    "shrink_word": ((), marked("Ada")),
    "move_left": (("next_suggestion",), marked(" Charles Babbag")),
    "move_right": ((), marked("da Lovelace ")),
    "split": (("word_right",), marked("Ada", "Lovelace")),
    "merge": ((), marked(ADA[: ADA.index("Babbage") + 7])),
    "skip": ((), lambda s: decision(s).skipped and document("weather")(s)),
    "back": (("skip",), document("letters")),
    "forward": (("skip", "back"), document("weather")),
    "queue": ((), shows(QueueScreen)),
    "why": ((), shows(Page)),
    "search": ((), shows(SearchScreen)),
    "search_next": ((), lambda s: "searched" in s.says),
    "guidelines": ((), shows(GuidelinesScreen)),
    "low": ((), lambda s: len(s.session.editor.open) == 6),
    "panel": ((), lambda s: not s.query_one("#types").display),
    "theme": ((), lambda s: s.quorum_app.palette.name == "light"),
    "help": ((), shows(Page)),
    "palette": ((), shows(Pick)),
    "quit": ((), lambda s: s.app._exit),
}  # fmt: skip


def test_every_command_has_an_expectation_and_a_method() -> None:
    assert set(EXPECTED) == {command.id for command in COMMANDS}
    assert all(callable(getattr(LabelScreen, f"do_{command.id}")) for command in COMMANDS)


def presses(command: str) -> list[tuple[str, str]]:
    """Preset and key, for every key that any preset gives a command."""
    entry = next(one for one in COMMANDS if one.id == command)
    return [
        (preset, key)
        for preset in PRESETS
        for key in entry.keys_in(preset)
        if preset == "default" or entry.keys_in(preset) is not entry.keys
    ]


def textual_key(key: str) -> str:
    """The key as the pilot wants it: characters by their names."""
    from textual.keys import _character_to_key

    return _character_to_key(key) if len(key) == 1 else key


@pytest.mark.parametrize("command", [command.id for command in COMMANDS])
def test_every_key_does_what_the_table_says(bench: Bench, command: str) -> None:
    before, check = EXPECTED[command]

    async def press(pilot: Pilot[int], screen: LabelScreen, preset: str, key: str) -> None:
        screen.keymap = make_keymap(LABELS, {"preset": preset})
        screen.renew()
        assert screen.session.editor.target == Target(ADA_SPAN, False)
        assert screen.keymap.commands[key] == command, "another command has taken the key"
        if command == "repeat":
            screen.run_type("person")
            screen.session.editor = screen.session.editor.moved(ADA.index("wrote"))
        for name in before if command != "repeat" else ():
            screen.run_command(name)
        await pilot.pause()
        await pilot.press(textual_key(key))
        await pilot.pause()
        assert check(screen), (key, screen.says, screen.session.editor.target, decision(screen))

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        for preset, key in presses(command):
            await press(pilot, screen, preset, key)
            while pilot.app.screen is not screen or screen.hints:
                await pilot.press("escape")
                await pilot.pause()
            while screen.session.store.undo("ada"):
                pass
            screen.session.open("letters")
            screen.remove_class("bare")
            pilot.app.palette = PALETTES["standard"]  # type: ignore[attr-defined]

    bench.run(work)


def test_a_type_key_marks_the_word_the_selection_or_changes_the_span(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("l")
        assert decision(screen).spans == (Span(0, 12, "location"),)
        assert decision(screen).rejected == (ADA_SPAN,)
        screen.session.editor = screen.session.editor.moved(ADA.index("wrote"))
        await pilot.press("o")
        assert Span(13, 18, "organization") in decision(screen).spans
        screen.session.editor = screen.session.editor.moved(ADA.index("read"))
        await pilot.press("v", "right", "right", "p")
        assert [s.text_in(ADA) for s in decision(screen).spans if s.label == "person"] == ["rea"]

    bench.run(work)


MANY = LabelSet(tuple(Label(f"type {n:03}") for n in range(200)))


def test_types_beyond_the_keys_have_chords(bench: Bench) -> None:
    bench.project.labels = MANY
    keymap = bench.project.keymap
    assert len({*keymap.types.values(), *keymap.chords.values()}) == 200
    assert not set(keymap.types) & set(keymap.commands)
    name = list(keymap.chords.values())[-1]
    keys = keymap.key_of_type(name)
    assert keys[0] == ";" and len(keys) == 3

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("semicolon")
        assert "then" in screen.says
        await pilot.press(*(textual_key(key) for key in keys[1:]))
        assert [span.label for span in decision(screen).spans] == [name]
        await pilot.press("semicolon", "escape", "u")
        assert decision(screen) == Decision()
        await pilot.press("semicolon", "exclamation_mark")
        assert "no type has" in screen.says

    bench.run(work)


def test_a_label_set_without_keys_left_still_has_the_list(bench: Bench) -> None:
    bench.project.labels = LabelSet(tuple(Label(f"t{n}") for n in range(5000)))
    keymap = bench.project.keymap
    without = [label.name for label in bench.project.labels if not keymap.key_of_type(label.name)]
    assert without and any("no key" in note for note in keymap.notes)

    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        assert "no key" in screen.says
        await pilot.press("number_sign", *without[-1], "enter")
        await pilot.pause()
        assert [span.label for span in decision(screen).spans] == [without[-1]]

    bench.run(work)


def test_hotkeys_of_the_label_file_come_first_and_clashes_are_named() -> None:
    labels = LabelSet((Label("person", hotkey="z"), Label("artist", hotkey="a"), Label("zebra")))
    keymap = make_keymap(labels)
    assert keymap.types["z"] == "person"
    assert keymap.key_of_type("artist") not in ("", "a")
    assert keymap.key_of_type("zebra") not in ("", "z")
    assert keymap.notes == ("hotkey 'a' of artist is the key of accept; it got another",)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"preset": "emacs"}, "no preset 'emacs'"),
        ({"acept": "a"}, "no command 'acept'"),
        ({"accept": "ctrl+"}, "'ctrl+' is no key"),
        ({"accept": "hyper+a"}, "is no key"),
        ({"accept": "shift+a"}, "is no key"),
        ({"accept": 5}, "accept = 5 is no key"),
        ({"accept": "y", "undo": ["z", "y"]}, "accept and undo both want the key y"),
        ({"help": "x", "undo": "f1", "reject": "?"}, None),
        ({"accept": "?", "undo": "f1"}, "no key is left for help"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_told_in_a_line(table: dict[str, object], says: str | None) -> None:
    labels = LabelSet.of("person")
    if says is None:
        assert make_keymap(labels, table).commands["x"] == "help"
        return
    with pytest.raises(ConfigError) as error:
        make_keymap(labels, table, "quorum.toml [keys]")
    assert says in error.value.message and error.value.message.startswith("quorum.toml [keys]") and error.value.hint


def test_keys_can_be_changed_and_a_key_given_away_leaves_its_command(bench: Bench) -> None:
    bench.project.keys = {"accept": ["y", "Ctrl+T"], "undo": "a"}
    keymap = bench.project.keymap
    assert keymap.keys_of("accept") == ("y", "ctrl+t")
    assert keymap.commands["a"] == "undo" and "u" not in keymap.commands
    screen = bench.press("y", "a", "ctrl+t")
    assert [s.text_in(ADA) for s in decision(screen).spans] == ["Ada Lovelace"], "undo puts the cursor back on it"


@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_gives_a_key_twice_and_all_commands_have_one(preset: str) -> None:
    keys = [key for command in COMMANDS for key in command.keys_in(preset)]
    assert len(keys) == len(set(keys))
    assert all(command.keys_in(preset) for command in COMMANDS)
    assert all(normal(key, "") == key for key in keys)
    assert all(shown(key) for key in keys)
    assert all(f"`{command.id}`" in help_markdown(preset) for command in COMMANDS)


def test_the_keys_of_a_person(tmp_path: Path) -> None:
    assert read_user_keys(tmp_path) == {}
    (tmp_path / "keys.toml").write_text('[keys]\npreset = "vim"\n')
    assert read_user_keys(tmp_path) == {"preset": "vim"}
    (tmp_path / "keys.toml").write_text("[keys\n")
    with pytest.raises(ConfigError, match=r"keys\.toml"):
        read_user_keys(tmp_path)


def test_help_and_palette_run_from_the_same_table(bench: Bench) -> None:
    async def work(pilot: Pilot[int], screen: LabelScreen) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(pilot.app.screen, Page)
        await pilot.press("question_mark")
        await pilot.press("ctrl+p", *"acceptall", "escape")
        await pilot.press("ctrl+p", *"accept", "space", *"all:", "enter")
        await pilot.pause()
        assert len(decision(screen).marks) == 5

    bench.run(work)
