"""Asks an identity provider for tokens: by a code of a device or a browser, a machine's secret, or a refresh token.

RFC 8628 (device codes), RFC 6749 (codes, client credentials, refresh), RFC 7636 (PKCE), OpenID Connect Discovery 1.0.
"""

import base64
import http.client
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headgate.domain.address import is_web_address, keeps_secrets
from headgate.domain.printable import printable
from headgate.runtime.no_redirect import NoRedirect

CALL_SECONDS = 15.0
MAX_BYTES = 1 << 20
MAX_SHOWN = 300
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
USUAL_INTERVAL_SECONDS, LEAST_INTERVAL_SECONDS, SLOWER_SECONDS = 5.0, 0.2, 5.0
"""Between two questions whether the person has agreed: when the provider names no time, at least, and more each time
that it says slow_down."""
MAX_DEVICE_SECONDS = 1_800.0
"""How long a person may take to agree, whatever the provider says."""
USUAL_TOKEN_SECONDS = 300
"""How long a token holds whose provider does not say it, or says what no token holds."""
MAX_TOKEN_SECONDS = 10 * 365 * 86_400


class LoginFailed(Exception):
    """There is no token. The message says why, and shows no secret."""


class LoginEnded(LoginFailed):
    """The provider takes the refresh token or the secret no longer."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Where a provider takes requests."""

    issuer: str
    token_url: str
    device_url: str
    scopes: tuple[str, ...]
    """Those that it says it knows."""
    authorization_url: str = ""
    """The page where people agree in a browser that comes back with a code."""


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What a person agrees to in a browser, and how often to ask whether it was done."""

    device_code: str
    user_code: str
    url: str
    complete_url: str
    seconds: float
    interval_seconds: float


@dataclass(frozen=True, slots=True)
class Tokens:
    """A token for Headgate, for how long it holds, and what gets the next one."""

    token: str
    seconds: int
    refresh_token: str = ""
    id_token: str = ""
    """Who has signed in; empty when the provider did not say it."""


def discover(issuer: str) -> Provider:
    """The provider with this name. Raises LoginFailed."""
    _require_encrypted(issuer)
    found = _call(urllib.request.Request(f"{issuer.rstrip('/')}/.well-known/openid-configuration"))
    if found.get("issuer") != issuer:
        raise LoginFailed(f"{issuer} says that it is {_shown(found.get('issuer'))}: use exactly the name that it has")
    names = ("token_endpoint", "device_authorization_endpoint", "authorization_endpoint")
    token_url, device_url, authorization_url = (str(found.get(name, "")) for name in names)
    for url in (token_url, *filter(None, (device_url, authorization_url))):
        _require_encrypted(url)
    scopes = found.get("scopes_supported", [])
    known = tuple(map(str, scopes if isinstance(scopes, list) else []))
    return Provider(issuer, token_url, device_url, known, authorization_url)


def begin_device_code(provider: Provider, client_id: str, scope: str, audience: str = "") -> DeviceCode:
    """Asks for a code for a person. Raises LoginFailed."""
    if not provider.device_url:
        raise LoginFailed(f"{provider.issuer} has no login by device code")
    found = _post(provider.device_url, {"client_id": client_id, "scope": scope, "audience": audience})
    try:
        return DeviceCode(
            str(found["device_code"]),
            str(found["user_code"]),
            str(found["verification_uri"]),
            str(found.get("verification_uri_complete", "")),
            _bounded(found.get("expires_in", MAX_DEVICE_SECONDS), 0.0, MAX_DEVICE_SECONDS),
            _bounded(found.get("interval", USUAL_INTERVAL_SECONDS), LEAST_INTERVAL_SECONDS, MAX_DEVICE_SECONDS),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LoginFailed(f"{provider.device_url} has answered without a device code: {error}") from error


def _bounded(seconds: Any, least: float, most: float) -> float:
    """The seconds, at least and at most these. Raises ValueError and TypeError for what is no number."""
    found = float(seconds)
    if math.isnan(found):
        raise ValueError("a time that is no number")
    return min(max(found, least), most)


def await_device_code(
    provider: Provider, client_id: str, code: DeviceCode, pause: Callable[[float], None], monotonic: Callable[[], float]
) -> Tokens:
    """Asks until the person has agreed. Raises LoginFailed when it refuses, or the code has ended."""
    ends_at, interval = monotonic() + code.seconds, code.interval_seconds
    form = {"grant_type": DEVICE_CODE, "device_code": code.device_code, "client_id": client_id}
    why = "nobody has agreed"
    while monotonic() < ends_at:
        pause(interval)
        try:
            answer = _post(provider.token_url, form)
        except _Refused as refused:
            if refused.code not in ("authorization_pending", "slow_down"):
                raise
            interval += SLOWER_SECONDS if refused.code == "slow_down" else 0
        except LoginFailed as failed:  # the network may come back while the person still reads
            interval, why = interval + SLOWER_SECONDS, str(failed)
        else:
            return tokens_of(answer)
    raise LoginFailed(f"the code has ended: {why}")


def ask_as_machine(token_url: str, client_id: str, secret: str, scope: str, audience: str) -> Tokens:
    """A token by client credentials. Raises LoginFailed."""
    form = {"grant_type": "client_credentials", "scope": scope, "audience": audience}
    return tokens_of(_ending(token_url, form, (client_id, secret)))


def authorization_address(provider: Provider, fields: Mapping[str, str]) -> str:
    """Where a browser asks a person to agree. Pure. Raises LoginFailed."""
    if not provider.authorization_url:
        raise LoginFailed(f"{provider.issuer} has no login by a browser")
    parts = urllib.parse.urlsplit(provider.authorization_url)
    query = urllib.parse.urlencode({name: value for name, value in fields.items() if value})
    return parts._replace(query=f"{parts.query}&{query}" if parts.query else query, fragment="").geturl()


def exchange_code(token_url: str, client_id: str, secret: str, fields: Mapping[str, str]) -> Tokens:
    """The tokens for a code of a browser; `fields` has it, its verifier and the redirect URI. Raises LoginFailed."""
    form = {"grant_type": "authorization_code", **fields, "client_id": "" if secret else client_id}
    return tokens_of(_ending(token_url, form, (client_id, secret) if secret else None))


def refresh(token_url: str, client_id: str, refresh_token: str, secret: str = "") -> Tokens:
    """The next token. The provider may give another refresh token with it. Raises LoginFailed."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": "" if secret else client_id}
    found = tokens_of(_ending(token_url, form, (client_id, secret) if secret else None))
    return replace(found, refresh_token=found.refresh_token or refresh_token)


