"""One HTML file that shows what a run found: it needs nothing else and asks nobody.

Whatever comes from a document, a model or a label set is escaped; a content
security policy forbids everything but the page's own script, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.annotation.labels import LabelSet
from tools.annotation.prediction import Outcome
from tui.report.marks import Mark, Piece, Shown, explanation, lay_out, visible

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from markupsafe import Markup

HERE = Path(__file__).parent
MOST_DOCUMENTS = 2000


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the summary: a caption, column heads, rows of texts (the first cell heads its row)."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What stands on top of the page.

    Attributes:
        title: The heading.
        facts: (name, value) in the order they are shown.
        tables: Scores, members and the like.
        provenance: (name, value): run, configuration, models, prompts.
        demonstrations: Id to text, for the popovers.
    """

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    provenance: tuple[tuple[str, str], ...] = ()
    demonstrations: Mapping[str, str] = field(default_factory=dict)


def render_page(documents: Iterable[Shown], labels: LabelSet, summary: Summary) -> str:
    """The whole page.

    Args:
        documents: In the order to show; at most ``MOST_DOCUMENTS`` are, and the
            page says so when there are more.
        labels: The types, in the order of the filter.
        summary: What stands on top.

    Returns:
        HTML that can be written as UTF-8.
    """
    names = list(labels.names)
    articles: list[dict[str, Any]] = []
    details: list[dict[str, Any]] = []
    more = 0
    for number, shown in enumerate(documents):
        if number >= MOST_DOCUMENTS:
            more += 1
            continue
        articles.append(_article(shown, names, details))
    script = _read("page.js")
    data = {"marks": details, "demonstrations": {visible(k): visible(v) for k, v in summary.demonstrations.items()}}
    return _template().render(
        title=summary.title,
        facts=summary.facts,
        tables=summary.tables,
        provenance=summary.provenance,
        articles=articles,
        more=more,
        labels=[(name, labels[name].description if name in labels else "") for name in names],
        hues=hues(len(names)),
        outcomes=list(dict.fromkeys(article["outcome"].kind.value for article in articles)),
        judged=any(article["judged"] for article in articles),
        css=_markup(_read("page.css")),
        script=_markup(script),
        script_hash=script_hash(script),
        data=_markup(_json(data)),
    )


def _article(shown: Shown, names: list[str], details: list[dict[str, Any]]) -> dict[str, Any]:
    marks, pieces = lay_out(shown)
    first = len(details)
    demonstrations = {passage.index: passage.demonstrations for passage in shown.result.passages}
    for mark in marks:
        if mark.span.label not in names:
            names.append(mark.span.label)
        details.append(explanation(mark, shown.document.text, demonstrations))
    counts = {"right": 0, "wrong": 0, "missed": 0}
    for mark in marks:
        if mark.standing != "unknown":
            counts[mark.standing if mark.standing in counts else "wrong"] += 1
    outcome: Outcome = shown.result.outcome
    return {
        "id": shown.document.id,
        "outcome": outcome,
        "reason": outcome.reason,
        "judged": shown.gold is not None,
        "counts": counts,
        "entities": len(shown.result.entities),
        "lanes": max((mark.lane + 1 for mark in marks), default=0),
        "colours": ";".join(f"--m{first + i}:var(--l{names.index(mark.span.label)})" for i, mark in enumerate(marks)),
        "text": _text(shown.document.text, marks, pieces, first),
        "ungrounded": [text for passage in shown.result.passages for text in passage.ungrounded],
        "rejected": [
            (e.span.label or "none", e.span.text_in(shown.document.text), f"{e.confidence:.2f}")
            for passage in shown.result.passages
            for e in passage.rejected
            if e.span.end <= len(shown.document.text)
        ],
    }


def _text(text: str, marks: Sequence[Mark], pieces: Sequence[Piece], first: int) -> Markup:
    from markupsafe import Markup, escape

    out: list[str] = []
    for piece in pieces:
        words = escape(visible(text[piece.start : piece.end]))
        if not piece.marks:
            out.append(words)
            continue
        numbers = " ".join(str(first + i) for i in piece.marks)
        lanes = max(marks[i].lane for i in piece.marks) + 1
        style = f"--n:{lanes};background-image:" + ",".join(_stroke(first + i, marks[i]) for i in piece.marks)
        style += ";background-position:" + ",".join(f"0 calc(100% - {_below(lanes, marks[i])}px)" for i in piece.marks)
        out.append(f'<span class="s" data-m="{numbers}" style="{style}">{words}</span>')
        out.extend(_tag(first + i, marks[i]) for i in piece.closing)
    return Markup("").join(Markup(part) for part in out)


def _below(lanes: int, mark: Mark) -> int:
    """Pixels between the bottom of the piece and a mark's line."""
    return (lanes - 1 - mark.lane) * 4


def _stroke(number: int, mark: Mark) -> str:
    """Solid where it is right or nobody knows, dashed where it differs from gold, dotted where gold was missed."""
    colour = f"var(--m{number})"
    if mark.standing in ("right", "unknown"):
        return f"linear-gradient({colour},{colour})"
    on, off = (2, 5) if mark.standing == "missed" else (7, 10)
    return f"repeating-linear-gradient(90deg,{colour} 0 {on}px,transparent {on}px {off}px)"


_SIGNS = {"right": "✓", "type": "≠", "boundary": "↔", "extra": "+", "missed": "missed", "unknown": ""}
_MEANINGS = {
    "right": "as in gold",
    "type": "another type than gold",
    "boundary": "other borders than gold",
    "extra": "not in gold",
    "missed": "in gold, not found",
    "unknown": "",
}


def _tag(number: int, mark: Mark) -> Markup:
    from markupsafe import Markup

    confidence = "" if mark.confidence is None else f"{mark.confidence:.2f}"
    return Markup(
        '<button type="button" class="t {standing}" data-m="{number}" data-label="{label}" data-c="{confidence}" '
        'style="--c:var(--m{number})" aria-label="{spoken}"><span class="g">{sign}</span>{name}'
        '<span class="c">{confidence}</span></button>'
    ).format(
        standing=mark.standing,
        number=number,
        label=visible(mark.span.label),
        confidence=confidence,
        sign=_SIGNS[mark.standing],
        name=visible(mark.span.label or "?"),
        spoken=visible(
            ", ".join(
                x
                for x in (
                    mark.span.label,
                    _MEANINGS[mark.standing],
                    f"gold says {mark.gold_label}" if mark.standing == "type" else "",
                    f"confidence {confidence}" if confidence else "",
                )
                if x
            )
        ),
    )


def _json(data: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _markup(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)


@lru_cache(maxsize=4)
def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _template() -> Template:
    return environment().from_string(_read("page.html"))


def environment() -> Environment:
    """What all our pages are made with: nothing printed can be markup, or disturb the reading."""
    import jinja2

    return jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Whatever is printed is made harmless first, then escaped; our own markup has been through both.
        finalize=lambda value: visible(value) if type(value) is str else value,
    )


def script_hash(script: str) -> str:
    """What a content security policy names a script by: SHA-256, base64."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def hues(count: int) -> list[float]:
    """Hues of types, in degrees: neighbours lie far apart."""
    return [round((25 + index * 137.508) % 360, 1) for index in range(count)]
