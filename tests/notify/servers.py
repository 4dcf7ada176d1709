"""Servers on the loopback that notifications are sent to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hook:
    """A webhook: what it answers, in turn, and what it was sent."""

    answers: list[tuple[int, dict[str, str]] | None]
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    @property
    def told(self) -> list[Any]:
        return [json.loads(body) for _, _, body in self.requests]


@contextmanager
def hook(*answers: int | tuple[int, dict[str, str]] | None) -> Iterator[Hook]:
    """Serve answers in turn, 200 after the last; None closes the connection without a word."""
    served = Hook([(one, {}) if isinstance(one, int) else one for one in answers])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            served.requests.append((self.path, dict(self.headers), body))
            answer = served.answers.pop(0) if served.answers else (200, {})
            if answer is None:
                self.close_connection = True
                return
            code, headers = answer
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
