"""``quorum agreement``: who agrees with whom, models included."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.common import HERE, JsonOption, ProjectOption, counted, load_project, note, open_store, print_json

if TYPE_CHECKING:
    from agent.campaign.agreement import Pair
    from tools.metrics.agreement import Alpha
    from tools.metrics.intervals import Interval


def agreement(
    project: ProjectOption = HERE,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the intervals' draws.")] = 13,
    as_json: JsonOption = False,
) -> None:
    """Say how far annotators and models agree: span F1 and Krippendorff's alpha, with 95 % intervals.

    Alpha (2016, unitised) is 1 for equal annotations and about 0 for such as
    chance would give. Intervals come from drawing documents again.
    """
    from agent.campaign.agreement import agreement as compare
    from tui.commands.common import print_table

    config = load_project(project)
    with open_store(config, read_only=True) as store:
        found = compare(store, seed=seed)
    if as_json:
        print_json(found.to_json())
        return
    if found.pairs and sys.stdout.isatty():
        print_table(
            ("who", "documents", "F1 (95 %)", "borders", "alpha (95 %)"),
            [_pair(pair) for pair in found.pairs],
            right=(1, 2, 3, 4),
        )
    elif found.pairs:
        print_table(
            ("annotator", "annotator", "documents", "F1", "F1 95 %", "borders", "alpha", "alpha 95 %"),
            [
                (
                    pair.one,
                    pair.other,
                    pair.f1.documents,
                    f"{pair.f1.f1.point:.3f}",
                    _ends(pair.f1.f1),
                    f"{pair.f1.boundaries.point:.3f}",
                    _figure(pair.alpha.all),
                    _ends(pair.alpha.interval),
                )
                for pair in found.pairs
            ],
        )
    types = [
        (who, label, _figure(value), _ends(one.label_intervals.get(label)))
        for who, one in (("people", found.people), ("people and quorum", found.everyone))
        if one is not None
        for label, value in (("all types", one.all), *one.by_label.items())
    ]
    types = [
        (
            who,
            label,
            value,
            _whole(found.people if who == "people" else found.everyone) if label == "all types" else ends,
        )
        for who, label, value, ends in types
    ]
    if types:
        print_table(("among", "type", "alpha", "95 %"), types, right=(2,))
    if not found.annotators:
        note("nobody has finished a document yet: quorum label")
    elif found.people is None:
        note("no document has been finished by two people: quorum run --overlap 0.1 asks for second opinions")
    if found.resolutions:
        note(f"{counted(found.resolutions, 'disagreement')} decided in review; reviews are not counted above")


def _pair(pair: Pair) -> tuple[str, ...]:
    """A row that fits into 80 columns: intervals with two digits, as on the review screen."""
    return (
        f"{pair.one}, {pair.other}",
        f"{pair.f1.documents:,}",
        f"{pair.f1.f1.point:.3f} {_short(pair.f1.f1)}",
        f"{pair.f1.boundaries.point:.3f}",
        f"{_figure(pair.alpha.all)} {_short(pair.alpha.interval)}".strip(),
    )


def _short(interval: Interval | None) -> str:
    return "" if interval is None else f"({interval.low:.2f}-{interval.high:.2f})"


def _whole(found: Alpha | None) -> str:
    return _ends(None if found is None else found.interval)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _ends(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.3f} to {interval.high:.3f}"
