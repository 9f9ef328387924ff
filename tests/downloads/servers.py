"""Servers of files: over HTTP, over HTTPS, and one like S3 that checks the signature of each request."""

import base64
import hashlib
import hmac
import http.server
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

CONTENT = b"x0,x1,answer\n" + b"".join(b"%d,%d,%d\n" % (row, row * row, row % 2) for row in range(20_000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Files:
    """What a server answers by path, and what it was asked."""

    content: dict[str, bytes] = field(default_factory=dict)
    status: dict[str, list[int]] = field(default_factory=dict)
    """Statuses that come first, one for each request."""
    redirects: dict[str, str] = field(default_factory=dict)
    cut: dict[str, list[int]] = field(default_factory=dict)
    """After how many bytes the connection ends, one for each request."""
    after_cut: Callable[[], object] = lambda: None
    password: dict[str, str] = field(default_factory=dict)
    knows_ranges: bool = True
    announces_size: bool = True
    check: Callable[[http.server.BaseHTTPRequestHandler], bool] = lambda _: True
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and range of each request."""
    authorizations: list[str] = field(default_factory=list)
    waits: threading.Event | None = None
    """Until it is set, a server sends half of a file and then nothing."""
    is_waiting: threading.Event = field(default_factory=threading.Event)


class Handler(http.server.BaseHTTPRequestHandler):
    files: Files

    def do_GET(self) -> None:
        files, path = self.files, unquote(urlsplit(self.path).path)
        files.asked.append((path, self.headers.get("Range", "")))
        files.authorizations.append(self.headers.get("Authorization", ""))
        if files.status.get(path):
            self._answer(files.status[path].pop(0), b"")
        elif path in files.redirects:
            self._answer(302, b"", {"Location": files.redirects[path]})
        elif not files.check(self):
            self._answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        elif path in files.password and self.headers.get("Authorization") != basic(files.password[path]):
            self._answer(401, b"")
        elif path not in files.content:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._send(path, files.content[path])

    def _send(self, path: str, content: bytes) -> None:
        files, wanted = self.files, re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted and files.knows_ranges else 0
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        self._head(206 if start else 200, len(content) - start if files.announces_size else None, headers)
        cut = files.cut[path].pop(0) if files.cut.get(path) else None
        # A test may replace `waits` as soon as it knows that a server waits.
        waits = files.waits
        if waits is not None:
            self.wfile.write(content[start : len(content) // 2])
            files.is_waiting.set()
            waits.wait()
            return
        self.wfile.write(content[start:] if cut is None else content[start : start + cut])
        if cut is not None:
            files.after_cut()

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self._head(status, len(body), headers or {})
        self.wfile.write(body)

    def _head(self, status: int, size: int | None, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if size is not None:
            self.send_header("Content-Length", str(size))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(files: Files, certificate: Path | None = None, handler: type["Handler"] | None = None) -> Iterator[str]:
    """The URL of a server of these files; over HTTPS with a certificate."""
    served = type("Served", (handler or Handler,), {"files": files})
    with Quiet(("127.0.0.1", 0), served) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
        finally:
            if files.waits is not None:
                files.waits.set()
            server.shutdown()
            thread.join()


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that leaves early is what some tests are about."""


def basic(user_and_password: str) -> str:
    return "Basic " + base64.b64encode(user_and_password.encode()).decode()


def signed_by(key_id: str, secret: str, region: str) -> Callable[[http.server.BaseHTTPRequestHandler], bool]:
    """Whether a request has a signature of version 4 by this key in its query, as S3 would accept it."""

    def check(request: http.server.BaseHTTPRequestHandler) -> bool:
        path, _, query = request.path.partition("?")
        given = dict(parse_qsl(query))
        signature = given.pop("X-Amz-Signature", "")
        day = given.get("X-Amz-Date", "")[:8]
        scope = f"{day}/{region}/s3/aws4_request"
        if given.get("X-Amz-Credential") != f"{key_id}/{scope}" or given.get("X-Amz-SignedHeaders") != "host":
            return False
        ordered = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(given.items()))
        host = f"host:{request.headers['Host']}\n"
        canonical = f"GET\n{path}\n{ordered}\n{host}\nhost\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        key = f"AWS4{secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        text = f"AWS4-HMAC-SHA256\n{given['X-Amz-Date']}\n{scope}\n{digest}"
        return hmac.compare_digest(hmac.new(key, text.encode(), "sha256").hexdigest(), signature)

    return check
