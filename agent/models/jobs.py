"""Work on weights that needs torch, done in a process of its own.

``run_job`` starts this file as a script, so that the caller never imports
torch and gets its memory back; the script part imports nothing of Quorum.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SMALL = 4 * 2**30
"""Checkpoints up to this size (bytes) are merged in float32 and rounded once."""


def run_job(name: str, arguments: dict[str, str], *, seconds: float = 3600.0, online: bool = False) -> dict[str, Any]:
    """Run a job of this file and wait for it.

    Args:
        name: convert, merge or download.
        arguments: What the job takes.
        seconds: The longest it may take.
        online: Whether it may use the network.

    Returns:
        What the job says about its work.

    Raises:
        RuntimeError: It failed; the message is the last line it wrote.
    """
    environment = {
        **os.environ,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    offline = "0" if online else "1"
    environment |= {"HF_HUB_OFFLINE": offline, "TRANSFORMERS_OFFLINE": offline, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    # -P keeps this folder, whose modules have ordinary names, out of the job's search path.
    command = [sys.executable, "-P", __file__, name, json.dumps(arguments)]
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"not done after {seconds:.0f} seconds") from error
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise RuntimeError(lines[-1] if lines else f"ended with status {done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def convert(gguf: str, out: str) -> dict[str, Any]:
    """A GGUF file to a bf16 safetensors checkpoint with its tokenizer.

    Args:
        gguf: The file.
        out: An existing, empty folder.
    """
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder, file = os.path.split(gguf)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file=file, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    model.save_pretrained(out, safe_serialization=True)
    tokenizer.save_pretrained(out)
    _tidy(Path(out))
    return {"transformers": transformers.__version__, "torch": torch.__version__}


def _tidy(folder: Path) -> None:
    """Say the context in the tokenizer's files and drop what only describes the loading."""
    limit = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("max_position_embeddings")
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    for key in ("is_local", "local_files_only"):
        settings.pop(key, None)
    if limit:
        settings["model_max_length"] = limit
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for weights in folder.glob("*.safetensors"):  # written for the user alone; a shared cache needs the umask's rights
        weights.chmod(path.stat().st_mode)


def merge(base: str, adapter: str, out: str) -> dict[str, Any]:
    """A base checkpoint and a LoRA adapter to one checkpoint.

    Args:
        base: Folder with safetensors.
        adapter: Folder with ``adapter_config.json`` and ``adapter_model.safetensors``.
        out: An existing, empty folder.
    """
    import peft
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    size = sum(file.stat().st_size for file in Path(base).glob("*.safetensors"))
    dtype = torch.float32 if size <= SMALL else "auto"
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, use_safetensors=True)
    wrapped = peft.PeftModel.from_pretrained(model, adapter)
    merged = wrapped.merge_and_unload(safe_merge=True)  # refuses weights that are not finite
    merged.to(torch.bfloat16).save_pretrained(out, safe_serialization=True)
    AutoTokenizer.from_pretrained(base).save_pretrained(out)
    _tidy(Path(out))
    return {"peft": peft.__version__, "torch": torch.__version__}


def download(repository: str, revision: str) -> dict[str, Any]:
    """A repository's configuration, tokenizer and safetensors into the Hugging Face cache."""
    from huggingface_hub import snapshot_download

    wanted = ["*.safetensors", "*.json", "*.jinja", "*.txt", "tokenizer.model"]
    return {"path": snapshot_download(repository, revision=revision or None, allow_patterns=wanted)}


def main(name: str, arguments: dict[str, str]) -> None:
    """Do a job and say so on stdout."""
    jobs: dict[str, Callable[..., dict[str, Any]]] = {"convert": convert, "merge": merge, "download": download}
    sys.stdout.write(json.dumps(jobs[name](**arguments)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
