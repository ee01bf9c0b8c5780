"""Work shared out by blocks of rows, with the BLAS's own threads switched off meanwhile.

Most products here are small, and a BLAS that shares each of them out among its threads waits longer than it works,
the more so on a machine that has other things to do. What comes out does not depend on how many threads there are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def workers() -> Iterator[Executor]:
    """Threads, one a processor that this process may use, for as long as the block runs."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(count) as threads:
        yield threads
