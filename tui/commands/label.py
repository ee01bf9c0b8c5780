"""``quorum label``: the labelling screen."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.common import (
    HERE,
    ProjectOption,
    check_theme,
    key_table,
    load_project,
    make_state_folder,
    need_terminal,
    note,
    user_name,
)

if TYPE_CHECKING:
    from agent.config import ProjectConfig
    from tools.store import Store
    from tui.labelling.project import Project
    from tui.labelling.queue import Queue


def label(
    documents: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]...", help="Only these documents, in this order.", show_default=False),
    ] = None,
    project: ProjectOption = HERE,
    annotator: Annotated[str, typer.Option("--annotator", "-a", help="Who labels.", show_default="you")] = "",
    queue: Annotated[
        Path | None,
        typer.Option(
            "--queue", "-q", metavar="FILE", help="A document id a line (- is stdin).", dir_okay=False, allow_dash=True
        ),
    ] = None,
    keys: Annotated[
        str, typer.Option("--keys", help="Keys: default, vim or prodigy.", show_default="as in [keys]")
    ] = "",
    theme: Annotated[str, typer.Option("--theme", help="Colours: standard, light or contrast.")] = "standard",
    models: Annotated[
        bool, typer.Option("--models/--no-models", help="Ask the project's models for suggestions meanwhile.")
    ] = True,
    blind: Annotated[bool, typer.Option("--blind", help="Do not show what other people marked.")] = False,
    every: Annotated[bool, typer.Option("--all", help="All documents, also while a campaign's batch waits.")] = False,
) -> None:
    """Label documents in the terminal, by keyboard.

    Shows what the models suggest; every decision is on disk before the screen
    says so. While a campaign waits for answers, its batch is what comes; --all
    takes all documents. Leave at any moment and go on with the same command. Key ? lists
    all keys.
    """
    config = load_project(project)
    check_theme(theme)
    ids = [*(documents or []), *_read_ids(queue)] if documents or queue is not None else None
    need_terminal("the labelling screen", "run it in one; quorum import --gold takes labels from files")
    with open_for_labelling(config) as store:
        opened = open_project(config, store, keys)
        who = annotator or user_name()
        raise typer.Exit(
            run_screen(
                config, opened, store, make_queue(store, who, ids, every=every), who, theme, models=models, blind=blind
            )
        )


def open_for_labelling(config: ProjectConfig) -> Store:
    """The project's store, writable beside other writers; every commit waits for the disk.

    Raises:
        StoreError: It is damaged, or a newer release made it.
    """
    from tools.store import Store

    make_state_folder(config.store_path.parent)
    return Store.open(config.store_path, durable=True, shared=True)


def open_project(config: ProjectConfig, store: Store, preset: str = "") -> Project:
    """The project for the screen: types as in the label file, keys of the project over the person's own.

    Raises:
        ConfigError, LabelSetError: The keys or the label file are wrong.
    """
    from tui.labelling.project import Project

    labels = config.label_set()
    table = key_table(config)
    if preset:
        table["preset"] = preset
    found = Project(config.project.name, config.root, labels, config.labels_path, table, store.guidelines())
    _ = found.keymap  # a wrong table is told before the screen opens
    store.save_label_set(labels)
    return found


def make_queue(store: Store, annotator: str, ids: list[str] | None, *, every: bool = False) -> Queue:
    """The documents a person named, what a campaign asks, or all that nobody has finished.

    Args:
        store: Open for writing.
        annotator: Who labels.
        ids: The documents named; None for none.
        every: Whether a campaign is passed over.

    Raises:
        InputError: A named document is not in the store.
    """
    from tui.labelling.campaignqueue import CampaignQueue, waits_for
    from tui.labelling.queue import ListQueue, StoreQueue

    if ids is not None:
        return ListQueue(store, annotator, ids)
    return (
        CampaignQueue(store, annotator) if not every and waits_for(store, annotator) else StoreQueue(store, annotator)
    )


def run_screen(
    config: ProjectConfig,
    project: Project,
    store: Store,
    queue: Queue,
    annotator: str,
    theme: str = "standard",
    *,
    models: bool = True,
    blind: bool = False,
) -> int:
    """Show the screen until the person leaves it.

    Args:
        config: The project's settings, for its models.
        project: What the screen shows of it.
        store: Open for writing.
        queue: What comes next.
        annotator: Who labels.
        theme: The name of the colours.
        models: Whether to ask the project's models meanwhile.
        blind: Whether other people's gold is hidden.

    Returns:
        The exit status.
    """
    from tui.app import QuorumApp
    from tui.labelling.campaignqueue import CampaignQueue
    from tui.labelling.session import Session
    from tui.screens.label import LabelScreen

    project.ask_models = models
    session = Session(store, annotator, queue, others=not blind)
    app = QuorumApp(theme, project.keys)
    screen = LabelScreen(project, session)
    app.first = lambda: screen
    status = app.run()
    if app.return_code:
        return app.return_code
    if isinstance(queue, CampaignQueue):
        queue.release()
        left = queue.left()
        told = f"{left:,} of {queue.total():,} documents of {queue.name} wait: quorum label" if left else queue.ending()
        note(f"{told} --project {config.root}")
        return status or 0
    done = store.finished_count()
    note(f"{done:,} of {queue.total():,} documents are done; go on with: quorum label --project {config.root}")
    return status or 0


def _read_ids(path: Path | None) -> list[str]:
    from tools.errors import InputError

    if path is None:
        return []
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})", "a document id a line, UTF-8") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
