"""Training on a project's labels: what joins gold, base, trainer, and the project file.

``train_project`` is what ``quorum train`` calls, ``train_on`` what evaluations
and campaigns call with gold of their own. Both block; inside an event loop call
them by ``asyncio.to_thread``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agent.config import MemberConfig, ModelConfig, ProjectConfig
from agent.models.registry import ModelRef, is_own, resolve
from agent.models.weights import check_fit, sha256_of
from agent.trainingrun import RECORD, Plan, TrainOptions, Watch, finished, train_plan
from tools.annotation import Document, LabelSet, Span
from tools.errors import InputError
from tools.finetuning.errors import TrainingError

if TYPE_CHECKING:
    from tools.finetuning.records import Templates

Register = Literal["add", "replace", "none"]
ADAPTERS = "adapters"


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
    plan = Plan(ref, folder, init, _identity(init, out), tokenizer, examples, templates or _newest(), options, device)
    done = finished(out, plan.fingerprint)
    if done is not None and not options.again:
        return _outcome(options.name, out, ref, done, finished_before=True)
    summary = train_plan(plan, out, work or out.with_name(out.name + ".work"), watch)
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
    source = "starter-base" if is_own(model.source) else model.source
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
    from tools.store.teaching import taught

    watch("reading the project's gold")
    with Store.open(config.store_path, read_only=True) as store:
        audited = store.audit_documents()
        left += sum(document.id in audited for document, _ in store.iter_gold())
        for piece in taught(store):
            if held_out(piece.document, piece.source):
                left += 1
            else:
                found.append((piece.document, piece.spans))
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
    elif options.init == "starter" or options.init.startswith("starter:"):
        init = starter.adapter(options.init)
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
