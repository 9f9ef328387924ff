"""One sign-in that a browser has begun. Its cookie has one secret, of which all else is made. Pure.

So the portal keeps nothing for whoever only begins, and an answer counts in the browser alone that asked for it.
RFC 7636 (PKCE), OpenID Connect Core 1.0 (state, nonce).
"""

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import quote, unquote

MAX_PATH_CHARACTERS = 2_000
"""A browser keeps cookies of 4 kB. After the sign-in a longer path leads to the first page."""
MAX_SECRET_CHARACTERS = 128


@dataclass(frozen=True, slots=True)
class Attempt:
    """The secret, and the page that the person wanted."""

    secret: str
    next_path: str

    @property
    def state(self) -> str:
        """What the provider sends back, so that no other site can end a sign-in in this browser."""
        return self._made("state")

    @property
    def nonce(self) -> str:
        """What the ID token must repeat."""
        return self._made("nonce")

    @property
    def verifier(self) -> str:
        """What proves to the provider that the code is for whoever has begun."""
        return self._made("verifier")

    @property
    def challenge(self) -> str:
        """The SHA-256 of the verifier, by the method S256."""
        return _text(sha256(self.verifier.encode()).digest())

    @property
    def cookie(self) -> str:
        """The value of the cookie."""
        path = quote(self.next_path, safe="")
        return f"{self.secret}.{path if len(path) <= MAX_PATH_CHARACTERS else ''}"

    def has_state(self, state: str) -> bool:
        """Whether this is the state of the attempt."""
        return hmac.compare_digest(state.encode(errors="replace"), self.state.encode())

    def _made(self, use: str) -> str:
        return _text(hmac.digest(self.secret.encode(), use.encode(), sha256))


def attempt_of(cookie: str) -> Attempt | None:
    """The attempt of a cookie; None without one. Whoever shows the path asks whether it leads to the console."""
    secret, _, path = cookie.partition(".")
    if not secret or len(secret) > MAX_SECRET_CHARACTERS or not secret.isascii():
        return None
    return Attempt(secret, unquote(path) or "/")


def _text(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
