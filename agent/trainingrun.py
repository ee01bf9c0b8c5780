"""One training from plan to finished adapter: sources, steps, scores, the record beside the weights."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agent.models.places import fresh_folder
from agent.models.registry import ModelRef
from agent.models.weights import check_fit, read_adapter, revision_of
from tools.finetuning.errors import TrainingError

if TYPE_CHECKING:
    from agent.trainingscore import DevScore
    from tools.finetuning.examples import Examples
    from tools.finetuning.fit import FitProgress, Fitted
    from tools.finetuning.records import Templates
    from tools.finetuning.stream import Source

Watch = Callable[["str | FitProgress"], None]
"""Told in words what is going on, and of every step."""
Contrastive = Literal["none", "sigmoid", "infonce"]
RECORD = "training.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How to train.

    Attributes:
        name: Of the new member and its model.
        base: A model's source or a name from ``[models]``; None for that of the first member.
        init: auto (the adapter that the base's model has), none (a fresh one), starter or starter:MEMBER, or an
            adapter's folder.
        steps: The most; None for ten passes, from 30 to 400.
        minutes: The most; None for no limit.
        contrastive: The form of the contrastive loss, or none.
        contrastive_weight: Its weight; None for the default.
        temperature: Its temperature; None for the form's default.
        layer: The hidden states it looks at; None for three quarters of the depth.
        adversarial: Norm of the embeddings' perturbation as a share of their own; 0 for none.
        adversarial_steps: 1 for the fast gradient method, more for projected gradient descent.
        rank: Of a fresh adapter.
        learning_rate: Its highest.
        length: Tokens of a packed row.
        rows: Rows a step.
        seed: Of everything drawn.
        device: auto, cpu, cuda, cuda:1.
        minimum: Examples that a type must have.
        allow_few: Leave types with fewer out instead of refusing.
        skip_bad: Leave mentions out that do not ground instead of refusing.
        dev_share: Share of the documents set aside for early stopping.
        patience: Looks at the dev part without an improvement after which it stops; 0 never stops early.
        score: Passages of the dev part to extract before and after; 0 for none.
        max_tokens: Of a passage, where there is no project to say so.
        demonstrations: The most shown with a record.
        template_options: More variables for the base's chat template.
        again: Train anew where the same training is finished already.
    """

    name: str = "trained"
    base: str | None = None
    init: str = "auto"
    steps: int | None = None
    minutes: float | None = None
    contrastive: Contrastive = "none"
    contrastive_weight: float | None = None
    temperature: float | None = None
    layer: int | None = None
    adversarial: float = 0.0
    adversarial_steps: int = 1
    rank: int = 16
    learning_rate: float = 4e-4
    length: int = 1280
    rows: int = 1
    seed: int = 13
    device: str = "auto"
    minimum: int = 3
    allow_few: bool = False
    skip_bad: bool = False
    dev_share: float = 0.2
    patience: int = 4
    score: int = 24
    max_tokens: int = 128
    demonstrations: int = 5
    template_options: Mapping[str, Any] = field(default_factory=dict)
    again: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is settled before the first step."""

    ref: ModelRef
    base: Path
    init: Path | None
    init_identity: str
    tokenizer: Any
    examples: Examples
    templates: Templates
    options: TrainOptions
    device: str

    @property
    def fingerprint(self) -> str:
        """What makes two trainings the same (hex): gold, labels, base, prompts, options; not the device."""
        left_out = ("name", "base", "init", "device", "again", "score")
        chosen = {key: value for key, value in asdict(self.options).items() if key not in left_out}
        parts = self.examples.train.documents + self.examples.dev.documents
        templates = (*self.templates.extract, *self.templates.classify, self.templates.verify)
        what = [
            FORMAT,
            [[d.id, d.hash, [[s.start, s.end, s.label] for s in spans]] for d, spans in parts],
            self.examples.labels.hash,
            revision_of(self.base),
            self.init_identity,
            [template.hash for template in templates],
            chosen,
        ]
        return hashlib.blake2b(json.dumps(what, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def _sources(plan: Plan) -> tuple[Source, Source]:
    """What is trained on, and what is watched."""
    from tools.finetuning.marks import MarkOptions
    from tools.finetuning.stream import PROJECT_MIX, Coding, Source
    from tools.finetuning.tree import end_of_turn

    options, examples, tokenizer = plan.options, plan.examples, plan.tokenizer
    end = end_of_turn(tokenizer, options.template_options)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.convert_tokens_to_ids(end)
    coding = Coding(
        tokenizer,
        end,
        int(pad or 0),
        min(options.length, plan.ref.context_tokens),
        options.rows,
        options.template_options,
        None if options.contrastive == "none" else MarkOptions(),
    )
    shown = options.demonstrations
    mix = replace(PROJECT_MIX, max_demonstrations=shown) if shown else replace(PROJECT_MIX, no_demonstrations=1.0)
    train = Source(
        examples.train.passages, examples.train.sentences, examples.labels, plan.templates, mix, coding, options.seed
    )
    # Watched as it will be used: every type, its description, as many demonstrations as not.
    still = replace(mix, bare=0.0, drop_types=0.0)
    return train, replace(train, passages=examples.dev.passages, mix=still)


def train_plan(plan: Plan, out: Path, work: Path, watch: Watch) -> dict[str, Any]:
    """Train, score, and put the adapter in its place; what was killed before goes on.

    Returns:
        The record that stands beside the adapter (``training.json``).
    """
    from tools.finetuning.adversarial import AdversarialOptions
    from tools.finetuning.contrastive import ContrastOptions
    from tools.finetuning.fit import FitConfig, fit, resume_point
    from tools.finetuning.lora import layers_of, load_trainable
    from tools.finetuning.objective import Objective

    options, examples = plan.options, plan.examples
    train, dev = _sources(plan)
    epoch = len(train.epoch(0))
    steps = options.steps or min(400, max(30, 10 * epoch))
    step, adapter, state = resume_point(work, plan.fingerprint)
    watch(f"going on after step {step}" if step else f"loading {plan.ref.name}")
    model = load_trainable(
        plan.base, init=adapter or plan.init, rank=options.rank, seed=options.seed, device=plan.device
    )
    contrast = None
    if options.contrastive != "none":
        weight = ContrastOptions().weight if options.contrastive_weight is None else options.contrastive_weight
        contrast = ContrastOptions(options.contrastive, weight, options.temperature, options.layer)
        try:
            contrast.layer_of(layers_of(model))
        except ValueError as error:
            raise TrainingError(str(error), "leave --layer out for three quarters of the depth") from error
    perturbation = (
        AdversarialOptions(options.adversarial, options.adversarial_steps) if options.adversarial > 0 else None
    )
    measured = examples.dev.passages[: options.score]
    if measured and "score_before" not in state.extra:
        state.extra["score_before"] = _scored(plan, model, measured, "before", watch)
    config = FitConfig(
        steps=steps,
        seconds=60 * options.minutes if options.minutes is not None else float("inf"),
        learning_rate=options.learning_rate,
        evaluate_every=max(5, min(epoch, 40)),
        patience=options.patience,
    )
    watched = dev.fixed(32) if examples.dev.passages else []
    fitted = fit(
        model,
        train.endless(),
        watched,
        Objective(contrast, perturbation),
        config,
        work,
        watch=watch,
        state=state,
        first_step=step,
        device=plan.device,
    )
    after = None
    if measured:
        _load_weights(model, fitted.adapter)
        after = _scored(plan, model, measured, "after", watch)
    summary = _summary(plan, fitted, after, epoch, train.too_long())
    _ship(plan, fitted, out, summary)
    shutil.rmtree(work, ignore_errors=True)
    return summary


def _scored(plan: Plan, model: Any, passages: Any, when: str, watch: Watch) -> dict[str, Any]:
    from agent.trainingscore import score_model

    watch(f"extracting {len(passages)} passages of the dev part, {when} training")
    found: DevScore = score_model(
        model,
        plan.base,
        passages,
        plan.examples.train.sentences if plan.options.demonstrations else (),
        plan.examples.labels,
        prompts=plan.templates.prompts,
        template_options=dict(plan.options.template_options),
    )
    return asdict(found)


def _load_weights(model: Any, adapter: Path) -> None:
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(model, load_file(adapter / "adapter_model.safetensors"))


def _summary(plan: Plan, fitted: Fitted, after: dict[str, Any] | None, epoch: int, too_long: int) -> dict[str, Any]:
    options, examples, state = plan.options, plan.examples, fitted.state
    has_dev = bool(state.history)
    before = None
    if plan.init is not None and (plan.init / RECORD).is_file():
        before = json.loads((plan.init / RECORD).read_text(encoding="utf-8"))
    return {
        "format": FORMAT,
        "fingerprint": plan.fingerprint,
        "base": plan.ref.name,
        "base_revision": revision_of(plan.base),
        "init": str(plan.init.name) if plan.init else None,
        "init_identity": plan.init_identity,
        "labels": list(examples.labels.names),
        "left_out": dict(examples.left_out),
        "documents": {"train": examples.train.used, "dev": examples.dev.used},
        "inherited_documents": _inherited(before),
        "counts": {
            "train": {"documents": len(examples.train.documents), "passages": len(examples.train.passages)},
            "dev": {"documents": len(examples.dev.documents), "passages": len(examples.dev.passages)},
            "mentions": {
                name: {"train": examples.train.counts.get(name, 0), "dev": examples.dev.counts.get(name, 0)}
                for name in examples.labels.names
            },
            "cut_at_passage_borders": examples.cut,
            "too_long": too_long,
        },
        "prompts": [t.reference for t in (*plan.templates.extract, *plan.templates.classify, plan.templates.verify)],
        "options": {key: value for key, value in asdict(options).items() if key not in ("again", "base")},
        "steps": fitted.steps,
        "steps_an_epoch": epoch,
        "stopped": fitted.stopped,
        "best_step": state.best_step if has_dev else fitted.steps,
        "tokens": state.tokens,
        "seconds": round(state.seconds, 1),
        "device": plan.device,
        "dev_loss": {"before": state.dev_before, "after": state.best_loss} if has_dev else None,
        "improved": is_better(bool(state.best_step) if has_dev else True, state.extra.get("score_before"), after),
        "history": [list(entry) for entry in state.history],
        "dev_f1": {"before": state.extra.get("score_before"), "after": after} if after else None,
    }


def is_better(fell: bool, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> bool:
    """Whether an adapter is worth a place among the members.

    A lower loss alone is not enough: likelier tokens have been seen together
    with fewer right spans.

    Args:
        fell: Whether the dev loss fell.
        before: The dev score before training, where it was measured.
        after: The same after it.
    """
    return fell and not (before and after and after["f1"] < before["f1"])


def _inherited(before: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """What the adapter that it began with had been trained on."""
    if before is None:
        return []
    found = [*before.get("inherited_documents", []), *before["documents"]["train"], *before["documents"]["dev"]]
    return list({(one["id"], one["hash"]): one for one in found}.values())


def _ship(plan: Plan, fitted: Fitted, out: Path, summary: dict[str, Any]) -> None:
    """Put the adapter in its place as a whole: bf16 safetensors, configuration, record."""
    from tools.finetuning.shipping import ship

    name = "starter-base" if plan.ref.kind == "starter" else plan.ref.hub_id or plan.base.name
    with fresh_folder(out) as made:
        weights = ship(fitted.adapter, made, name, limit=None)
        summary["adapter_bytes"] = weights.stat().st_size
        summary["rank"] = int(read_adapter(made)[0]["r"])
        check_fit(plan.base, made)
        (made / RECORD).write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def finished(out: Path, fingerprint: str) -> dict[str, Any] | None:
    """The record of the same training where it is finished already."""
    try:
        found: dict[str, Any] = json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = (out / "adapter_model.safetensors").is_file()
    return found if whole and found.get("fingerprint") == fingerprint else None
