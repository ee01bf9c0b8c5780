"""Going on after a model server of ours has died in the middle of something unattended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tools.errors import QuorumLost

T = TypeVar("T")
MOST = 3
"""So many calls in a row may end soon after they began."""
SOON = 300.0
"""Seconds, the start of a server among them."""


async def again_after_deaths(
    call: Callable[[bool], Awaitable[T]],
    deaths: Callable[[], int],
    note: Callable[[str], None],
    *,
    pause: float = 2.0,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Make a resumable call, and make it again where it ended because a server of ours died.

    Opening the models anew starts the server anew. A model that is served
    elsewhere, or that lives and does not answer, is nobody's to start: then the
    call ends as it did. So it does when servers die soon after their start,
    again and again.

    Args:
        call: Told whether it goes on with what an earlier one began.
        deaths: How many servers have died so far.
        note: Told what happens.
        pause: Seconds before another call.
        clock: Seconds that never go back.

    Raises:
        QuorumLost: No server died, or they die too fast.
    """
    soon, more = 0, False
    while True:
        died, began = deaths(), clock()
        try:
            return await call(more)
        except QuorumLost as error:
            soon = soon + 1 if clock() - began < SOON else 0
            if deaths() == died or soon >= MOST:
                raise
            note(f"{error.message}; starting the server again and going on")
        await asyncio.sleep(pause)
        more = True
