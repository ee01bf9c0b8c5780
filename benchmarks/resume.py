"""Results kept part by part, so that a benchmark that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.models import serve
from agent.models.devices import available_engine
from agent.models.registry import ModelRef


@dataclass(frozen=True, slots=True)
class Parts:
    """Results by what decides them, a file each in a folder."""

    folder: Path

    def get(self, what: Mapping[str, Any]) -> dict[str, Any] | None:
        """What an earlier run kept, or None."""
        path = self._path(what)
        if not path.is_file():
            return None
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["result"]
        return found

    def put(self, what: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Keep a result; ``what`` is all that decides it, as plain values."""
        write_json(self._path(what), {"what": dict(what), "result": dict(result)})

    def _path(self, what: Mapping[str, Any]) -> Path:
        text = json.dumps(what, sort_keys=True)
        return self.folder / f"{hashlib.blake2b(text.encode(), digest_size=10).hexdigest()}.json"


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write by rename, so that a kill leaves the old file, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.tmp")
    fresh.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(path)


class Servers:
    """Servers that stay for several passes, each started when the first pass needs it."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._served: set[str] = set()

    async def need(self, ref: ModelRef) -> None:
        """See to it that a model is served from now on; what opens a quorum then finds its server running."""
        if ref.revision in self._served or ref.kind == "url" or available_engine().kind == "transformers":
            return
        await self._stack.enter_async_context(serve.serving([ref]))
        self._served.add(ref.revision)


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    """Servers for as long as the block runs."""
    async with AsyncExitStack() as stack:
        yield Servers(stack)
