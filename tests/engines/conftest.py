"""A server that misbehaves on purpose."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import orjson
import pytest


def answer(content: str = "ok", finish: str = "stop", **more: object) -> bytes:
    body = {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish, **more}
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}},
    }
    return http(200, orjson.dumps(body))


def http(status: int, body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = [
        f"HTTP/1.1 {status} X",
        f"Content-Length: {len(body) if length is None else length}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class FaultServer:
    """Speaks raw bytes: a reply a request, in order; the last one again and again.

    ``b""`` closes without a word; ``None`` says nothing for ever.
    """

    replies: list[bytes | None] = field(default_factory=list)
    requests: list[dict] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._over = threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            data = b""
            while b"\r\n\r\n" not in data:
                piece = connection.recv(65536)
                if not piece:
                    return
                data += piece
            head, _, body = data.partition(b"\r\n\r\n")
            text = head.decode()
            length = next(
                (int(h.split(":")[1]) for h in text.lower().split("\r\n") if h.startswith("content-length")), 0
            )
            while len(body) < length:
                body += connection.recv(65536)
            with self._lock:
                self.paths.append(text.split(" ")[1])
                self.headers.append(text)
                self.requests.append(orjson.loads(body) if body else {})
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
            if reply is None:
                self._over.wait(30)
                return
            connection.sendall(reply)
            # Everything is on its way before the connection goes.
            connection.shutdown(socket.SHUT_WR)
            time.sleep(0.01)

    def close(self) -> None:
        self._over.set()
        self._socket.close()


@pytest.fixture
def fault_server() -> Iterator[FaultServer]:
    server = FaultServer()
    yield server
    server.close()


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def make_answer():
    return answer


@pytest.fixture
def make_http():
    return http
