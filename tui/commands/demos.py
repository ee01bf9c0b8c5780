"""``quorum demos``: the demonstrations shown to the models."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.browse import browse
from tui.commands.common import (
    HERE,
    JsonOption,
    ProjectOption,
    counted,
    load_project,
    note,
    open_store,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from agent.config import ProjectConfig
    from tools.annotation import Span
    from tools.demonstrations import Demonstration, DemonstrationIndex, Embedder, Retrieved

app = typer.Typer(no_args_is_help=True, help="The demonstrations shown to the models: list, search, rebuild.")

app.command()(browse)


@app.command()
def rebuild(project: ProjectOption = HERE, as_json: JsonOption = False) -> None:
    """Make the index anew from the gold in the store, and check it against the store."""
    from tools.demonstrations import DemonstrationIndex

    config = load_project(project)
    with closing(open_store(config, read_only=True)) as store:
        embedder = _embedder(config)
        with closing(DemonstrationIndex.rebuilt(config.chroma_path, embedder, _gold(store))) as index:
            held_out: list[str] = []
            check = index.verify(_watched(_gold(store), held_out))
            facts: dict[str, Any] = {
                "path": str(config.chroma_path),
                "demonstrations": index.count(),
                "mentions": index.mention_count(),
                "held_out": len(held_out),
                "embedder": embedder.name,
                "revision": embedder.revision,
                "digest": index.digest,
                "matches_store": check.ok,
            }
    if as_json:
        print_json(facts)
    else:
        print_table(("what", "value"), list(facts.items()))
    if not facts["demonstrations"]:
        note("no demonstration yet: label some documents, or quorum import FILE --gold")
    if not check.ok:
        note("the store changed meanwhile: run it again")
        raise typer.Exit(1)


@app.command("list")
def list_demonstrations(
    project: ProjectOption = HERE,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many to show at most; 0 shows all.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List what is in the index."""
    with _index(load_project(project)) as index:
        found = (item for _, item in index.items())
        shown = list(itertools.islice(found, limit or None))
        total, mentions = index.count(), index.mention_count()
    if as_json:
        print_json({"total": total, "mentions": mentions, "demonstrations": [_described(item) for item in shown]})
        return
    print_table(("id", "text", "entities"), [(item.id, item.text, _entities(item)) for item in shown])
    note(f"{len(shown)} of {counted(total, 'demonstration')}, {counted(mentions, 'distinct mention')}")


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="The passage that demonstrations are wanted for.")],
    project: ProjectOption = HERE,
    retriever: Annotated[
        list[str] | None, typer.Option("--retriever", "-r", help="span, sentence, bm25 or random; may be repeated.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many for each retriever.")] = 5,
    mention: Annotated[
        list[str] | None,
        typer.Option("--mention", "-m", help="A mention in the text, for the span retriever; may be repeated."),
    ] = None,
    seed: Annotated[int, typer.Option(help="For the random retriever.")] = 13,
    as_json: JsonOption = False,
) -> None:
    """Show which demonstrations each retriever would choose for a text, and their scores.

    The span retriever compares mentions: name those of the text with --mention;
    without any, every run of words that looks like a name is taken.
    """
    import random

    from tools.demonstrations import Query
    from tools.demonstrations import retriever as make
    from tools.demonstrations.retrievers import RETRIEVERS

    names = list(dict.fromkeys(retriever or RETRIEVERS))
    with _index(load_project(project)) as index:
        chosen = {name: make(name, index) for name in names}
        query = Query("", text, _places(text, mention or []))
        found = {name: chooser.retrieve([query], k, rng=random.Random(seed))[0] for name, chooser in chosen.items()}
    if as_json:
        print_json({name: [_scored(item) for item in row] for name, row in found.items()})
        return
    rows = [
        (
            name,
            item.by,
            f"{item.score:.3f}",
            item.demonstration.id,
            item.demonstration.text,
            _entities(item.demonstration),
        )
        for name, row in found.items()
        for item in row
    ]
    print_table(("retriever", "found by", "score", "id", "text", "entities"), rows, right=(2,))
    if not rows:
        note("nothing was found")


def _index(config: ProjectConfig) -> DemonstrationIndex:
    """The project's index for reading."""
    from tools.demonstrations import DemonstrationIndex

    return DemonstrationIndex(config.chroma_path, _embedder(config), read_only=True)


def _embedder(config: ProjectConfig) -> Embedder:
    from tools.demonstrations import SentenceTransformerEmbedder

    return SentenceTransformerEmbedder(config.demonstrations.embedder, root=config.root)


def _gold(store: Any) -> Iterator[Demonstration]:
    from dataclasses import replace

    from tools.demonstrations.gold import demonstrations_of
    from tools.store.teaching import taught

    audit = store.audit_documents()  # a campaign estimates from these: no model may ever be shown one
    for document, gold in store.iter_gold():
        if document.id in audit:
            yield from demonstrations_of(document, gold.spans, split="audit")
    for piece in taught(store):
        for one in demonstrations_of(piece.document, piece.spans):
            yield replace(one, document_id=piece.parent.id, document_hash=piece.parent.hash)


def _watched(items: Iterator[Demonstration], held_out: list[str]) -> Iterator[Demonstration]:
    """The same, noting the ids of those of evaluation splits on the way."""
    from tools.demonstrations import may_demonstrate

    for item in items:
        if not may_demonstrate(item.split):
            held_out.append(item.id)
        yield item


def _places(text: str, mentions: list[str]) -> tuple[Span, ...]:
    """Where the mentions stand in the text; without any, words and runs of words that look like names."""
    import re

    from tools.annotation import Span
    from tools.errors import InputError

    if not mentions:
        named = r"[^\W\d_a-z][\w.&'-]*[\w](?:[ ][^\W\d_a-z][\w.&'-]*[\w])*"
        return tuple(Span(*match.span()) for match in re.finditer(named, text))
    spans: list[Span] = []
    for wanted in mentions:
        places = [match.span() for match in re.finditer(re.escape(wanted), text)] if wanted else []
        if not places:
            raise InputError(f"the text does not contain the mention {wanted!r}", "write it as it stands in the text")
        spans.extend(Span(*place) for place in places)
    return tuple(spans)


def _entities(item: Demonstration) -> str:
    return ", ".join(f"{span.text_in(item.text)} [{span.label}]" for span in item.spans)


def _described(item: Demonstration) -> dict[str, Any]:
    entities = [
        {"start": span.start, "end": span.end, "label": span.label, "text": span.text_in(item.text)}
        for span in item.spans
    ]
    return {
        "id": item.id,
        "document_id": item.document_id,
        "text": item.text,
        "entities": entities,
        "split": item.split,
    }


def _scored(item: Retrieved) -> dict[str, Any]:
    return {"score": round(item.score, 6), "by": item.by, **_described(item.demonstration)}
