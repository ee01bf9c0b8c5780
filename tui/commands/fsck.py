"""``quorum fsck``: is the store whole?"""

from __future__ import annotations

import dataclasses

import typer

from tui.commands.common import HERE, JsonOption, ProjectOption, counted, load_project, note, print_json, print_table


def fsck(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """Check that a project's store is whole: the file, its links, spans, parts and states.

    The status is 1 where an error was found; warnings alone do not count.
    """
    from tools.errors import StoreError
    from tools.store import fsck as check

    config = load_project(project)
    if not config.store_path.exists():
        raise StoreError(f"{config.store_path}: no such store", f"begin with: quorum import FILE --project {project}")
    findings = list(check(config.store_path))
    errors = sum(finding.severity == "error" for finding in findings)
    if as_json:
        print_json({"ok": not errors, "findings": [dataclasses.asdict(finding) for finding in findings]})
    else:
        if findings:
            rows = [(finding.severity, finding.id, finding.what, finding.hint) for finding in findings]
            print_table(("severity", "where", "what", "what to do"), rows)
        warnings = len(findings) - errors
        said = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}" if findings else "whole"
        note(f"{config.store_path}: {said}")
    raise typer.Exit(1 if errors else 0)
