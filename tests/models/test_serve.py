"""Servers as processes: started, noted, watched, shared, ended without orphans."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.models import launch, planning, serve, serverstate
from agent.models.devices import EngineChoice
from agent.models.health import check_port, free_port, healthy, last_lines
from agent.models.places import locked
from agent.models.processes import end_session, identity_of, session_members
from agent.models.registry import resolve
from agent.models.serve import Death, Endpoint
from agent.models.serverspec import ServerSpec
from tests.models.checkpoints import tiny_base
from tools.errors import EngineError, QuorumLost

FAKE = Path(__file__).with_name("fake_server.py")
SPEC = ServerSpec("fake-1", Path("/none"), "fake", "rev-1", max_model_len=2048)


def command(mode: str, served_name: str = "fake") -> list[str]:
    return [sys.executable, str(FAKE), "{port}", served_name, mode]


@pytest.fixture(autouse=True)
def _no_orphans(own_home: Path) -> Iterator[None]:
    yield
    for record in serverstate.records():
        end_session(record.pid, record.identity, seconds=0.1)


def test_a_server_starts_is_noted_and_ends_with_its_children() -> None:
    said: list[str] = []
    record = serve.start(SPEC, command=command("well"), progress=said.append)
    assert healthy(record.port, "fake")
    assert not healthy(record.port, "another")
    assert serverstate.read("fake-1") == record
    assert os.getsid(record.pid) == record.pid != os.getsid(0)
    members = session_members(record.pid)
    assert len(members) == 2
    assert "ready" in said[-1]
    [status] = serve.status()
    assert (status.state, status.record, status.users) == ("ready", record, ())
    assert status.memory > 2**20
    with pytest.raises(EngineError, match="runs already"):
        serve.start(SPEC, command=command("well"))

    assert serve.stop("fake") is True
    assert [identity_of(pid) for pid in members] == [None, None]
    assert serve.status() == []
    with pytest.raises(EngineError, match="no server 'fake'"):
        serve.stop("fake")


def test_one_that_ignores_the_request_is_killed() -> None:
    record = serve.start(SPEC, command=command("stubborn"))
    members = session_members(record.pid)
    begun = time.monotonic()
    assert serve.stop("fake-1", seconds=0.5)
    assert time.monotonic() - begun < 6
    assert [identity_of(pid) for pid in members] == [None, None]


def test_orphans_of_a_killed_leader_are_ended() -> None:
    record = serve.start(SPEC, command=command("well"))
    [child] = [pid for pid in session_members(record.pid) if pid != record.pid]
    os.kill(record.pid, signal.SIGKILL)
    _until(lambda: not _reaped_alive(record))
    assert identity_of(child) is not None
    assert serve.status()[0].state == "dead"
    assert serve.stop("fake-1")
    assert identity_of(child) is None


def _reaped_alive(record: serverstate.ServerRecord) -> bool:
    return launch.status()[0].state != "dead"


def _until(condition: object, seconds: float = 10.0) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.05)


def test_a_recycled_pid_is_not_ours() -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        assert identity_of(stranger.pid)
        time.sleep(0.05)  # a clock tick or more: two that start in the same one differ by their numbers only
        record = serve.start(SPEC, command=command("well"))
        recycled = replace(record, pid=stranger.pid)
        assert record.alive
        assert not recycled.alive
        assert end_session(recycled.pid, recycled.identity, seconds=0.1) is False
        assert stranger.poll() is None
        serve.stop(record.name)
        serverstate.write(recycled)
        assert serve.status()[0].state == "dead"
        assert serve.stop(record.name) is False
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_crash_while_starting_is_told_with_its_cause() -> None:
    with pytest.raises(EngineError, match="ended while starting: ValueError: no room for the cache") as caught:
        serve.start(SPEC, command=command("crash"))
    assert "fake-1.log" in caught.value.hint
    assert serverstate.records() == []


def test_one_that_never_answers_is_ended() -> None:
    with pytest.raises(EngineError, match="did not answer within 1 seconds"):
        serve.start(SPEC, command=command("never"), seconds=1.0)
    assert serverstate.records() == []


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(EngineError, match="cannot be started"):
        serve.start(SPEC, command=["/no/such/program"])


def test_a_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match=f"port {port} on 127.0.0.1 cannot be used") as caught:
            serve.start(SPEC, port=port, command=command("well"))
        assert "leave it out" in caught.value.hint
    assert serverstate.records() == []
    check_port(free_port())
    with pytest.raises(EngineError, match="is no port"):
        check_port(70000)


def test_a_killed_server_is_noticed() -> None:
    record = serve.start(SPEC, command=command("well"))

    async def kill_and_watch() -> tuple[Death, float]:
        watching = asyncio.create_task(serve.watch([record], interval=0.05))
        await asyncio.sleep(0.3)
        assert not watching.done()
        begun = time.monotonic()
        os.kill(record.pid, signal.SIGKILL)
        return await asyncio.wait_for(watching, 10), time.monotonic() - begun

    death, seconds = asyncio.run(kill_and_watch())
    assert (death.name, death.log) == ("fake-1", record.log)
    assert "its process ended" in death.reason
    assert seconds < 5


def test_one_that_hangs_is_noticed() -> None:
    record = serve.start(SPEC, command=command("well"))
    os.kill(record.pid, signal.SIGSTOP)
    try:
        death = asyncio.run(asyncio.wait_for(serve.watch([record], interval=0.05, allowed=2, seconds=0.2), 10))
        assert "missed 2 health checks" in death.reason
    finally:
        os.kill(record.pid, signal.SIGCONT)


def test_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_lines(log) == ()
    log.write_bytes(b"\n".join([b"x" * 100] * 1000 + [b"\x1b[31mred\x1b[0m", b"", b"nanobind: leaked 4", b"caf\xe9"]))
    assert last_lines(log, 2) == ("red", "caf\ufffd")


def test_damaged_notes_are_left_aside(own_home: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = own_home / "state" / "servers"
    folder.mkdir(parents=True)
    (folder / "bad.json").write_text("{half")
    (folder / "odd.json").write_text('{"name": "odd"}')
    assert serverstate.records() == []
    assert "not a note about a server" in caplog.text


def test_notes_are_json_with_what_is_needed(own_home: Path) -> None:
    record = serve.start(SPEC, command=command("well"))
    noted = json.loads((own_home / "state" / "servers" / "fake-1.json").read_text())
    assert noted["pid"] == record.pid
    assert noted["port"] == record.port
    assert noted["identity"] == identity_of(record.pid)
    assert noted["command"][1] == str(FAKE)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model whose servers are the fake ones."""
    monkeypatch.setattr(launch, "build_command", lambda spec, port: _fake(spec, port, "well"))
    monkeypatch.setattr(planning, "available_engine", lambda: EngineChoice("vllm-cpu", ""))
    return str(tiny_base(tmp_path / "tiny"))


