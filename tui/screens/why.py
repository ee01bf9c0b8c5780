"""Why a span is suggested: votes, verdict, examples and prompts, as the store holds them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style

from tools.errors import QuorumError
from tools.store import Store
from tui.labelling.editor import Suggestion
from tui.screens.label_dialogs import Page
from tui.theme import Palette
from tui.widgets.lines import Piece

_BAR = 20


def why_lines(store: Store, suggestion: Suggestion, text: str, palette: Palette) -> list[list[Piece]]:
    """Everything the store knows about a suggestion.

    Args:
        store: The project's store.
        suggestion: The suggestion.
        text: The document's text.
        palette: The colours.
    """
    plain, faded, bold = palette.plain(), palette.faded(), palette.plain() + Style(bold=True)
    span = suggestion.span
    lines: list[list[Piece]] = [
        [(span.text_in(text), bold), (f"  as {span.label}", plain)],
        [(f"characters {span.start} to {span.end}, proposed by {suggestion.by}", faded)],
        [("", plain)],
    ]
    entity = suggestion.entity
    if entity is None:
        return [*lines, [(f"{suggestion.by} marked it; a person's gold has no votes.", plain)]]
    lines.append([("confidence   ", plain), *_bar(entity.confidence, palette)])
    if entity.verdict is None:
        lines.append([("verifier     not asked: the vote was clear, or verification is off", faded)])
    else:
        lines.append([("verifier yes ", plain), *_bar(entity.verdict, palette)])
    if suggestion.low:
        lines.append([("The quorum itself turned it down: its confidence is below the threshold.", plain)])
    lines += [[("", plain)], [(f"Votes of {len(entity.votes)} members", bold)]]
    for vote in entity.votes:
        found = "found it" if vote.proposed else "did not list it"
        lines.append([(f"  {vote.member:<14}", plain), *_bar(vote.probability, palette),
                      (f"  {vote.label or 'no entity'}, {found}", plain)])  # fmt: skip
    lines += [[("", plain)], [(f"Examples that were shown ({len(suggestion.demonstrations)})", bold)]]
    if not suggestion.demonstrations:
        lines.append([("  none: there are no demonstrations yet, or retrieval is off", faded)])
    for name in suggestion.demonstrations:
        lines.append([("  ", plain), (name, bold), ("  " + _example(store, name), plain)])
    lines += [[("", plain)], [("Prompts and settings of the run", bold)]]
    lines += _settings(store, suggestion, palette)
    return lines


def _bar(share: float, palette: Palette) -> list[Piece]:
    filled = round(share * _BAR)
    return [("\u2588" * filled + "\u2591" * (_BAR - filled), palette.faded()), (f" {share:4.0%}", palette.plain())]


def _example(store: Store, name: str) -> str:
    """The beginning of a demonstration's document; its id is the document's, perhaps with a passage behind ``#``."""
    for candidate in (name, name.rpartition("#")[0]):
        try:
            if candidate and store.has_document(candidate):
                gold = store.gold(candidate)
                document = store.document(candidate)
                marked = ", ".join(f"{s.text_in(document.text)} ({s.label})" for s in (gold.spans if gold else ())[:6])
                return f"{document.text[:120]}  [{marked or 'nothing'}]"
        except QuorumError as error:
            return f"cannot be read ({error.message})"
    return ""


def _settings(store: Store, suggestion: Suggestion, palette: Palette) -> list[list[Piece]]:
    number = suggestion.by.removeprefix("run ")
    if not number.isdigit():
        return []
    run = store.run(int(number))
    config = dict(run.config)
    inner = config.get("config", config)
    settings = inner if isinstance(inner, dict) else config
    lines: list[list[Piece]] = []
    members = settings.get("members", ())
    for member in members if isinstance(members, (list, tuple)) else ():
        if isinstance(member, dict):
            said = [f"{key} {member[key]}" for key in ("model", "extract", "classify", "weight") if key in member]
            lines.append([(f"  {member.get('name', '?'):<14}", palette.plain()), (", ".join(said), palette.faded())])
    lines.append([(f"  run {run.id} ({run.kind}), configuration {run.config_hash[:12]}", palette.faded())])
    return lines


def why_page(
    store: Store, suggestion: Suggestion, text: str, palette: Palette, closing: Sequence[str] = ("W", "f4")
) -> Page:
    """The reasons as a window."""
    return Page("Why?", why_lines(store, suggestion, text, palette), closing=closing)
