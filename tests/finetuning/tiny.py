"""A tiny random Llama with a byte-level tokenizer of its own: everything a real checkpoint has, in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

END = "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = [
    "Find the named entities in a text. Types: person place work Text: Ada met Bob in Bonn.",
    "List every entity of the last text, one a line, copied exactly. If there is none, write -",
    "Which type is this? Write one type, or none. Answer with yes or no. exactly these borders",
]


def write_tiny(folder: Path, *, seed: int = 0, context: int = 2048) -> Path:
    """Write a checkpoint: safetensors, configuration, fast tokenizer, chat template.

    Args:
        folder: Made where it does not exist.
        seed: Of the weights.
        context: Tokens it takes.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<|endoftext|>", "<|im_start|>", END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(WORDS * 3, trainer)
    # transformers' classes have no types of their own.
    fast: Any = PreTrainedTokenizerFast
    llama: Any = LlamaForCausalLM
    tokenizer = fast(tokenizer_object=core, eos_token=END, pad_token=END, bos_token="<|im_start|>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        initializer_range=0.3,
    )
    llama(config).save_pretrained(folder, safe_serialization=True)
    return folder