def tokens_of(answer: Mapping[str, Any]) -> Tokens:
    """What an answer of the provider gives: the access token where it is a signed one, else the id token.

    Pure. Raises LoginFailed.
    """
    access_token, id_token = (_signed(answer.get(name)) for name in ("access_token", "id_token"))
    token = access_token or id_token
    if not token:
        raise LoginFailed("the provider gave no signed token: have it sign access tokens, or ask for the scope openid")
    # What the provider says of how long holds for the access token alone.
    seconds = _seconds_of(answer.get("expires_in")) if access_token else _lifetime_seconds(id_token)
    return Tokens(token, seconds, str(answer.get("refresh_token", "")), id_token)


def _signed(token: object) -> str:
    """The token, when it has the form of a signed one."""
    return token if isinstance(token, str) and token.count(".") == 2 else ""


def _lifetime_seconds(token: str) -> int:
    """How long a signed token holds by its own word."""
    try:
        found = _claims_in(token)
        return _seconds_of(found["exp"] - found["iat"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return USUAL_TOKEN_SECONDS


def _seconds_of(expires_in: object) -> int:
    """How long a token holds by what its provider says, which may be anything."""
    if not isinstance(expires_in, int | float) or isinstance(expires_in, bool):
        return USUAL_TOKEN_SECONDS
    return int(expires_in) if 0 <= expires_in <= MAX_TOKEN_SECONDS else USUAL_TOKEN_SECONDS


def subject_in(token: str) -> str:
    """Whom a signed token names, for the person who reads it: only services verify it. Pure."""
    try:
        return str(_claims_in(token)["sub"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "somebody whose name the token does not say"


def _claims_in(token: str) -> Any:
    """What a signed token says, unverified."""
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


class _Refused(LoginFailed):
    """The provider's own word for the refusal is in `code`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _ending(url: str, form: Mapping[str, str], client: tuple[str, str] | None = None) -> dict[str, Any]:
    """Like `_post`. Raises LoginEnded when what was shown holds no longer."""
    try:
        return _post(url, form, client)
    except _Refused as refused:
        if refused.code in ("invalid_grant", "invalid_client", "unauthorized_client"):
            raise LoginEnded(str(refused)) from refused
        raise


def _post(url: str, form: Mapping[str, str], client: tuple[str, str] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(url, urllib.parse.urlencode({k: v for k, v in form.items() if v}).encode())
    if client is not None:
        pair = ":".join(urllib.parse.quote_plus(each) for each in client)
        request.add_header("authorization", f"Basic {base64.b64encode(pair.encode()).decode()}")
    return _call(request)


def _call(request: urllib.request.Request) -> dict[str, Any]:
    request.add_header("accept", "application/json")
    opener = urllib.request.build_opener(NoRedirect)
    where = request.full_url
    try:
        with opener.open(request, timeout=CALL_SECONDS) as answer:
            return _parsed(answer.read(MAX_BYTES), where)
    except urllib.error.HTTPError as error:
        with error:
            found = _parsed(error.read(MAX_BYTES), f"{where} ({error.code})")
        code = _shown(found.get("error", error.code))
        why = _shown(found.get("error_description", ""))
        raise _Refused(code, f"{where}: {code}{': ' if why else ''}{why}") from error
    except (OSError, http.client.HTTPException) as error:
        raise LoginFailed(f"{where}: {getattr(error, 'reason', '') or error}") from error


def _parsed(content: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise LoginFailed(f"{where} has answered with no JSON") from error
    if not isinstance(found, dict):
        raise LoginFailed(f"{where} has answered with no JSON object")
    return found


def _require_encrypted(url: str) -> None:
    """Raises LoginFailed for an address to which a secret must not go."""
    if not (keeps_secrets(url) and is_web_address(url)):
        raise LoginFailed(f"{_shown(url)}: expected a URL with https; http is for loopback alone")


def _shown(text: object) -> str:
    return printable(str(text))[:MAX_SHOWN]
