"""The helper process that asks the project's models for suggestions while a person labels.

    python -m tui.labelling.live PROJECT

It is sent ``{"ask": [ids]}``, the most urgent first, and writes what the models
say into the store as results of a run of the kind ``suggest``; then it says
``{"ready": id}``. A newer request replaces what is left of an older one.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

from tools.errors import QuorumError
from tui.labelling.child import messages, tell

KIND = "suggest"


class Wanted:
    """The documents asked for and not answered, shared with the thread that listens."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._more = threading.Event()
        self.ended = False

    def listen(self) -> None:
        """Take requests until the screen is gone."""
        for message in messages():
            self._ids = [name for name in message.get("ask", ()) if isinstance(name, str)]
            self._more.set()
        self.ended = True
        self._more.set()

    def take(self) -> str | None:
        """Wait for the next document; None when the screen is gone."""
        while not self.ended:
            if self._ids:
                return self._ids.pop(0)
            self._more.wait()
            self._more.clear()
        return None


async def serve(root: Path, wanted: Wanted) -> None:
    """Open the models and answer until the screen is gone.

    Raises:
        QuorumError: The models cannot be had.
    """
    from agent.config import ProjectConfig
    from agent.opening import open_quorum
    from tools.annotation.chunking import chunk
    from tools.store import RunState, Store

    config = ProjectConfig.load(root)
    labels = config.label_set()
    with Store.open(config.store_path, shared=True) as store:
        async with open_quorum(config, labels, report=lambda text: tell(models=text)) as quorum:
            tell(models="", open=True)
            run: int | None = None
            sizes = config.passages
            try:
                while (name := await asyncio.to_thread(wanted.take)) is not None:
                    if store.run_of(name) is not None:
                        tell(ready=name)
                        continue
                    document = store.document(name)
                    passages = chunk(
                        document,
                        quorum.count_tokens,
                        max_tokens=sizes.max_tokens,
                        overlap_tokens=sizes.overlap_tokens,
                        context_tokens=sizes.context_tokens,
                    )
                    batch = await quorum.extract(passages)
                    if run is None:
                        what = {"config": config.model_dump(mode="json"), "labels": labels.hash}
                        run = store.start_run(what, f"{config.hash}/{labels.hash}", KIND)
                    usage = {tag: dict(vars(spent)) for tag, spent in batch.usage.items() if hasattr(spent, "__dict__")}
                    store.record_part(run, store.sequence_number(name), document.hash, batch.results, usage)
                    tell(ready=name)
            finally:
                if run is not None:
                    store.finish_run(run, RunState.COMPLETE)


def main(root: str) -> int:
    """Run the helper; what goes wrong is told to the screen."""
    wanted = Wanted()
    threading.Thread(target=wanted.listen, daemon=True).start()
    try:
        asyncio.run(serve(Path(root), wanted))
    except QuorumError as error:
        tell(gone=f"{error.message}. {error.hint}".rstrip(". "))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
