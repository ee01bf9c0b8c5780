"""``quorum prompts``: list, show, render, compare."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.common import JsonOption, print_json, print_table

if TYPE_CHECKING:
    from prompts import Template

app = typer.Typer(no_args_is_help=True, help="The prompts: list them, show one, render one, compare two.")
_Reference = Annotated[str, typer.Argument(metavar="STEP/NAME.vN", help="For example extract/spans.v1.")]
_Project = Annotated[
    Path | None, typer.Option("--project", "-p", help="A project whose own prompts count too.", file_okay=False)
]


@app.command("list")
def list_prompts(project: _Project = None, as_json: JsonOption = False) -> None:
    """List every prompt with its version, hash and what its version changed."""
    from prompts import catalogue

    templates = catalogue(_extra(project))
    if as_json:
        print_json([_described(template) for template in templates])
        return
    print_table(
        ("prompt", "answer", "hash", "changed"), [(t.reference, t.answer, t.hash, t.changed) for t in templates]
    )


@app.command()
def show(reference: _Reference, project: _Project = None, as_json: JsonOption = False) -> None:
    """Print a prompt as it is written, template language and all."""
    template = _find(reference, _extra(project))
    if as_json:
        print_json({**_described(template), "source": template.source})
    else:
        typer.echo(template.source, nl=False)


@app.command()
def render(
    reference: _Reference,
    text: Annotated[str, typer.Option("--text", "-t", help="The passage.")],
    labels: Annotated[
        str, typer.Option("--labels", "-l", metavar="FILE|a,b,c", help="A label file or names; default: the project's.")
    ] = "",
    mention: Annotated[str, typer.Option("--mention", help="For classify and verify: the mention asked about.")] = "",
    label: Annotated[str, typer.Option("--label", help="For verify: the type that is claimed.")] = "",
    context: Annotated[str, typer.Option("--context", help="Text just before the passage.")] = "",
    project: _Project = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a model would read for a passage of yours, without demonstrations."""
    from agent.config import ProjectConfig
    from prompts import CandidateView, LabelView, window
    from prompts import render as rendered
    from tools.annotation import model_text
    from tools.annotation.labelfile import read_label_set
    from tools.errors import InputError

    extra = _extra(project)
    template = _find(reference, extra)
    if labels:
        label_set = read_label_set(labels)
    elif project is not None:
        label_set = ProjectConfig.load(project).label_set()
    else:
        raise InputError("no label set is named", "give --labels person,location, or --project DIR")
    shown = model_text(text)
    candidate = None
    if template.step in ("classify", "verify"):
        start = shown.find(model_text(mention)) if mention else -1
        if start < 0:
            raise InputError(f"the passage does not contain the mention {mention!r}", "name it with --mention")
        name = label_set.resolve(label) if label else label_set.names[0]
        if name is None:
            raise InputError(f"there is no label {label!r}", f"labels are {', '.join(label_set.names)}")
        before, after = window(shown, start, start + len(mention))
        candidate = CandidateView(shown[start : start + len(mention)], before, after, label_set.codes[name])
    views = tuple(
        LabelView(label_set.codes[x.name], x.words, x.description, x.examples, x.counter_examples) for x in label_set
    )
    prompt = rendered(template, views, shown, context=model_text(context), candidate=candidate, extra=extra)
    if as_json:
        print_json({**_described(template), "messages": [{"role": r, "content": c} for r, c in prompt.messages]})
        return
    for role, content in prompt.messages:
        typer.echo(f"--- {role}\n{content}")


@app.command()
def diff(one: _Reference, other: _Reference, project: _Project = None, as_json: JsonOption = False) -> None:
    """Compare two prompts line by line; the status is 1 where they differ."""
    extra = _extra(project)
    left, right = _find(one, extra), _find(other, extra)
    lines = list(
        difflib.unified_diff(
            left.source.splitlines(), right.source.splitlines(), left.reference, right.reference, lineterm="", n=2
        )
    )
    if as_json:
        print_json({"one": _described(left), "other": _described(right), "diff": lines})
    else:
        typer.echo("\n".join(lines), nl=bool(lines))
    raise typer.Exit(1 if lines else 0)


def _extra(project: Path | None) -> Path | None:
    if project is None:
        return None
    from agent.config import ProjectConfig

    return ProjectConfig.load(project).prompts_folder


def _find(reference: str, extra: Path | None) -> Template:
    from prompts import STEPS, load
    from tools.errors import PromptError

    step, slash, name = reference.partition("/")
    for known in STEPS:
        if slash and step == known:
            return load(known, name, extra)
    raise PromptError(f"{reference!r} names no prompt", "write STEP/NAME.vN; see quorum prompts list")


def _described(template: Template) -> dict[str, object]:
    return {
        "reference": template.reference,
        "step": template.step,
        "id": template.id,
        "version": template.version,
        "answer": template.answer,
        "hash": template.hash,
        "changed": template.changed,
        "path": str(template.path),
    }
