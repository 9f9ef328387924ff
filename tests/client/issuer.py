"""A small identity provider, as a real server: discovery, codes of devices and browsers, client credentials, refresh
tokens, JWKS."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode

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
        self.now: Callable[[], float] = time.time
        self.client_secret = ""
        """Of the client of a browser; empty for a public one."""
        self.codes: dict[str, dict[str, str]] = {}
        """What was asked for with each code that nobody has used."""
        self.changed: dict[str, Any] = {}
        """Claims that the next tokens have in place of good ones."""

    def discovery(self) -> dict[str, Any]:
        found = {
            "issuer": self.url,
            "token_endpoint": f"{self.url}/token",
            "device_authorization_endpoint": f"{self.url}/device",
            "authorization_endpoint": f"{self.url}/authorize",
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

    def authorize(self, query: str) -> str:
        """Where the browser goes of a person who has agreed."""
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        code = f"code-{len(self.codes)}-{len(self.asked)}"
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state'], 'iss': self.url})}"

    def _of_code(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        asked = self.codes.pop(form["code"], None)
        digest = base64.urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        if asked is None or (asked["code_challenge"], asked["redirect_uri"]) != (digest, form["redirect_uri"]):
            return 400, {"error": "invalid_grant", "error_description": "the code was used"}
        if not self._is_client(form, authorization, asked["client_id"]):
            return 401, {"error": "invalid_client"}
        self.refresh_tokens = {"r0"}
        status, answer = self._granted("ada@example.com", "r0")
        claims = {"aud": asked["client_id"], "nonce": asked["nonce"], **self.changed}
        return status, {**answer, "id_token": self._signed("ada@example.com", **claims)}

    def _is_client(self, form: dict[str, str], authorization: str, client_id: str) -> bool:
        if not self.client_secret:
            return form.get("client_id") == client_id
        expected = base64.b64encode(f"{client_id}:{self.client_secret}".encode()).decode()
        return authorization == f"Basic {expected}"

    def tokens(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        self.asked.append(form)
        kind = form["grant_type"]
        if kind == DEVICE_CODE:
            answer = self.answers.pop(0) if self.answers else ""
            return (400, {"error": answer}) if answer else self._granted("ada@example.com", "r0")
        if kind == "authorization_code":
            return self._of_code(form, authorization)
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
        signed = self._signed(subject)
        more = {"refresh_token": refresh_token} if refresh_token else {}
        access = "opaque" if self.access_token_is_opaque else signed
        return 200, {"access_token": access, "id_token": signed, "expires_in": self.token_seconds, **more}

    def _signed(self, subject: str, **changed: Any) -> str:
        now = int(self.now())
        own = {"iss": self.url, "sub": subject, "nbf": now - 5, "iat": now, "exp": now + self.token_seconds}
        return token(**{**own, "jti": str(len(self.asked)), **changed})


@contextmanager
def issuing() -> Iterator[Issuer]:
    """A provider that answers on the loopback."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path == "/authorize":
                self._answer(303, b"", issuer.authorize(query))
                return
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

        def _answer(self, status: int, content: bytes, location: str = "") -> None:
            self.send_response(status)
            if location:
                self.send_header("location", location)
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
