"""Reading ahead, by a bounded amount, in a thread of its own.

Reading, decoding, chunking and storing the input must not hold up the event
loop, and a pipe that gives nothing must not hold up the end of the program: so
it is a daemon thread, and what it made waits in a short queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
_JOIN_SECONDS = 5.0


async def aside(function: Callable[[], Item]) -> Item:
    """The result of a function that is called in a daemon thread.

    As ``asyncio.to_thread``, but the end of the program does not wait for a
    thread that hangs in a read of a pipe.

    Raises:
        BaseException: What the function raised.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Item] = loop.create_future()

    def tell(set_it: Callable[[Any], None], value: object) -> None:
        if not done.done():  # cancelled meanwhile
            set_it(value)

    def work() -> None:
        try:
            outcome = (done.set_result, function())
        except StopIteration:
            outcome = (done.set_exception, RuntimeError("the function ended an iteration"))  # type: ignore[assignment]
        except BaseException as error:
            outcome = (done.set_exception, error)  # type: ignore[assignment]
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(tell, *outcome)

    threading.Thread(target=work, name="quorum-aside", daemon=True).start()
    return await done


class Feed(Generic[Item]):
    """An async view of an iterable that is drawn from in a thread.

    Args:
        items: What to draw from; an exception it raises comes out of ``get``.
        ahead: How many items may wait.
    """

    def __init__(self, items: Iterable[Item], ahead: int = 2) -> None:
        self._items = items
        self._queue: asyncio.Queue[Item | BaseException | None] = asyncio.Queue(max(1, ahead))
        self._closing = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._draw, name="quorum-input", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Feed[Item]:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        # A thread that hangs in a read of a pipe is left behind; it holds nothing.
        deadline = asyncio.get_running_loop().time() + _JOIN_SECONDS
        while self._thread.is_alive() and asyncio.get_running_loop().time() < deadline:
            self._drain()
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Draw nothing more; ``get`` gives None from now on. Call from the event loop."""
        self._closing.set()
        self._over = True
        self._drain()
        self._queue.put_nowait(None)

    async def get(self) -> Item | None:
        """The next item, or None when there is none or the feed is closed.

        Raises:
            BaseException: What the iterable raised.
        """
        if self._over:
            return None
        item = await self._queue.get()
        if not (self._over or item is None or isinstance(item, BaseException)):
            return item
        fresh = not self._over
        self._over = True
        # The others that wait here must wake up too.
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)
        if fresh and isinstance(item, BaseException):
            raise item
        return None

    def _drain(self) -> None:
        with contextlib.suppress(asyncio.QueueEmpty):
            while True:
                self._queue.get_nowait()

    def _draw(self) -> None:
        try:
            for item in self._items:
                if self._closing.is_set():
                    return
                self._hand_over(item)
                if self._closing.is_set():
                    return
        except BaseException as error:  # it belongs to whoever waits in get
            self._hand_over(error)
        else:
            self._hand_over(None)

    def _hand_over(self, item: Item | BaseException | None) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError, asyncio.CancelledError):  # the loop has ended
            put = self._queue.put(item)
            try:
                waiting = asyncio.run_coroutine_threadsafe(put, self._loop)
            except RuntimeError:
                put.close()
                raise
            waiting.result()
