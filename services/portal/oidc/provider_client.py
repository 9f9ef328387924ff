"""The console as a client of the identity provider: where a browser goes, and the tokens for what it brings back."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headgate.client.identity_provider import (
    LoginEnded,
    LoginFailed,
    Provider,
    Tokens,
    authorization_address,
    discover,
    exchange_code,
    refresh,
    subject_in,
)
from headgate.client.login import read_secret
from services.portal.oidc.attempt import Attempt

USUAL_SCOPES = ("openid", "offline_access")
"""Asked for when no scope is named: who it is, and, where the provider knows it, renewal without the person."""
DISCOVERY_SECONDS = 300.0
"""How long it is remembered where the provider takes requests."""
MAX_CALLS = 8
"""At once. A provider that hangs so leaves threads for everybody who is signed in otherwise."""


@dataclass(frozen=True, slots=True)
class ConsoleClient:
    """How the provider knows the console."""

    issuer: str
    client_id: str
    redirect_uri: str
    secret_file: Path | None = None
    scope: str = ""
    audience: str = ""


class ProviderClient:
    """Every method may be called on any thread, may wait for the provider, and raises LoginFailed."""

    def __init__(self, client: ConsoleClient, monotonic: Callable[[], float]) -> None:
        self._client, self._monotonic = client, monotonic
        self._calls = threading.BoundedSemaphore(MAX_CALLS)
        self._found: tuple[float, Provider] | None = None

    def address(self, attempt: Attempt) -> str:
        """Where the browser asks the person to agree."""
        with self._call():
            provider = self._provider()
        scope = self._client.scope or " ".join(s for s in USUAL_SCOPES if s in ("openid", *provider.scopes))
        fields = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": self._client.redirect_uri,
            "scope": scope,
            "audience": self._client.audience,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return authorization_address(provider, fields)

    def tokens(self, code: str, attempt: Attempt) -> Tokens:
        """The tokens for the code. A provider takes each code once."""
        fields = {"code": code, "code_verifier": attempt.verifier, "redirect_uri": self._client.redirect_uri}
        with self._call():
            return exchange_code(self._provider().token_url, self._client.client_id, self._secret(), fields)

    def renewed(self, tokens: Tokens) -> Tokens:
        """The next tokens of the same person. Raises LoginEnded when the provider gives none any more."""
        with self._call():
            url = self._provider().token_url
            found = refresh(url, self._client.client_id, tokens.refresh_token, self._secret())
        if subject_in(found.token) != subject_in(tokens.token):
            raise LoginEnded("the provider has renewed the token for somebody else")
        return found

    def _provider(self) -> Provider:
        found, now = self._found, self._monotonic()
        if found is None or now - found[0] > DISCOVERY_SECONDS:
            found = self._found = (now, discover(self._client.issuer))
        return found[1]

    def _secret(self) -> str:
        """Read each time, so that a new secret counts at once."""
        return read_secret(self._client.secret_file) if self._client.secret_file else ""

    @contextmanager
    def _call(self) -> Iterator[None]:
        if not self._calls.acquire(blocking=False):
            raise LoginFailed(f"{MAX_CALLS} sign-ins wait for {self._client.issuer} already: try again in a moment")
        try:
            yield
        finally:
            self._calls.release()
