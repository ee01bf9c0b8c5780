"""Training on a project's labels: what joins gold, base, trainer, and the project file.

``train_project`` is what ``quorum train`` calls, ``train_on`` what evaluations
and campaigns call with gold of their own. Both block; inside an event loop call
them by ``asyncio.to_thread``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agent.config import MemberConfig, ModelConfig, ProjectConfig
from agent.models.places import fresh_folder
from agent.models.registry import ModelRef, resolve
from agent.models.weights import check_fit, read_adapter, revision_of, sha256_of
from tools.annotation import Document, LabelSet, Span
from tools.errors import InputError
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
Register = Literal["add", "replace", "none"]
ADAPTERS = "adapters"
RECORD = "training.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How to train.

    Attributes:
        name: Of the new member and its model.
        base: A model's source or a name from ``[models]``; None for that of the first member.
        init: auto (the adapter that the base's model has), none (a fresh one), starter, or an adapter's folder.
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
class TrainOutcome:
    """What a training came to.

    Attributes:
        name: The member's.
        adapter: Folder of the adapter: bf16 safetensors, and ``training.json``.
        ref: The base with it, as members would name it; merged where that was wanted.
        improved: See ``is_better``; True where there is no dev part to say so.
        summary: What was learned, as plain values (``training.json`` holds the same).
        finished_before: Nothing was done: the same training was finished already.
        registered: What changed in the project file; empty for nothing.
        served: The running server that was given the adapter; empty for none.
        notes: What a person should know.
    """

    name: str
    adapter: Path
    ref: ModelRef
    improved: bool
    summary: Mapping[str, Any]
    finished_before: bool = False
    registered: str = ""
    served: str = ""
    notes: tuple[str, ...] = ()


def train_on(
    gold: Iterable[tuple[Document, Iterable[Span]]],
    labels: LabelSet,
    base: str | ModelRef,
    out: Path,
    options: TrainOptions,
    watch: Watch,
    *,
    work: Path | None = None,
    templates: Templates | None = None,
) -> TrainOutcome:
    """Train an adapter on gold; nothing is registered or merged.

    Killed, it goes on from its last checkpoint when called again with the same
    gold, labels, base and options.

    Args:
        gold: Documents with all their mentions. Who calls sees to it that none
            belongs to a test split.
        labels: The label set.
        base: A model's source, or what ``resolve`` made of it (``merge=False``).
        out: The adapter's folder; replaced as a whole when the training is done.
        options: How.
        watch: Told what goes on.
        work: Folder for checkpoints; ``OUT.work`` by default. Removed at the end.
        templates: The prompts to train on; the newest of each kind by default.

    Raises:
        TrainingError: Too little gold, a loss that is no number, no room for a checkpoint.
        InputError: A mention does not ground.
        ModelError: The base is unknown or served elsewhere, or the adapter to begin with does not fit.
    """
    from tools.finetuning.examples import prepare
    from tools.finetuning.lora import pick_device

    device = pick_device(options.device)
    ref = base if isinstance(base, ModelRef) else resolve(base, merge=False, root=Path())
    folder = _base_of(ref)
    init = _init_of(ref, folder, options)
    tokenizer = _tokenizer(folder)
    examples = prepare(
        gold,
        labels,
        lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"]),
        max_tokens=options.max_tokens,
        minimum=options.minimum,
        allow_few=options.allow_few,
        skip_bad=options.skip_bad,
        dev_share=options.dev_share,
        seed=options.seed,
    )
    plan = _Plan(ref, folder, init, _identity(init, out), tokenizer, examples, templates or _newest(), options, device)
    done = _finished(out, plan.fingerprint)
    if done is not None and not options.again:
        return _outcome(options.name, out, ref, done, finished_before=True)
    summary = _train(plan, out, work or out.with_name(out.name + ".work"), watch)
    return _outcome(options.name, out, ref, summary)


def train_project(
    folder: str | Path,
    options: TrainOptions,
    watch: Watch,
    *,
    data: Path | None = None,
    register: Register = "add",
    even_if_worse: bool = False,
    merge: bool = True,
) -> TrainOutcome:
    """Train on a project's gold and make the adapter one of its members.

    Documents of any split but a training one, and those that were labelled for
    the audit, are never trained on. The ids and hashes of those that were stand
    in ``adapters/NAME/training.json``.

    Args:
        folder: The project's.
        options: How.
        watch: Told what goes on.
        data: A file of gold instead of the project's own.
        register: Add a member, let the members of the base use it instead
            (``replace``), or leave the project file alone.
        even_if_worse: Register although the dev loss did not fall, or F1 did.
        merge: Merge base and adapter for CPU now rather than at the next run.

    Raises:
        QuorumError: As ``train_on``; the project or its store cannot be read or edited.
    """
    config = ProjectConfig.load(folder)
    labels = config.label_set()
    model_name, model = _model_of(config, options.base)
    ref = resolve(model.source, adapter=model.adapter, merge=False, root=config.root, known=config.models)
    template_options = {**model.template_options, **options.template_options}
    options = replace(
        options,
        max_tokens=config.passages.max_tokens,
        demonstrations=max((config.demonstrations_of(member) for member in config.members), default=0),
        template_options=template_options,
    )
    out = config.root / ADAPTERS / options.name
    work = config.store_path.parent / "training" / options.name
    known = next((member for member in config.members if member.name == options.name), None)
    new = known or MemberConfig(name=options.name, model=options.name)
    gold, held_out = _gold_of(config, labels, data, watch)
    outcome = train_on(gold, labels, ref, out, options, watch, work=work, templates=_templates(config, new))
    notes = list(outcome.notes)
    if held_out:
        notes.append(f"{held_out} labelled documents of the audit or of evaluation splits were not trained on")
    source = "starter-base" if model.source == "starter" else model.source
    entry: dict[str, Any] = {"source": source, "adapter": f"{ADAPTERS}/{options.name}"}
    if model.template_options:
        entry["template_options"] = dict(model.template_options)
    trained = resolve(
        source, adapter=entry["adapter"], alias=options.name, merge=False, root=config.root, known=config.models
    )
    registered = ""
    if register != "none" and (outcome.improved or even_if_worse):
        from agent.configedit import add_member

        new = new.model_copy(update={"model": options.name})
        instead = model_name if register == "replace" else None
        registered = add_member(config.root, new, entry, instead_of=instead)
    elif register != "none":
        notes.append(
            "not registered: on the dev part the loss did not fall, or F1 did (--even-if-worse registers it anyway)"
        )
    trained, served = _make_ready(trained, merge, watch, notes)
    return replace(outcome, ref=trained, registered=registered, served=served, notes=tuple(notes))


# -- what is read -------------------------------------------------------------------------------------------------


def held_out(document: Document, source: str = "") -> bool:
    """Whether a labelled document must not be trained on.

    Args:
        document: Its ``meta["split"]`` names a split; none is training.
        source: Where the decision came from; one labelled for the audit says so.
    """
    from tools.demonstrations import may_demonstrate

    split = str(document.meta.get("split") or "train")
    return not may_demonstrate(split) or source.casefold().startswith(("audit", "test"))


def _gold_of(
    config: ProjectConfig, labels: LabelSet, data: Path | None, watch: Watch
) -> tuple[list[tuple[Document, tuple[Span, ...]]], int]:
    """Gold that may be trained on, and how many labelled documents may not."""
    found: list[tuple[Document, tuple[Span, ...]]] = []
    left = 0
    if data is not None:
        from tools.formats.gold import gold_spans
        from tools.formats.reading import read_documents

        watch(f"reading {data}")
        for document in read_documents(data):
            if "entities" not in document.meta:
                raise InputError(f"{data}: document {document.id!r} has no entities", "gold needs text and entities")
            if held_out(document):
                left += 1
                continue
            found.append((document, gold_spans(document, labels)))
        return found, left
    if not config.store_path.exists():
        raise TrainingError(
            f"{config.root}: nothing is labelled yet",
            f"quorum import FILE --gold --project {config.root}, or name a file by --data",
        )
    from tools.store import Store

    watch("reading the project's gold")
    with Store.open(config.store_path, read_only=True) as store:
        audited = store.audit_documents()
        for document, gold in store.iter_gold():
            kept_apart = document.id in audited or held_out(document, gold.source)
            left += kept_apart
            if not kept_apart:
                found.append((document, gold.spans))
    return found, left


def _model_of(config: ProjectConfig, base: str | None) -> tuple[str, ModelConfig]:
    if base is None:
        member = config.members[0]
        return member.model, config.model_of(member)
    return base, config.models.get(base) or ModelConfig(source=base)


def _base_of(ref: ModelRef) -> Path:
    if ref.base is None:
        raise TrainingError(
            f"{ref.name} is served elsewhere and cannot be trained here", "name a model on this machine"
        )
    return ref.base


def _init_of(ref: ModelRef, base: Path, options: TrainOptions) -> Path | None:
    from agent.models import starter

    if options.init == "none":
        return None
    if options.init == "auto":
        init = ref.adapter
    elif options.init == "starter":
        init = starter.adapter()
        if init is None:
            raise TrainingError(
                "no starter adapter comes with this installation", "begin with a fresh one: --init none"
            )
    else:
        init = Path(options.init).expanduser()
    if init is not None:
        rank = check_fit(base, init)
        if options.rank not in (rank, TrainOptions().rank):
            raise TrainingError(
                f"{init}: has rank {rank}, not {options.rank}", "leave --rank out, or begin afresh: --init none"
            )
    return init


def _identity(init: Path | None, out: Path) -> str:
    """What a training begins with (hex, or empty).

    An adapter that goes on from itself counts as what it began with the first
    time: else the same command, given twice, would train twice.
    """
    if init is None:
        return ""
    if init.resolve() == out.resolve():
        try:
            return str(json.loads((out / RECORD).read_text(encoding="utf-8"))["init_identity"])
        except (OSError, ValueError, KeyError):
            # Not of our making: its weights say what it is.
            return sha256_of(init / "adapter_model.safetensors")
    return sha256_of(init / "adapter_model.safetensors")


def _tokenizer(folder: Path) -> Any:
    from agent.engines.local_prompt import ChatTokenizer

    return ChatTokenizer(str(folder)).tokenizer


def _newest() -> Templates:
    from prompts import load
    from tools.finetuning.records import Templates

    return Templates(
        extract=(load("extract", "spans"), load("extract", "typed")),
        classify=(load("classify", "marked"), load("classify", "asked")),
        verify=load("verify", "yes_no"),
    )


def _templates(config: ProjectConfig, new: MemberConfig) -> Templates:
    """The prompt versions that members use, and of spans and typed spans at least one each."""
    from prompts import Template, load
    from tools.finetuning.records import Templates

    extra = config.prompts_folder
    extract: dict[str, Template] = {}
    classify: dict[str, Template] = {}
    for member in (*config.members, new):
        for step, found in (("extract", extract), ("classify", classify)):
            template = load("extract" if step == "extract" else "classify", getattr(member, step), extra)
            found[template.reference] = template
    for name in ("spans", "typed"):
        template = load("extract", name, extra)
        if all(other.answer != template.answer for other in extract.values()):
            extract[template.reference] = template
    return Templates(tuple(extract.values()), tuple(classify.values()), load("verify", "yes_no", extra), extra)


# -- training -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
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


def _sources(plan: _Plan) -> tuple[Source, Source]:
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


def _train(plan: _Plan, out: Path, work: Path, watch: Watch) -> dict[str, Any]:
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


def _scored(plan: _Plan, model: Any, passages: Any, when: str, watch: Watch) -> dict[str, Any]:
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


def _summary(plan: _Plan, fitted: Fitted, after: dict[str, Any] | None, epoch: int, too_long: int) -> dict[str, Any]:
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


def _ship(plan: _Plan, fitted: Fitted, out: Path, summary: dict[str, Any]) -> None:
    """Put the adapter in its place as a whole: bf16 safetensors, configuration, record."""
    from tools.finetuning.shipping import ship

    name = "starter-base" if plan.ref.kind == "starter" else plan.ref.hub_id or plan.base.name
    with fresh_folder(out) as made:
        weights = ship(fitted.adapter, made, name, limit=None)
        summary["adapter_bytes"] = weights.stat().st_size
        summary["rank"] = int(read_adapter(made)[0]["r"])
        check_fit(plan.base, made)
        (made / RECORD).write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _finished(out: Path, fingerprint: str) -> dict[str, Any] | None:
    """The record of the same training where it is finished already."""
    try:
        found: dict[str, Any] = json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = (out / "adapter_model.safetensors").is_file()
    return found if whole and found.get("fingerprint") == fingerprint else None


def _outcome(
    name: str, out: Path, ref: ModelRef, summary: Mapping[str, Any], *, finished_before: bool = False
) -> TrainOutcome:
    notes = []
    if summary["left_out"]:
        few = ", ".join(f"{label} ({count})" for label, count in summary["left_out"].items())
        notes.append(f"not trained, too few examples: {few}")
    if many := summary["counts"]["too_long"]:
        notes.append(f"{many} passages were left out: longer than {summary['options']['length']} tokens with prompt")
    if many := summary["counts"]["cut_at_passage_borders"]:
        notes.append(f"{many} mentions reach across passages and were left out")
    if summary["dev_loss"] is None:
        notes.append("no dev part: too few documents to set some aside, so nothing says whether it got better")
    return TrainOutcome(name, out, ref, bool(summary["improved"]), summary, finished_before, notes=tuple(notes))


# -- making it usable -----------------------------------------------------------------------------------------------


def _make_ready(ref: ModelRef, merge: bool, watch: Watch, notes: list[str]) -> tuple[ModelRef, str]:
    """Give the adapter to a running server that can take it, or merge it."""
    from agent.models import starter
    from agent.models.devices import available_engine
    from agent.models.handover import hand_over, server_for
    from tools.errors import EngineError

    record = server_for(ref)
    if record is not None:
        try:
            return ref, hand_over(ref, record).name
        except EngineError as error:
            notes.append(f"{error.message}; {error.hint}")
    if merge and ref.adapter is not None and available_engine().kind != "vllm-cuda":
        path = starter.merged(ref.adapter, base=ref.base, progress=watch)
        return replace(ref, path=path), ""
    return ref, ""
