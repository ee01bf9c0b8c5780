"""How the figures of a run came about: the command, dates, versions, hashes, what it cost."""

from __future__ import annotations

import shlex

from evals.log import RunLog
from evals.tables import markdown_table


def command(run: RunLog) -> str:
    """The command that makes such a run."""
    head = run.header
    parts = ["quorum", "eval", "run", head.suite]
    for given in head.overrides:
        parts += ["--set", given]
    if head.limit:
        parts += ["--limit", str(head.limit)]
    return shlex.join(parts)


def provenance(run: RunLog) -> list[str]:
    """Lines of Markdown: a list, and a table of what each data set was and cost."""
    head = run.header
    models = {name: revision for p in run.passes.values() for name, revision in p.header.models.items()}
    prompts = {name: hash for p in run.passes.values() for name, hash in p.header.prompts.items()}
    for cell in run.cells:
        models |= {str(k): str(v) for k, v in (cell.header.parts.get("models") or {}).items()}
        prompts |= {str(k): str(v) for k, v in (cell.header.parts.get("prompts") or {}).items()}
    lines = [f"### How {head.suite} was run", ""]
    lines += [f"- `{command(run)}`", f"- begun {head.started[:16].replace('T', ' ')} UTC, run `{head.run}`"]
    lines.append("- " + ", ".join(f"{name} {value}" for name, value in head.versions.items()))
    lines.append("- " + ", ".join(f"{name} {value}" for name, value in head.machine.items()))
    lines += [f"- model {name}: `{revision}`" for name, revision in sorted(models.items())]
    if prompts:
        listed = ", ".join(f"{name} `{hash[:8]}`" for name, hash in sorted(prompts.items()))
        lines.append(f"- prompts: {listed}")
    missing = len(run.unfinished)
    if missing:
        lines.append(f"- {missing} of {len(head.cells)} planned cells are not there yet; `{command(run)} --resume`")
    return [*lines, "", *markdown_table(_HEADS, _costs(run), texts=1)]


_HEADS = (
    "data",
    "documents",
    "hash of ids, texts, gold",
    "cells",
    "requests",
    "tokens",
    "seconds asking",
    "kept answers",
)


def _costs(run: RunLog) -> list[tuple[str, ...]]:
    """A row a data set; what passes cost, and of logs without passes what their cells say."""
    rows: list[tuple[str, ...]] = []
    refs = {cell.header.data.name: cell.header.data for cell in run.cells}
    for name, ref in refs.items():
        own = [cell for cell in run.cells if cell.header.data.name == name and cell.end.state == "done"]
        seen: dict[str, dict[str, float]] = {}
        for cell in own:
            cost = cell.end.cost
            known = seen.setdefault(cell.header.pass_id, {})
            for key in ("requests", "prompt_tokens", "output_tokens", "pass_seconds", "replayed"):
                # Cells of a pass ask parts of the same: the one that asks most stands for it.
                known[key] = max(known.get(key, 0.0), cost.get(key, 0.0))
        requests = sum(k["requests"] for k in seen.values())
        tokens = sum(k["prompt_tokens"] + k["output_tokens"] for k in seen.values())
        kept = sum(k["replayed"] * k["requests"] for k in seen.values()) / requests if requests else 0.0
        rows.append(
            (
                name, f"{ref.documents:,}", f"`{ref.hash[:12]}`", f"{len(own)}", f"{requests:,.0f}", f"{tokens:,.0f}",
                f"{sum(k['pass_seconds'] for k in seen.values()):,.0f}", f"{kept:.0%}",
            )
        )  # fmt: skip
    return rows
