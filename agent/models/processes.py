"""Processes told apart for good: a number may be used again, a number with its start time is not."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

GRACE = 3.0
"""Seconds that processes without their leader get to end by themselves."""


def identity_of(pid: int) -> str | None:
    """What tells a living process from every other that had or will have its number.

    On Linux the boot and the start in clock ticks since then, which setting the
    clock does not change; elsewhere the start time. None for a process that is
    not there, or is a zombie.
    """
    if sys.platform == "linux":
        try:
            # The name in parentheses may itself hold blanks and parentheses.
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        return None if fields[0] in (b"Z", b"X") else f"{boot}:{fields[19].decode()}"
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return None


def spawn(command: Sequence[str], environment: Mapping[str, str], log: Path) -> int:
    """Start a process in a session of its own, its output going to a file.

    A terminal's Ctrl-C and hang-up do not reach it. It survives its parent.

    Returns:
        Its number, which is its session's and group's, too.

    Raises:
        OSError: The program or the log cannot be opened.
    """
    mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), mode, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    # Not subprocess.Popen: nobody here waits for the process, and Popen objects warn about that.
    return os.posix_spawn(command[0], list(command), dict(environment), file_actions=actions, setsid=True)


def reap(pid: int) -> None:
    """Clear away a child that ended, so that it does not stay as a zombie; harmless for others."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def session_members(session: int) -> list[int]:
    """The living processes of a session."""
    import psutil

    found = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == session and identity_of(pid) is not None:
                found.append(pid)
    return found


def end_session(leader: int, identity: str, *, seconds: float = 15.0) -> bool:
    """End a process that ``spawn`` started and all of its descendants.

    The leader is asked (SIGTERM), so that it can end its children in order; what
    outlives it is asked in turn, and what is left at the end is killed. A process
    that merely has the leader's number now is not touched.

    Args:
        leader: The number that ``spawn`` returned.
        identity: The leader's ``identity_of``, taken when it was started.
        seconds: How long to wait before killing.

    Returns:
        Whether anything had to be ended.
    """
    now = identity_of(leader)
    if now is not None and now != identity:
        # The number is in use again, which Linux does only once no process is left in the old session.
        return False
    members = {pid: identity_of(pid) for pid in session_members(leader)}
    if now == identity:
        members[leader] = identity
    if not members:
        reap(leader)
        return False
    led = now == identity
    _send(signal.SIGTERM, [leader] if led else members)
    deadline = time.monotonic() + (seconds if led else GRACE)
    while time.monotonic() < deadline and (left := _left(leader, members)):
        if led and leader not in left:
            # It went without its children, which know nothing of it yet.
            led = False
            _send(signal.SIGTERM, left)
            deadline = min(deadline, time.monotonic() + GRACE)
        time.sleep(0.1)
    if left := _left(leader, members):
        _send(signal.SIGKILL, left)
        # Nothing can refuse this, but a busy machine takes its time to clear away gigabytes.
        deadline = time.monotonic() + 30.0
        while time.monotonic() < deadline and _left(leader, members):
            time.sleep(0.05)
    reap(leader)
    return True


def _left(leader: int, members: dict[int, str | None]) -> list[int]:
    """Members still alive, those that were born meanwhile among them."""
    reap(leader)
    for pid in session_members(leader):
        members.setdefault(pid, identity_of(pid))
    return [pid for pid, identity in members.items() if identity is not None and identity_of(pid) == identity]


def _send(what: signal.Signals, pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)
