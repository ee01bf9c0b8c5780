"""The page of an evaluation: one HTML file that needs nothing else and asks nobody."""

from __future__ import annotations

import json
from pathlib import Path

from evals.report import EvalReport
from tui.report.page import environment, hues, script_hash
from tui.theme import PALETTES

HERE = Path(__file__).parent


def render_eval_page(report: EvalReport, labels: int = 64) -> str:
    """The whole page.

    Args:
        report: What it says. Plots in it are markup of our own making; all
            else is escaped here.
        labels: For how many types there are colours.

    Returns:
        HTML that can be written as UTF-8.
    """
    from markupsafe import Markup

    script = _read("eval_filter.js") + _read("eval_page.js")
    return (
        environment()
        .from_string(_read("eval_page.html"))
        .render(
            report=report,
            sections=[
                {"section": section, "plots": [(f.caption, Markup(f.svg), f.text) for f in section.figures]}
                for section in report.sections
            ],
            css=Markup(_read("page.css") + _read("eval_page.css")),
            light=PALETTES["light"].types,
            dark=PALETTES["standard"].types,
            hues=hues(labels),
            script=Markup(script),
            script_hash=script_hash(script),
            settings=Markup(json.dumps({"shown": report.shown, "hues": labels})),
            data=Markup(report.documents),
        )
    )


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
