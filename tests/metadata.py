"""A cloud's metadata service, as documented by Amazon and by Google, with a notice in a file.

    python tests/metadata.py ADDRESS PORT amazon|google FILE

It cannot be had outside of their machines. Amazon's: version 2 of the protocol, which gives nothing
without the token that was asked for before; a 404 while there is no notice.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

AMAZON, GOOGLE = "amazon", "google"


class Service(ThreadingHTTPServer):
    """Answers as a cloud's service does; there is a notice as soon as there is the file."""

    def __init__(self, address: tuple[str, int], cloud: str, notice: Path) -> None:
        super().__init__(address, Handler)
        self.cloud, self.notice = cloud, notice
        self.tokens: set[str] = set()
        self.asked = 0
        self.broken = False
        """Whether it answers every question with an error, as Amazon's does when overloaded."""

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    @property
    def text(self) -> str | None:
        return self.notice.read_text() if self.notice.exists() else None


class Handler(BaseHTTPRequestHandler):
    server: Service

    def do_PUT(self) -> None:
        seconds = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if self.server.cloud != AMAZON or self.path != "/latest/api/token":
            self._answer(404)
        elif not seconds.isdigit() or not 1 <= int(seconds) <= 21600:
            self._answer(400)
        else:
            token = secrets.token_hex()
            self.server.tokens.add(token)
            self._answer(200, token)

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.server.broken:
            self._answer(503)
        elif self.server.cloud == AMAZON:
            self._amazon()
        else:
            self._google()

    def _amazon(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") not in self.server.tokens:
            self._answer(401)
        elif self.path == "/latest/meta-data/spot/instance-action" and self.server.text:
            self._answer(200, self.server.text)
        else:
            self._answer(404)

    def _google(self) -> None:
        if self.headers.get("Metadata-Flavor") != "Google":
            self._answer(403)
        elif self.path == "/computeMetadata/v1/instance/preempted":
            self._answer(200, self.server.text or "FALSE")
        else:
            self._answer(404)

    def _answer(self, status: int, text: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: object) -> None:
        """Nothing: the tests look at what is answered."""


@contextmanager
def serve_metadata(cloud: str, notice: Path) -> Iterator[Service]:
    """The service on a free port of this machine."""
    with Service(("127.0.0.1", 0), cloud, notice) as service:
        thread = Thread(target=service.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join()


if __name__ == "__main__":
    place, port, kind, file = sys.argv[1:]
    Service((place, int(port)), kind, Path(file)).serve_forever()
