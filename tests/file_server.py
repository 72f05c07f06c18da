"""A server of files on this machine, for downloads."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the files of its server; ``/short/...`` breaks off, ``/junk/...`` is no HTTP."""

    def do_GET(self) -> None:
        files: dict[str, bytes] = self.server.files  # type: ignore[attr-defined]
        content = files.get(self.path.rsplit("/", 1)[-1])
        if self.path.startswith("/junk/"):
            self.wfile.write(b"junk\r\n\r\n")
            return
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:100] if self.path.startswith("/short/") else content)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[http.server.HTTPServer]:
    """A running server of these files, by name; its ``files`` may be replaced."""
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        running.files = files
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def address(server: http.server.HTTPServer, path: str) -> str:
    return f"http://127.0.0.1:{server.server_port}/{path}"
