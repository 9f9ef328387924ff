"""A small server that answers as Vault's transit engine does, and refuses what Vault would refuse."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "hvs.test"
NONCE = bytes(12)


class Refused(Exception):
    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


class Transit:
    """The versions of one key, `headgate`, below the path `transit`."""

    def __init__(self) -> None:
        self.versions = [AESGCM(AESGCM.generate_key(256))]
        self.calls: list[str] = []

    def answer(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(f"{method} {path}")
        match method, path.removeprefix("/v1/transit/").split("/"):
            case "GET", ["keys", "headgate"]:
                return {"latest_version": len(self.versions)}
            case "POST", ["keys", "headgate", "rotate"]:
                self.versions.append(AESGCM(AESGCM.generate_key(256)))
                return {}
            case "POST", ["encrypt", "headgate"]:
                return {"ciphertext": self._encrypt(base64.b64decode(body["plaintext"], validate=True))}
            case "POST", ["decrypt", "headgate"]:
                return {"plaintext": base64.b64encode(self._decrypt(body["ciphertext"])).decode()}
            case "POST", ["rewrap", "headgate"]:
                return {"ciphertext": self._encrypt(self._decrypt(body["ciphertext"]))}
        raise Refused(404, "unsupported path")

    def _encrypt(self, plaintext: bytes) -> str:
        sealed = self.versions[-1].encrypt(NONCE, plaintext, None)
        return f"vault:v{len(self.versions)}:{base64.b64encode(sealed).decode()}"

    def _decrypt(self, ciphertext: str) -> bytes:
        vault, version, sealed = ciphertext.split(":")
        assert vault == "vault"
        try:
            return self.versions[int(version[1:]) - 1].decrypt(NONCE, base64.b64decode(sealed), None)
        except InvalidTag as error:
            raise Refused(400, "cipher: message authentication failed") from error


@contextmanager
def vault() -> Iterator[tuple[str, Transit]]:
    """The URL of the running server, and what it has."""
    transit = Transit()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: dict[str, Any]) -> None:
            try:
                if self.headers["X-Vault-Token"] != TOKEN:
                    raise Refused(403, "permission denied")
                status, found = 200, {"data": transit.answer(self.command, self.path, body)}
            except Refused as refused:
                status, found = refused.status, {"errors": [str(refused)]}
            content = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"vault+http://127.0.0.1:{server.server_port}/transit/headgate", transit
        finally:
            server.shutdown()
            thread.join()
