"""Model cards of adapters that ship: data and licences, recipe, figures with intervals, limits.

    python -m tools.finetuning.cards NAME --figures figures.json [--folder agent/models/adapters]

writes ``FOLDER/NAME/README.md``. What it was trained on, how and by which command
is read off its recipe (``recipes/NAME.py``); the member's table in
``FOLDER/members.toml`` adds what only the training knew (tokens, minutes) and
may say the rest otherwise; licences come from ``licences.toml`` beside this
module, figures from ``benchmarks/member_card.py``. A corpus whose licence does
not allow weights to be shipped is refused.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from tools.errors import InputError, QuorumError
from tools.finetuning.cardfacts import (
    LICENCES,
    Facts,
    Figures,
    Licence,
    Score,
    Within,
    read_facts,
    read_figures,
    read_licences,
)

CARD = "README.md"
BASE = "SmolLM2-135M-Instruct"


def write_card(folder: Path, name: str, figures: Figures) -> Path:
    """Write a member's card beside its weights.

    Args:
        folder: Of adapters, with ``members.toml``.
        name: The member's.
        figures: Measured of ``starter:NAME``.

    Returns:
        The card.

    Raises:
        InputError: Something is missing, figures are another model's, or a
            corpus may not be shipped.
    """
    facts = read_facts(folder, name)
    adapter = folder / name / "adapter_config.json"
    weights = folder / name / "adapter_model.safetensors"
    try:
        config, size = json.loads(adapter.read_text(encoding="utf-8")), weights.stat().st_size
    except (OSError, ValueError) as error:
        hint = "put adapter_config.json and adapter_model.safetensors there"
        raise InputError(f"{folder / name}: no adapter ({error})", hint) from error
    if figures.source != f"starter:{name}":
        raise InputError(
            f"the figures are of {figures.source}, not of starter:{name}",
            f"python -m benchmarks.member_card --source starter:{name} --data DIR --out figures.json",
        )
    modules = config["target_modules"]
    text = card(name, facts, read_licences(), figures, rank=int(config["r"]), modules=modules, size=size)
    (folder / name / CARD).write_text(text, encoding="utf-8")
    return folder / name / CARD


def card(
    name: str,
    facts: Facts,
    licences: dict[str, Licence],
    figures: Figures,
    *,
    rank: int,
    modules: Sequence[str],
    size: int,
) -> str:
    """The text of a card, in Markdown.

    Args:
        name: The member's.
        facts: What it was trained on and how.
        licences: Of the corpora that may be shipped.
        figures: What was measured.
        rank: Of the adapter.
        modules: The layers it changes.
        size: Bytes of its weights.

    Raises:
        InputError: A corpus has no entry among the licences, or a held-out one was trained on.
    """
    _check(facts, licences, figures)
    where = "all linear layers" if len(modules) >= 7 else ", ".join(sorted(modules))
    lines = [
        f"# {name}: {facts.summary}",
        "",
        f"A LoRA adapter (rank {rank}, {where}, {size / 1e6:.1f} MB in bf16) for {BASE} that answers",
        f'Quorum\'s own extract, classify and verify prompts. A project names it by `source = "starter:{name}"`.',
        "Licence: Apache-2.0, with the attributions below.",
        "",
        "## Made from",
        "",
        "Training splits only, each by its own licence; records whose own licence does not allow it were left out.",
        "",
        "| corpus | share | licence | attribution |",
        "| --- | --- | --- | --- |",
    ]
    total = sum(facts.corpora.values())
    for corpus, share in sorted(facts.corpora.items(), key=lambda item: -item[1]):
        about = licences[corpus]
        only = f" ({about.only})" if about.only else ""
        lines.append(f"| {about.name}{only} | {share / total:.0%} | {about.licence} | {about.attribution} |")
    if facts.held_out:
        lines += ["", f"Kept out, so that they can be tested as domains never seen: {', '.join(facts.held_out)}."]
    start = f"It began with {facts.begins_with}. " if facts.begins_with else ""
    spent = f"{facts.steps:,} steps, {facts.tokens:,} tokens, {facts.minutes:,.0f} minutes on {facts.machine}"
    told = " ".join(f"{start}{facts.recipe} {spent[0].upper()}{spent[1:]}.".split())
    lines += ["", "## Recipe", "", f"    {facts.command}", "", *textwrap.wrap(told, 120)]
    lines += _figures(figures)
    lines += _reliability(figures)
    lines += ["", "## Limits", ""]
    lines += [line for limit in facts.limits for line in textwrap.wrap(f"- {limit}", 120, subsequent_indent="  ")]
    lines += [
        "- It sees one to three sentences at a time.",
        "- Where confidence was measured is said above; on other domains it may be too sure or not sure enough.",
        "- Do not decide about people by it.",
    ]
    return "\n".join(lines) + "\n"


def _check(facts: Facts, licences: dict[str, Licence], figures: Figures) -> None:
    if unknown := sorted(set(facts.corpora) - set(licences)):
        raise InputError(
            f"trained on {', '.join(unknown)}, which {LICENCES.name} does not have",
            "weights trained on it may not ship; add it there only if its licence allows it",
        )
    if both := sorted(set(facts.corpora) & set(facts.held_out)):
        raise InputError(f"{', '.join(both)} cannot be trained on and held out", "take it out of one of the two")
    for one in figures.corpora:
        if one.trained_on != (one.corpus in facts.corpora):
            raise InputError(
                f"the figures call {one.corpus} {'trained on' if one.trained_on else 'held out'}, the facts do not",
                "measure again with the members.toml that says what was trained on",
            )


def _figures(figures: Figures) -> list[str]:
    lines = [
        "",
        "## Figures",
        "",
        "Strict micro-F1 with 95 % intervals, bootstrapped over sentences; demonstrations by span similarity from the",
        "corpus' training split. The model is asked in the three default ways; `best way` is the best of them alone,",
        "chosen by hindsight, `together` is what comes out at the default threshold.",
        "",
        f"    {figures.command}",
        "",
        "| corpus | | demonstrations | sentences | best way | together |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in sorted(figures.corpora, key=lambda one: (one.trained_on, one.corpus, -one.k)):
        seen = "trained on" if one.trained_on else "never seen"
        both = " | ".join(_score(row) for row in (one.best, one.rows["quorum"]))
        lines.append(f"| {one.corpus}, {one.split} | {seen} | {one.k} | {one.sentences:,} | {both} |")
    return lines


def _score(row: Score) -> str:
    return f"{row.f1:.3f} [{row.low:.3f}, {row.high:.3f}]"


def _reliability(figures: Figures) -> list[str]:
    lines = ["", "## Confidence", ""]
    told = figures.reliability
    if not told:
        return [*lines, "Not measured: every corpus above was trained on."]
    names = ", ".join(sorted({one.corpus for one in figures.corpora if not one.trained_on}))
    lines += [
        f"The confidence that ships, on candidates of the corpora never seen ({names}).",
        "Intervals are 95 %, by bootstrap over sentences; those of shares are Wilson's. The expected calibration error",
        "is over ten bins of equal width.",
        "",
        "| demonstrations | candidates | right | calibration error | Brier score |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in told:
        lines.append(f"| {one.k} | {one.candidates:,} | {one.right:,} | {_within(one.ece)} | {_within(one.brier)} |")
    lines += [
        "",
        f"With {told[0].k} demonstrations:",
        "",
        "| confidence | candidates | mean confidence | share that is right |",
        "| --- | --- | --- | --- |",
    ]
    for b in told[0].bins:
        lines.append(f"| {b.low:.1f} to {b.high:.1f} | {b.count:,} | {b.confidence:.2f} | {_within(b.accuracy, 2)} |")
    return lines


def _within(one: Within, digits: int = 3) -> str:
    return f"{one.value:.{digits}f} [{one.low:.{digits}f}, {one.high:.{digits}f}]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a card from the command line; 2 where something is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="the member: a folder among the adapters")
    parser.add_argument("--figures", type=Path, required=True, help="what benchmarks/member_card.py wrote")
    parser.add_argument("--folder", type=Path, default=Path("agent/models/adapters"), help="the folder of adapters")
    options = parser.parse_args(arguments)
    try:
        path = write_card(options.folder, options.name, read_figures(options.figures))
    except QuorumError as error:
        sys.stderr.write(f"cards: {error.message}\nhint: {error.hint}\n")
        return 2
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
