"""The published page of formats, made from the registry, so that it says what the code does."""

from __future__ import annotations

from tools.formats.holds import FEATURES
from tools.formats.registry import FORMATS


def formats_markdown() -> str:
    """Two tables and a paragraph a format, as ``docs/formats.md`` shows them."""
    parts = [
        "| format | `--format` | endings | import | export | memory stays flat | needs |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, found in FORMATS.items():
        endings = ", ".join(f"`{ending}`" for ending in found.endings) + (" (also `.gz`)" if found.packed else "")
        cells = [
            found.title, f"`{name}`", f"a folder of `.txt` and {endings}" if found.folder else endings,
            _yes(found.reads), _yes(found.writes), _yes(found.streams),
            f"`pip install 'quorum-ner[{found.extra}]'`" if found.extra else "",
        ]  # fmt: skip
        parts.append(f"| {' | '.join(cells)} |")
    written = [found for found in FORMATS.values() if found.writes]
    parts += ["", f"| what comes back exactly | {' | '.join(found.title for found in written)} |"]
    parts.append(f"| --- |{' --- |' * len(written)}")
    for feature, title in FEATURES.items():
        marks = " | ".join(_yes(getattr(found.holds, feature)) for found in written)
        parts.append(f"| {title} | {marks} |")
    for found in FORMATS.values():
        parts += ["", f"**{found.title}.** {found.notes}"]
    return "\n".join(parts) + "\n"


def _yes(value: bool) -> str:
    return "yes" if value else "-"
