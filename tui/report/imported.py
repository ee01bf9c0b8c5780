"""What an import came to, for a person and for machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tui.commands.common import counted, note, print_json, printable

if TYPE_CHECKING:
    from tools.formats import ReadReport
    from tui.report.foldered import Foldered


@dataclass(slots=True)
class Imported:
    """What an import came to, in documents.

    Attributes:
        added: New in the project.
        skipped: There already, with the same text.
        gold: Given gold, or given other gold than they had.
        gold_skipped: There already, with the same gold.
        without_gold: Without a decision in their record, so not taken for reviewed.
        unused: With annotations that were not taken as gold, for want of --gold.
        bad: Records that could not be used (only with --skip-bad).
    """

    added: int = 0
    skipped: int = 0
    gold: int = 0
    gold_skipped: int = 0
    without_gold: int = 0
    unused: int = 0
    bad: int = 0


def tell(
    done: Imported,
    report: ReadReport,
    total: int,
    labels: list[str],
    project: Path,
    files: Foldered | None,
    *,
    gold: bool,
    as_json: bool,
) -> None:
    """Say what was imported: JSON on stdout, or lines on stderr.

    Args:
        done: What was written.
        report: What reading came to.
        total: Documents that the project has now.
        labels: Labels that were added to the label file.
        project: The project's folder.
        files: What was taken of a folder; None where one file was read.
        gold: Whether gold was asked for.
        as_json: Whether machines read it.
    """
    for warning in report.warnings:
        note(printable(f"warning: {warning}"))
    if as_json:
        print_json(
            {
                **asdict(done), "documents": total, "encodings": dict(report.encodings), "labels_added": labels,
                "repairs": dict(report.repairs), "losses": report.losses.as_json(),
                "bad_records": [str(bad) for bad in report.bad[:20]], "files": files and files.to_json(),
            }
        )  # fmt: skip
        return
    for line in files.lines() if files is not None else ():
        note(printable(line))
    note(f"{counted(done.added, 'document')} added, {done.skipped:,} were there already; the project has {total:,}")
    if gold:
        already, without = done.gold_skipped, done.without_gold
        note(f"gold for {counted(done.gold, 'document')}, {already:,} had the same; {without:,} carried none")
    elif done.unused:
        note(
            f"{counted(done.unused, 'document')} carried annotations; they are kept as they came, and nobody sees them"
        )
        note("as gold or suggestions: the same command with --gold takes them as gold")
    if labels:
        note(f"labels added to the label file: {', '.join(labels)}; describe them there, models read it")
    for kind, count in report.repairs.items():
        first = next((str(place) for place in report.repaired), "")
        note(printable(f"repaired: {count:,} {kind} (first: {first})"))
    for line in report.losses.lines():
        note(printable(line))
    if done.bad:
        note(f"{counted(done.bad, 'bad record')} left out")
        for bad in report.bad[:5]:
            note(printable(f"  {bad}"))
    note(f"next: quorum status --project {project}")
