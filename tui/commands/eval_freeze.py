"""``quorum eval freeze``: draw the samples of a suite's data sets once and for all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tui.commands.common import note, printable
from tui.commands.eval_run import DataRootOption


def freeze(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="The name of one of ours, or a .toml file.")],
    size: Annotated[int, typer.Option("--size", min=1, help="The most documents a data set.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Where the draw begins.")] = 13,
    again: Annotated[bool, typer.Option("--again", help="Draw again what is frozen already.")] = False,
    data_root: DataRootOption = None,
) -> None:
    """Draw the samples of a suite's data sets, and write their manifests.

    A manifest holds ids and hashes, no text; commit it. Runs refuse data that
    have changed since. What is frozen already stays, unless --again.
    """
    from evals.data import data_root as root_of
    from evals.data import freeze as draw
    from evals.suite import load_suite
    from tools.errors import OutputError

    loaded = load_suite(suite)
    root = root_of(data_root)
    for spec in loaded.suite.data:
        path: Path = loaded.manifest_path(spec)
        if path.exists() and not again:
            note(f"{spec.name}: frozen already in {printable(str(path))}")
            continue
        manifest = draw(loaded, spec, root, size, seed)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(manifest.to_text(), encoding="utf-8")
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written ({error.strerror})", "copy the suite to a folder of yours"
            ) from error
        note(f"{spec.name}: {len(manifest.documents):,} of {manifest.of:,} documents in {printable(str(path))}")
