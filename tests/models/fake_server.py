"""A program that behaves like a model server from the outside: port, health, a child of its own.

Arguments: port, served name, mode (well, never, crash, stubborn).
"""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /health and /v1/models."""

    def do_GET(self) -> None:
        models = {"data": [{"id": sys.argv[2], "max_model_len": 2048}]}
        body = json.dumps(models).encode() if self.path == "/v1/models" else b""
        self.send_response(200 if self.path in ("/health", "/v1/models") else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *parts: object) -> None:
        pass


def main() -> None:
    mode = sys.argv[3]
    if mode == "crash":
        print("(EngineCore pid=7) ERROR 11-20 13:11:15 [core.py:9] ValueError: no room for the cache", flush=True)
        print("(APIServer pid=6) RuntimeError: Engine core failed. See root cause above.", flush=True)
        sys.exit(1)
    stubborn = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", stubborn if mode == "stubborn" else "import time; time.sleep(600)"])
    if mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mode == "never":
        time.sleep(600)
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


if __name__ == "__main__":
    main()
