"""A small identity provider, as a real server: discovery, device codes, client credentials, refresh tokens, JWKS."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

from tests.runtime.authentication.provider import jwk, jwks, rsa_key, token

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
MACHINE, SECRET = "ci", "a secret, with: signs"


class Issuer:
    """What it answers to device codes is in `answers`, first to last; then the person has agreed."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: list[str] = []
        self.refresh_tokens = {"r0"}
        self.token_seconds = 300
        self.asked: list[dict[str, str]] = []
        self.document: dict[str, Any] = {}
        self.access_token_is_opaque = False

    def discovery(self) -> dict[str, Any]:
        found = {
            "issuer": self.url,
            "token_endpoint": f"{self.url}/token",
            "device_authorization_endpoint": f"{self.url}/device",
            "scopes_supported": ["openid", "offline_access"],
        }
        return {**found, **self.document}

    def device(self) -> dict[str, Any]:
        self.refresh_tokens = {"r0"}
        return {
            "device_code": "d",
            "user_code": "WDJB-MJHT",
            "verification_uri": f"{self.url}/agree",
            "expires_in": 60,
            "interval": 0,
        }

    def tokens(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        self.asked.append(form)
        kind = form["grant_type"]
        if kind == DEVICE_CODE:
            answer = self.answers.pop(0) if self.answers else ""
            return (400, {"error": answer}) if answer else self._granted("ada@example.com", "r0")
        if kind == "refresh_token":
            if form["refresh_token"] not in self.refresh_tokens:
                return 400, {"error": "invalid_grant", "error_description": "it was used"}
            self.refresh_tokens = {f"r{len(self.asked)}"}
            return self._granted("ada@example.com", *self.refresh_tokens)
        name, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if (name, parse_qs(f"s={secret}")["s"]) != (MACHINE, [SECRET]):
            return 401, {"error": "invalid_client"}
        return self._granted(MACHINE)

    def _granted(self, subject: str, refresh_token: str = "") -> tuple[int, dict[str, Any]]:
        now = int(time.time())
        signed = token(iss=self.url, sub=subject, nbf=now - 5, exp=now + self.token_seconds, jti=str(len(self.asked)))
        more = {"refresh_token": refresh_token} if refresh_token else {}
        access = "opaque" if self.access_token_is_opaque else signed
        return 200, {"access_token": access, "id_token": signed, "expires_in": self.token_seconds, **more}


@contextmanager
def issuing() -> Iterator[Issuer]:
    """A provider that answers on the loopback."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = {
                "/.well-known/openid-configuration": lambda: json.dumps(issuer.discovery()).encode(),
                "/jwks": lambda: jwks(jwk(rsa_key("k1"), "k1")),
            }
            self._answer(200, known[self.path]())

        def do_POST(self) -> None:
            sent = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            form = {name: values[0] for name, values in sent.items()}
            if self.path == "/device":
                self._answer(200, json.dumps(issuer.device()).encode())
                return
            status, answer = issuer.tokens(form, self.headers.get("authorization", ""))
            self._answer(status, json.dumps(answer).encode())

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    issuer.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield issuer
    server.shutdown()
    server.server_close()
    thread.join()