def _fake(spec: ServerSpec, port: int, mode: str) -> list[str]:
    return [sys.executable, str(FAKE), str(port), spec.served_name, mode]


def test_serving_starts_shares_and_ends(model: str) -> None:
    async def work() -> tuple[Endpoint, Endpoint, list[str]]:
        ref = resolve(model, alias="twin")
        async with serve.serving([model, ref]) as first:
            assert set(first) == {model, "twin"}
            assert first[model].url == first["twin"].url
            async with serve.serving([model]) as second:
                assert serve.status()[0].users == (os.getpid(), os.getpid())
            states = [each.state for each in serve.status()]
        return first[model], second[model], states

    first, second, states = asyncio.run(work())
    assert first == second
    assert first.context_tokens == 512
    assert states == ["ready"]
    assert serve.status() == []
    assert first.server is not None
    assert identity_of(first.server.pid) is None


def test_two_who_start_at_once_share_one_server(model: str) -> None:
    async def one() -> int:
        async with serve.serving([model]) as endpoints:
            server = endpoints[model].server
            assert server is not None
            await asyncio.sleep(0.5)
            assert healthy(server.port)
            return server.pid

    async def both() -> list[int]:
        return await asyncio.gather(one(), one())

    first, second = asyncio.run(both())
    assert first == second
    assert serve.status() == []


def test_one_who_gives_up_waiting_leaves_the_others_server(model: str) -> None:
    async def one(said: list[str]) -> str:
        async with serve.serving([model], progress=said.append) as endpoints:
            return endpoints[model].url

    async def work() -> str:
        with locked(serverstate.servers_folder() / ".start.lock"):
            said: list[str] = []
            waiting = asyncio.create_task(one(said))
            while not any("waiting" in line for line in said):
                await asyncio.sleep(0.02)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(waiting, 5)
        return await one([])

    assert asyncio.run(work()).startswith("http://127.0.0.1:")
    assert serve.status() == []


