"""Signing in at the identity provider: the way there, and the way back with a code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from headgate.client.identity_provider import LoginFailed, Tokens
from headgate.domain.printable import printable
from headgate.runtime.authentication.proof import NotProven
from services.portal.oidc.attempt import Attempt, attempt_of
from services.portal.oidc.provider_client import ProviderClient
from services.portal.oidc.renewal import Renewal
from services.portal.sessions import LINK_SECONDS, Renewed
from services.portal.sign_in import SignIn, own_path
from services.portal.viewer import Viewers

BEGIN, BACK = "/sign-in/provider", "/sign-in/provider/back"
COOKIE = "headgate-sign-in"
MAX_CODE_CHARACTERS = 4_096
MAX_SHOWN = 300


class IdTokenVerifier(Protocol):
    """Verifies what the provider says of a sign-in."""

    def require(self, token: str, nonce: str) -> None:
        """Raises NotProven. It may wait for the provider."""
        ...


@dataclass(frozen=True, slots=True)
class ProviderParts:
    """What signing in at a provider needs. `console_url` has no slash at its end."""

    issuer: str
    console_url: str
    client: ProviderClient
    id_tokens: IdTokenVerifier
    new_name: Callable[[], str]
    monotonic: Callable[[], float]

    @property
    def name(self) -> str:
        """How people are shown the provider."""
        return urlsplit(self.issuer).netloc

    @property
    def is_encrypted(self) -> bool:
        """Whether browsers reach the console over TLS, which may end before the portal."""
        return self.console_url.startswith("https://")

    @property
    def cookie(self) -> str:
        return f"__Host-{COOKIE}" if self.is_encrypted else COOKIE


class ProviderSignIn:
    """The routes."""

    def __init__(self, parts: ProviderParts, viewers: Viewers, sign_in: SignIn) -> None:
        self._parts, self._viewers, self._sign_in = parts, viewers, sign_in

    def routes(self) -> list[BaseRoute]:
        return [Route(BEGIN, self._begin, methods=["GET"]), Route(BACK, self._back, methods=["GET"])]

    async def _begin(self, request: Request) -> Response:
        attempt = Attempt(self._parts.new_name(), own_path(request.query_params.get("next", "/")))
        try:
            address = await run_in_threadpool(self._parts.client.address, attempt)
        except LoginFailed as error:
            return self._refused(f"{self._parts.name} cannot be asked now: {error}", attempt.next_path, 502)
        answer = RedirectResponse(address, 303)
        # Lax, because the browser comes back from another site.
        secure, most_seconds = self._parts.is_encrypted, int(LINK_SECONDS)
        answer.set_cookie(
            self._parts.cookie, attempt.cookie, most_seconds, secure=secure, httponly=True, samesite="lax"
        )
        return answer

    async def _back(self, request: Request) -> Response:
        answer = await run_in_threadpool(self._answer, request)
        secure = self._parts.is_encrypted
        answer.delete_cookie(self._parts.cookie, secure=secure, httponly=True, samesite="lax")
        return answer

    def _answer(self, request: Request) -> Response:
        attempt = attempt_of(request.cookies.get(self._parts.cookie, ""))
        next_path = own_path(attempt.next_path) if attempt else "/"
        try:
            tokens = self._tokens(request.query_params, attempt)
        except LoginFailed as error:
            return self._refused(str(error), next_path)
        except NotProven as error:
            self._viewers.refused(request, error.slug)
            return self._refused(f"The ID token of {self._parts.name} does not hold: {error.slug}.", next_path)
        viewer = self._viewers.proven(tokens.token, request)
        if viewer is None:
            why = "Is it for the audience that HEADGATE_AUTHENTICATION_AUDIENCE names? The portal's audit log says why."
            return self._refused(f"The token of {self._parts.name} does not count here. {why}", next_path)
        renewal = Renewal(tokens, self._parts.client.renewed, self._parts.monotonic)
        return self._sign_in.signed_in(tokens.token, next_path, request, Renewed(viewer.name, renewal.token))

    def _tokens(self, query: Mapping[str, str], attempt: Attempt | None) -> Tokens:
        """The tokens of whoever has signed in. Raises LoginFailed and NotProven."""
        found = answered(query, attempt, self._parts.issuer, self._parts.console_url)
        tokens = self._parts.client.tokens(*found)
        if not tokens.id_token:
            raise LoginFailed(f"{self._parts.name} gave no ID token: HEADGATE_CONSOLE_SCOPE must have openid")
        self._parts.id_tokens.require(tokens.id_token, found[1].nonce)
        return tokens

    def _refused(self, problem: str, next_path: str, status: int = 401) -> Response:
        return self._sign_in.shown(next_path, printable(problem)[:MAX_SHOWN], status)


def answered(query: Mapping[str, str], attempt: Attempt | None, issuer: str, console_url: str) -> tuple[str, Attempt]:
    """The code that a provider sent back, and the attempt that it is for. Pure. Raises LoginFailed.

    What another site may have sent is not looked at before the state, and not shown.
    """
    if attempt is None or not attempt.has_state(query.get("state", "")):
        raise LoginFailed(
            f"This answer is not of a sign-in that this browser has begun in the last ten minutes. "
            f"Open {console_url} and begin again."
        )
    if query.get("iss", issuer) != issuer:  # RFC 9207: the answer of another provider
        raise LoginFailed(f"This answer is of {query['iss']}, and not of {issuer}.")
    if error := query.get("error", ""):
        why = query.get("error_description", "")
        raise LoginFailed(f"{urlsplit(issuer).netloc} has refused: {error}{': ' if why else ''}{why}")
    code = query.get("code", "")
    if not 0 < len(code) <= MAX_CODE_CHARACTERS:
        raise LoginFailed("The provider's answer has no code.")
    return code, attempt
