"""Prompts for models in this process: chat template, token ids, context, a fingerprint of the weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.engines.protocol import Request
from tools.errors import EngineError, ModelError


class ChatTokenizer:
    """A model's own tokenizer and chat template.

    Args:
        model_path: A folder, or the id of a model that is in the local cache.
        template_options: More variables for the chat template.

    Raises:
        ModelError: There is no tokenizer, or it has no chat template.
    """

    def __init__(self, model_path: str, template_options: Mapping[str, Any] | None = None) -> None:
        from transformers import AutoTokenizer

        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(model_path, trust_remote_code=False)
        except (OSError, ValueError, TypeError, KeyError) as error:
            hint = "pull the model, or give the folder it lies in"
            raise ModelError(f"no tokenizer for {model_path}: {_line(error)}", hint) from error
        if not self.tokenizer.chat_template:
            raise ModelError(f"{model_path} has no chat template", "use the model's instruction-tuned variant")
        self._options = dict(template_options or {})

    def ids(self, request: Request) -> list[int]:
        """Token ids of a request's prompt, up to where the answer begins.

        Raises:
            ValueError: The template does not take these messages, or the text is not valid Unicode.
        """
        messages = [{"role": role, "content": content} for role, content in request.messages]
        try:
            text = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=False, **self._options
            )
            text.encode("utf-8")
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        except Exception as error:  # templates are programs of others; Jinja has errors of its own
            raise ValueError(f"the chat template does not take the messages: {_line(error)}") from error

    def count(self, text: str) -> int:
        """Tokens of a text, without special ones."""
        clean = text if text.isascii() else text.encode("utf-8", "replace").decode()
        return len(self.tokenizer(clean, add_special_tokens=False)["input_ids"])


def context_of(model_path: str) -> int:
    """How many tokens the model takes, by its configuration.

    Raises:
        EngineError: The configuration is missing or says nothing of it.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(model_path, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise EngineError(f"no model at {model_path}: {_line(error)}", "pull it first, or correct the path") from error
    text = config.get_text_config()
    length = getattr(text, "max_position_embeddings", None)
    if not isinstance(length, int):
        raise EngineError(f"{model_path} does not say how long its context is", "set context_tokens")
    return length


def fingerprint(model_path: str) -> str:
    """Identifies a folder's weights without reading them: configuration, and size and time of every file.

    For an id of the hub it is the id: its cache changes only when a person pulls.
    """
    folder = Path(model_path)
    if not folder.is_dir():
        return model_path
    config = folder / "config.json"
    files = [
        (file.name, file.stat().st_size, file.stat().st_mtime_ns)
        for file in sorted(folder.iterdir())
        if file.suffix in (".safetensors", ".gguf") or file.name in ("tokenizer.json", "chat_template.jinja")
    ]
    what = json.dumps([config.read_text() if config.exists() else "", files])
    return hashlib.blake2b(what.encode(), digest_size=12).hexdigest()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
