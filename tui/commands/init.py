"""``quorum init``: a new project folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tui.commands.common import JsonOption, load_project, note, open_store, print_json


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make; it may exist.", file_okay=False)],
    labels: Annotated[
        str, typer.Option("--labels", "-l", metavar="FILE|a,b,c", help="A label file, or names separated by commas.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a project folder with its quorum.toml, labels.toml and store.

    Without --labels it begins with person, organization and location; edit
    labels.toml to make them yours.
    """
    from agent.config import write_template
    from tools.annotation.labelfile import read_label_set
    from tools.annotation.labels import Label, LabelSet

    label_set = (
        read_label_set(labels)
        if labels
        else LabelSet(
            (
                Label("person", "people by name", ("Ada Lovelace",), ("the engineer",)),
                Label("organization", "companies, agencies, teams and other organised groups", ("World Bank",)),
                Label("location", "countries, cities, rivers, buildings and other places", ("Lake Geneva",)),
            )
        )
    )
    path = write_template(folder, label_set)
    config = load_project(folder)
    with open_store(config) as store:
        store.save_label_set(config.label_set())
    if as_json:
        print_json({"project": str(folder), "config": str(path), "labels": list(config.label_set().names)})
        return
    note(f"made {folder} with {len(config.label_set())} label(s): {', '.join(config.label_set().names)}")
    note(f"next: describe the labels in {config.labels_path}, then: quorum import FILE --project {folder}")
