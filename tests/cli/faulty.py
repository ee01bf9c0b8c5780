"""A model server on loopback that answers every request with "nothing found" until it is told to misbehave."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

Fault = Literal["", "500", "429", "garbage", "half", "nothing"]
FAULTS: tuple[Fault, ...] = ("500", "429", "garbage", "half", "nothing")


@dataclass
class Faulty:
    """What the server does.

    Attributes:
        fault: How it misbehaves.
        after: How many answers it gives before that.
        answered: Good answers given.
        port: Where it listens.
    """

    fault: Fault = ""
    after: int = 0
    answered: int = 0
    port: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """The address to name as a model's source."""
        return f"http://127.0.0.1:{self.port}/v1#m"

    def turn(self) -> Fault:
        """What the next request gets."""
        with self.lock:
            if self.fault and self.answered >= self.after:
                return self.fault
            self.answered += 1
            return ""


@contextmanager
def serving(state: Faulty) -> Iterator[Faulty]:
    """The server, for as long as the block runs."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            models = {"data": [{"id": "m", "max_model_len": 4096}]}
            self._send(200, json.dumps(models).encode() if self.path == "/v1/models" else b"{}")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != "/v1/chat/completions":
                self._send(404, b"{}")
                return
            fault = state.turn()
            message = {"index": 0, "message": {"role": "assistant", "content": "-"}, "finish_reason": "stop"}
            body = json.dumps({"choices": [message], "usage": {"prompt_tokens": 7, "completion_tokens": 1}}).encode()
            if fault == "500":
                self._send(500, b'{"error": {"message": "engine\\nis dead"}}')
            elif fault == "429":
                self._send(429, b'{"error": {"message": "slow down"}}')
            elif fault == "garbage":
                self._send(200, b"\x00\xff not json \x1b[31m")
            elif fault == "half":
                self._send(200, body[: len(body) // 2], length=len(body))
            elif fault == "nothing":
                self.close_connection = True
            else:
                self._send(200, body)

        def _send(self, status: int, body: bytes, *, length: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        def log_message(self, *parts: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
