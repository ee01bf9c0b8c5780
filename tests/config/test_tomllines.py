"""Line numbers of TOML keys."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.configtemplate import toml_value
from agent.tomllines import key_lines

TEXT = '''# a comment = 1
top = "a # b"
dotted.one.two = 1
"quoted key" = [1,
  2, # two ]
  [3, {a = 4, b = "]"},
       {c = 5}]]
text = """
[not.a.table]
x = 1
"""
raw = \'\'\'
y = 2\'\'\'
when = 1979-05-27T07:32:00Z

[table]   # with a comment
inner = { p = 1, q.r = 2 }
[table.sub]
z = 1
[[rows]]
n = 1
[[rows]]
n = 2
[[rows.deep]]
m = 1
[[rows.deep]]
m = 2
'''


def test_every_construct_has_its_line() -> None:
    tomllib.loads(TEXT)
    lines = key_lines(TEXT)
    expected: dict[tuple[str | int, ...], int] = {
        ("top",): 2,
        ("dotted",): 3,
        ("dotted", "one", "two"): 3,
        ("quoted key",): 4,
        ("quoted key", 0): 4,
        ("quoted key", 1): 5,
        ("quoted key", 2, 1, "a"): 6,
        ("quoted key", 2, 1, "b"): 6,
        ("quoted key", 2, 2, "c"): 7,
        ("text",): 8,
        ("raw",): 12,
        ("when",): 14,
        ("table",): 16,
        ("table", "inner", "p"): 17,
        ("table", "inner", "q", "r"): 17,
        ("table", "sub", "z"): 19,
        ("rows", 0, "n"): 21,
        ("rows", 1, "n"): 23,
        ("rows", 1, "deep", 0, "m"): 25,
        ("rows", 1, "deep", 1, "m"): 27,
    }
    assert {key: lines.get(key) for key in expected} == expected
    assert ("not",) not in lines


def test_windows_line_ends() -> None:
    assert key_lines("a = 1\r\nb = 2\r\n") == {("a",): 1, ("b",): 2}


_TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
_KEYS = st.text("abcdefgh_-", min_size=1, max_size=6)
_VALUES = st.recursive(
    st.one_of(st.integers(), st.booleans(), _TEXTS), lambda inner: st.lists(inner, max_size=3), max_leaves=6
)


@given(st.dictionaries(_KEYS, st.dictionaries(_KEYS, _VALUES, max_size=4), max_size=4))
def test_generated_files(data: dict[str, dict[str, Any]]) -> None:
    written = ["# head"]
    expected = {}
    for table, pairs in data.items():
        written.append(f"[{table}]")
        expected[(table,)] = len(written)
        for key, value in pairs.items():
            written.append(f"{key} = {toml_value(value)}")
            expected[(table, key)] = len(written)
    text = "\n".join(written)
    assert tomllib.loads(text) == data
    lines = key_lines(text)
    assert {key: lines[key] for key in expected} == expected
