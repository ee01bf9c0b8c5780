"""What stands around the document: title, types, the span under the cursor, what comes next."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.style import Style

from tools.store.records import DocumentState
from tui.keymap import Keymap, shown
from tui.labelling.draft import Draft
from tui.labelling.session import Session
from tui.theme import Palette
from tui.widgets.lines import Piece

if TYPE_CHECKING:
    from tui.labelling.project import Project

_STATES = {
    DocumentState.NEW: "new",
    DocumentState.IN_PROGRESS: "in progress",
    DocumentState.DONE: "\u2713 done",
    DocumentState.FLAGGED: "\u2691 flagged",
}
# What comes next, the likeliest first: commands with a word; at 80 columns the last ones may be cut.
_END = (("undo", "undo"), ("help", "help"))
_FOOT_NOTHING = (("queue", "all documents"), ("help", "help"), ("quit", "quit"))
_FOOT_SELECTED = (("", "a type's key marks it"), ("swap_end", "other end"), ("cancel", "give up"), ("help", "help"))
_FOOT_FINISHED = (("skip", "next"), ("back", "back"), ("queue", "all"), *_END, ("quit", "quit"))
_FOOT_SUGGESTION = (
    ("accept", "accept"), ("reject", "reject"), ("next_suggestion", "next"), ("why", "why?"), ("accept_all", "all"),
    ("done", "done"), *_END,
)  # fmt: skip
_FOOT_MARK = (
    ("reject", "delete"), ("grow", "longer"), ("shrink", "shorter"), ("identical", "all like it"),
    ("done", "done"), *_END,
)  # fmt: skip
_FOOT_PLAIN = (
    ("select", "select"), ("next_suggestion", "next"), ("done", "done"), ("nothing", "nothing here"),
    ("skip", "skip"), *_END,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class State:
    """All that the lines are made from."""

    session: Session | Draft
    project: Project
    keymap: Keymap
    palette: Palette
    width: int
    models: str
    progress: float


def first_key(keymap: Keymap, command: str) -> str:
    """The first key of a command as a person reads it."""
    return shown(next(iter(keymap.keys_of(command)), "no key"))


def title(state: State) -> list[Piece]:
    """Where one is: project, document, its state, how many wait."""
    palette, session = state.palette, state.session
    assert isinstance(session, Session)  # a draft has no queue
    strip, bold = palette.strip(), palette.strip() + Style(bold=True)
    pieces: list[Piece] = [(" label ", palette.key()), (f"{state.project.name} ", strip)]
    if session.document is not None:
        name = session.document.id
        room = max(8, state.width - 62)
        pieces.append((name if len(name) <= room else name[: room - 1] + "\u2026", bold))
        editor = session.editor
        label = _STATES[DocumentState.DONE if editor.done else editor.decision.state]
        if editor.scope is not None:
            pieces.append((f"  only {editor.scope[0]:,}\u2013{editor.scope[1]:,}", strip))
        pieces.append((f"  {label}", bold))
        if session.editor.decision.skipped:
            pieces.append(("  skipped", strip))
        if state.progress < 1:
            pieces.append((f"  {state.progress:.0%} seen", strip))
    right = f"{session.queue.name}: {session.left:,} of {session.total:,} left  {session.annotator} "
    used = sum(cell_len(text) for text, _ in pieces)
    pieces.append((" " * max(2, state.width - used - cell_len(right)), strip))
    pieces.append((right, strip))
    return pieces


def type_rows(state: State, chord: str | None = None) -> list[list[Piece]]:
    """The types with their keys, in as many lines as they take (three at most)."""
    palette, keymap = state.palette, state.keymap
    key_style = palette.key_on_ground()
    names = [*keymap.types.items(), *((keymap.prefix + key, name) for key, name in keymap.chords.items())]
    if chord is not None:
        names = [(key, name) for key, name in keymap.chords.items() if key.startswith(chord)]
    lines: list[list[Piece]] = [[(" ", palette.plain())]]
    used = 1
    numbers = {label.name: number for number, label in enumerate(state.project.labels)}
    for place, (key, name) in enumerate(names):
        width = cell_len(key) + cell_len(name) + 3
        if used + width > state.width and used > 1:
            if len(lines) == 3:
                lines[-1] = [
                    *lines[-1][:-3],
                    (f"+{len(names) - place + 1} more: {first_key(keymap, 'choose_type')}", palette.faded()),
                ]
                break
            lines.append([(" ", palette.plain())])
            used = 1
        colour = palette.of_type(numbers.get(name, 7), own=True)
        lines[-1] += [(key, key_style), (f" {name}", colour), ("  ", palette.plain())]
        used += width
    return lines


def under_cursor(state: State) -> list[Piece]:
    """The span a command would work on, with its confidence, and how many wait."""
    session, palette = state.session, state.palette
    strip, bold = palette.strip(), palette.strip() + Style(bold=True)
    editor = session.editor
    if session.document is None:
        return [("", strip)]
    waiting = len(editor.open)
    count = f"{len(editor.marks)} marked, {waiting} suggested " if waiting else f"{len(editor.marks)} marked "
    pieces: list[Piece] = []
    room = state.width - len(count) - 4
    if (chosen := editor.selection) is not None:
        text = session.document.text[chosen[0] : chosen[1]]
        pieces = [
            (" selected ", bold),
            (_short(text, room - 24), strip),
            (f"  {chosen[1] - chosen[0]} characters", strip),
        ]
    elif (target := editor.target) is not None:
        text = target.span.text_in(session.document.text)
        if target.own:
            source = dict(editor.decision.marks).get(target.span, "")
            kind, more = " marked ", "" if source == "human" else f"  from a {source}"
        else:
            found = editor.suggestion(target.span)
            entity = found.entity if found else None
            kind = " suggested "
            if entity is not None:
                agree = sum(vote.label == target.span.label for vote in entity.votes)
                more = f"  {entity.confidence:.0%}, {agree} of {len(entity.votes)} members"
            else:
                more = f"  by {found.by}" if found else ""
        number = next((n for n, label in enumerate(state.project.labels) if label.name == target.span.label), 7)
        style = Style(color=palette.of_type(number, own=True).color, bgcolor=palette.bar, bold=True)
        end = "  front end" if editor.at_start else ""
        left = room - cell_len(kind + target.span.label + more + end)
        pieces = [
            (kind, bold),
            (target.span.label, style),
            (f" \u201c{_short(text, left)}\u201d", strip),
            (more + end, strip),
        ]
    used = sum(cell_len(text) for text, _ in pieces)
    return [*pieces, (" " * max(1, state.width - used - len(count)), strip), (count, strip)]


def note_line(state: State) -> str:
    """What to say when there is nothing else to say: why this document, its note, how the models are."""
    session = state.session
    assert isinstance(session, Session)  # a draft has no reasons
    if session.document is None:
        return state.models
    parts = [session.why, state.models]
    if session.editor.decision.note:
        parts.insert(0, f"note: {session.editor.decision.note}")
    return " \u00b7 ".join(part for part in parts if part)


def footer(state: State, own: Callable[[str], bool] = bool) -> list[Piece]:
    """What one can do next, the likeliest first.

    Args:
        state: What is shown.
        own: Whether the screen has a command.
    """
    palette, editor = state.palette, state.session.editor
    wanted: tuple[tuple[str, str], ...]
    if state.session.document is None:
        wanted = _FOOT_NOTHING
    elif editor.selection is not None:
        wanted = _FOOT_SELECTED
    elif editor.done or editor.decision.finished:
        wanted = _FOOT_FINISHED
    elif (target := editor.target) is not None:
        wanted = _FOOT_MARK if target.own else _FOOT_SUGGESTION
    else:
        wanted = _FOOT_PLAIN
    pieces: list[Piece] = []
    for command, text in wanted:
        if command and not own(command):
            continue
        if command:
            pieces.append((f" {first_key(state.keymap, command)}", palette.key()))
        pieces.append((f" {text} ", palette.strip()))
    return pieces


def panel(state: State, width: int, height: int) -> list[list[Piece]]:
    """Types with their keys, the description of the one at hand, and the guidelines."""
    palette, keymap = state.palette, state.keymap
    plain, faded, bold = palette.plain(), palette.faded(), palette.bold()
    key_style = palette.key_on_ground()
    target = state.session.editor.target
    rule: Piece = ("\u2502 ", faded)
    inner = width - 4
    lines: list[list[Piece]] = [[rule, ("Types", bold)]]
    for number, label in enumerate(state.project.labels):
        here = target is not None and target.span.label == label.name
        sign = "\u25b6" if here else " "
        name = label.name if cell_len(label.name) <= inner - 6 else label.name[: inner - 7] + "\u2026"
        lines.append([rule, (sign, plain), (f"{keymap.key_of_type(label.name) or ' ':<3}", key_style),
                      (name, palette.of_type(number, own=True))])  # fmt: skip
        if len(lines) > height // 2 and number + 1 < len(state.project.labels):
            lines.append(
                [rule, (f" {len(state.project.labels) - number - 1} more: {first_key(keymap, 'choose_type')}", faded)]
            )
            break
    if target is not None and target.span.label in state.project.labels:
        label = state.project.labels[target.span.label]
        lines += [[rule], [rule, (label.name, bold)]]
        parts = [label.description, *([f"yes: {', '.join(label.examples)}"] if label.examples else []),
                 *([f"no: {', '.join(label.counter_examples)}"] if label.counter_examples else [])]  # fmt: skip
        for part in parts:
            lines += [[rule, (line, plain)] for line in textwrap.wrap(part, inner)]
    version, text = state.project.guidelines
    lines += [[rule], [rule, (f"Guidelines{f' (version {version})' if version else ''}", bold)]]
    if not text.strip():
        lines.append([rule, (f"none yet; {first_key(keymap, 'guidelines')} writes them", faded)])
    for paragraph in text.splitlines():
        lines += [[rule, (line, plain)] for line in textwrap.wrap(paragraph, inner) or [""]]
    return lines + [[rule]] * max(0, height - len(lines))


def _short(text: str, room: int) -> str:
    text = " ".join(text.split())
    room = max(10, room)
    return text if cell_len(text) <= room else text[: room - 1] + "\u2026"