def test_names_must_tell_models_apart(model: str, tmp_path: Path) -> None:
    other = resolve(str(tiny_base(tmp_path / "other", seed=7)), alias=model)

    async def work() -> None:
        async with serve.serving([model, other]):
            pytest.fail("which one?")

    with pytest.raises(ValueError, match="alias"):
        asyncio.run(work())


def test_serving_keeps_what_was_asked_to_stay(model: str) -> None:
    [record] = serve.keep_running([resolve(model)])

    async def work() -> int:
        async with serve.serving([model]) as endpoints:
            server = endpoints[model].server
            assert server is not None
            return server.pid

    assert asyncio.run(work()) == record.pid
    assert [each.state for each in serve.status()] == ["ready"]
    assert serve.keep_running([resolve(model)]) == [record]
    with pytest.raises(EngineError, match="served elsewhere"):
        serve.keep_running([resolve("http://127.0.0.1:1/v1")])


def test_a_server_left_by_a_killed_command_is_used_again(model: str) -> None:
    async def work() -> int:
        async with serve.serving([model]) as endpoints:
            server = endpoints[model].server
            assert server is not None
            return server.pid

    ref = resolve(model)
    [(spec, _)] = planning.plan([ref])
    record = serve.start(spec, keep=False)
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    lease = serverstate.servers_folder() / f"{record.name}.{dead.stdout.strip()}.0.lease"
    lease.write_text("some-boot:1")
    assert asyncio.run(work()) == record.pid
    assert serve.status() == []
    assert not lease.exists()


def test_a_death_is_told_while_serving(model: str) -> None:
    async def work() -> Death:
        told: asyncio.Queue[Death] = asyncio.Queue()
        async with serve.serving([model], on_death=told.put_nowait) as endpoints:
            server = endpoints[model].server
            assert server is not None
            os.kill(server.pid, signal.SIGKILL)
            return await asyncio.wait_for(told.get(), 15)

    assert "its process ended" in asyncio.run(work()).reason
    assert serve.status() == []


@pytest.mark.parametrize("killed", [True, False])
def test_whoever_lost_the_quorum_is_told_whether_a_server_died(
    model: str, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    monkeypatch.setattr(serve, "LATE", 5.0 if killed else 0.3)
    told: list[Death] = []

    async def work() -> None:
        async with serve.serving([model], on_death=told.append) as endpoints:
            server = endpoints[model].server
            assert server is not None
            if killed:
                os.kill(server.pid, signal.SIGKILL)
            raise QuorumLost("0 of 1 members answer", "")

    with pytest.raises(QuorumLost):
        asyncio.run(work())
    assert [death.reason.startswith("its process ended") for death in told] == [True] * killed
    assert all(str(death) == f"{death.name}, {death.reason} (log: {death.log})" for death in told), "people read it"
    assert serve.status() == []


def test_cancelled_while_starting_leaves_nothing(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "build_command", lambda spec, port: _fake(spec, port, "never"))
    seen: list[int] = []

    async def work() -> None:
        async with serve.serving([model]):
            pytest.fail("it never answers")

    async def cancel() -> None:
        task = asyncio.create_task(work())
        while not serverstate.records():
            assert not task.done()
            await asyncio.sleep(0.05)
        seen.extend(session_members(serverstate.records()[0].pid))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(cancel(), 20))
    assert seen
    assert [identity_of(pid) for pid in seen] == [None] * len(seen)
    assert serverstate.records() == []


def test_a_url_is_asked_what_it_serves() -> None:
    record = serve.start(SPEC, command=command("well"))
    url = record.url

    async def work(name: str) -> Endpoint:
        async with serve.serving([name]) as endpoints:
            return endpoints[name]

    found = asyncio.run(work(url))
    assert (found.url, found.served_name, found.context_tokens, found.server) == (url, "fake", 2048, None)
    assert asyncio.run(work(f"{url}#fake")).served_name == "fake"
    with pytest.raises(EngineError, match="serves no model 'other'"):
        asyncio.run(work(f"{url}#other"))
    with pytest.raises(EngineError, match="answers 404"):
        asyncio.run(work(f"http://127.0.0.1:{record.port}/wrong"))
    with pytest.raises(EngineError, match="cannot be reached"):
        asyncio.run(work(f"http://127.0.0.1:{free_port()}/v1"))
    assert serve.status()[0].state == "ready"
