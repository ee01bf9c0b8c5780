"""Any causal model: tiny random ones of other architectures learn the same from packed trees as from single prompts."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.finetuning.gold import GOLD, LABELS
from tools.finetuning.lora import layers_of, load_trainable
from tools.finetuning.marks import MarkOptions
from tools.finetuning.objective import losses_of
from tools.finetuning.records import Mix, RecordMaker
from tools.finetuning.tree import collate, encode, end_of_turn

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "initializer_range": 0.3,
}
# The families of docs/larger-members.md, and others whose head does more than multiply.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen3": ("Qwen3Config", {"head_dim": 8}),
    "gemma3": ("Gemma3TextConfig", {"head_dim": 8, "sliding_window": 1024}),
    "phi3": ("Phi3Config", {}),
    "llama": ("LlamaConfig", {}),
    "gemma2": ("Gemma2Config", {"head_dim": 8, "sliding_window": 1024, "final_logit_softcapping": 3.0}),
    "granite": ("GraniteConfig", {"logits_scaling": 4.0}),
}


def written(family: str, tokenizer: Any, folder: Path) -> Path:
    import torch
    import transformers
    from transformers import AutoModelForCausalLM

    name, more = FAMILIES[family]
    config = getattr(transformers, name)(vocab_size=len(tokenizer), **SIZES, **more)
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_packed_trees_are_learned_as_single_prompts_are(family: str, tokenizer: Any, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    base = written(family, tokenizer, tmp_path)
    model = load_trainable(base, rank=2)
    model.float().eval()
    trained = {n.split(".")[-4] for n, p in model.named_parameters() if p.requires_grad}
    fused = {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}
    apart = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert trained == (fused if family == "phi3" else apart)
    assert layers_of(model) == 2
    maker = RecordMaker(GOLD, LABELS, Mix(no_demonstrations=1.0), random.Random(3))
    weights = {"extract": 1.0, "classify": 1.0, "verify": 1.0}
    tree = encode(maker.make(0), tokenizer, weights=weights, marks=MarkOptions())
    plain: Any = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.bfloat16, attn_implementation="eager" if family == "gemma2" else "sdpa"
    ).float()
    plain.eval()
    with torch.no_grad():
        packed, _ = losses_of(model, collate([[tree, tree]], pad=2))
        total = weight = 0.0
        for number in range(1, max(tree.branch) + 1):
            path = [i for i, b in enumerate(tree.branch) if b in (0, number)]
            where = {index: at for at, index in enumerate(path)}
            # The whole model, its own head and its own mask.
            logits = plain(input_ids=torch.tensor([[tree.tokens[i] for i in path]])).logits[0].float()
            for index, token, share in tree.targets:
                if tree.branch[index] == number:
                    total += share * float(
                        torch.nn.functional.cross_entropy(logits[where[index]][None], torch.tensor([token]))
                    )
                    weight += share
    assert float(packed) == pytest.approx(total / weight, rel=2e-3)


@pytest.mark.parametrize(
    ("template", "end"),
    [
        ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}", "<|im_end|>"),
        ("{% for m in messages %}[{{ m.role }}] {{ m.content }}<|endoftext|>{% endfor %}", "<|endoftext|>"),
        ("{% for m in messages %}{{ m.content }}\n{% endfor %}", "<|im_end|>"),
    ],
)
def test_the_end_of_an_answer_is_read_off_the_chat_template(tokenizer: Any, template: str, end: str) -> None:
    from copy import deepcopy

    other = deepcopy(tokenizer)
    other.chat_template = template
    assert end_of_turn(other) == end


def test_template_options_reach_the_prompt(tokenizer: Any) -> None:
    from copy import deepcopy

    other = deepcopy(tokenizer)
    other.chat_template = (
        tokenizer.chat_template + "{% if enable_thinking is defined and not enable_thinking %}<no>{% endif %}"
    )
    maker = RecordMaker(GOLD, LABELS, Mix(no_demonstrations=1.0), random.Random(3))
    weights = {"extract": 1.0, "classify": 1.0, "verify": 1.0}
    plain = encode(maker.make(0), other, weights=weights)
    told = encode(maker.make(0), other, weights=weights, template_options={"enable_thinking": False})
    assert "<no>" not in other.decode(plain.tokens) and "<no>" in other.decode(told.tokens)
