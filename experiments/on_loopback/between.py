"""A go-between before a server on loopback, which can be told to be slow, to refuse, or to lose replies."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Mood = Literal["faithful", "hangs", "fails", "loses replies", "read-only"]
PASSED_ON = ("Content-Type", "Content-Length", "Authorization")
UNLUCKY = 0.1
"""Share of requests that it fails or loses the reply of."""
READS = {"GET", "HEAD", "/search", "/list"}


@dataclass
class Between:
    """What stands between a client and a server.

    ``hangs``: no request is answered until it is of another mood. ``fails``: some are refused with 503.
    ``loses replies``: some are done, and their replies are not sent. ``read-only``: what would change
    anything is forbidden.
    """

    target: int
    """Port of the server."""
    mood: Mood = "faithful"
    num_requests: int = 0
    _chance: random.Random = field(default_factory=lambda: random.Random(0))
    _change: threading.Condition = field(default_factory=threading.Condition)
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Return where it listens."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def be(self, mood: Mood) -> None:
        """Change its mood; what hangs goes on."""
        with self._change:
            self.mood = mood
            self._change.notify_all()

    def next_mood(self) -> tuple[Mood, bool]:
        """Return its mood, and whether that meets the request at hand; hangs as long as it does."""
        with self._change:
            self.num_requests += 1
            is_unlucky = self._chance.random() < UNLUCKY
            self._change.wait_for(lambda: self.mood != "hangs")
            return self.mood, is_unlucky


class _Handler(BaseHTTPRequestHandler):
    between: Between

    def _pass_on(self) -> None:
        mood, is_unlucky = self.between.next_mood()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        is_read = self.command in READS or self.path.partition("?")[0].endswith(tuple(READS))
        if mood == "fails" and is_unlucky:
            self._answer(503, b"not now")
        elif mood == "read-only" and not is_read:
            self._answer(403, b'{"error_code": "PERMISSION_DENIED", "message": "Permission denied"}')
        else:
            status, said = self._asked(body)
            if mood == "loses replies" and is_unlucky:
                self.close_connection = True
            else:
                self._answer(status, said)

    def _asked(self, body: bytes) -> tuple[int, bytes]:
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.between.target)) as server:
            server.request(self.command, self.path, body, headers)
            answer = server.getresponse()
            return answer.status, answer.read()

    def _answer(self, status: int, said: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on


@contextlib.contextmanager
def between(port: int) -> Iterator[Between]:
    """Stand before the server at this port of loopback."""
    made = Between(port)
    handler = type("Handler", (_Handler,), {"between": made})
    made._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=made._server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.be("faithful")
        made._server.shutdown()
        made._server.server_close()
        thread.join()
