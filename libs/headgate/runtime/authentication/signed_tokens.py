"""Tokens that an identity provider signed: JSON Web Tokens with an issuer, an audience and an end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from headgate.access.grants import GROUP_PREFIX
from headgate.access.subject import How, Kind, Subject
from headgate.domain.access import is_subject
from headgate.domain.names import ANONYMOUS, TOKEN_PREFIX, TOPIC_PREFIX
from headgate.runtime.authentication.proof import NotProven, Proof
from headgate.runtime.authentication.signing_keys import SigningKeys

LEEWAY_MS = 60_000
"""By how much the provider's clock may differ from the log's time."""
MAX_TOKEN_BYTES = 16_384
MAX_GROUPS = 200
REQUIRED = ["exp", "nbf", "iss", "aud", "sub"]
REQUIRED_OF_ID = ["exp", "iss", "aud", "sub", "nonce"]
RESERVED = (TOKEN_PREFIX, TOPIC_PREFIX, GROUP_PREFIX, "spiffe:", ANONYMOUS)
"""No token of a provider has such a subject: those names are proven in another way."""
SERVICE_ACCOUNT = "system:serviceaccount:"
"""How the subject of a pod of Kubernetes begins."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What a token must say of itself: who made it, and whom it is for. Two claims name the subject and its groups."""

    issuer: str
    audience: str
    subject_claim: str = "sub"
    groups_claim: str = "groups"


class SignedTokens:
    """Verifies tokens. Thread-safe."""

    def __init__(self, keys: SigningKeys, provider: Provider, now_ms: Callable[[], int]) -> None:
        self._keys, self._provider, self._now_ms = keys, provider, now_ms

    def present(self) -> int:
        """The number of the keys that count now, without a wait. Raises NotProven when none do."""
        return self._keys.present()

    def proof(self, token: str) -> Proof:
        """Whom the token names. It may wait for the keys. Raises NotProven."""
        if len(token) > MAX_TOKEN_BYTES:
            raise NotProven("malformed-token")
        # Before the key is looked up: keys that change meanwhile have another number, and are asked again.
        keys = self._keys.generation()
        claims = signed_claims(token, self._keys, self._provider, REQUIRED)
        now_ms, expire_time_ms = self._now_ms(), _time_ms(claims["exp"]) + LEEWAY_MS
        if now_ms < _time_ms(claims["nbf"]) - LEEWAY_MS:
            raise NotProven("token-not-yet-valid")
        subject = self._subject(claims)
        if now_ms >= expire_time_ms:
            raise NotProven("expired-token")
        return Proof(subject, expire_time_ms, keys=keys)

    def _subject(self, claims: Mapping[str, Any]) -> Subject:
        name, groups = claims.get(self._provider.subject_claim), claims.get(self._provider.groups_claim, [])
        if not isinstance(name, str) or not is_subject(name) or name.startswith(RESERVED):
            raise NotProven("bad-subject")
        # Groups that were left out could be those of a deny.
        if not isinstance(groups, list) or len(groups) > MAX_GROUPS or not all(map(_is_group, groups)):
            raise NotProven("bad-groups")
        kind = Kind.MACHINE if name.startswith(SERVICE_ACCOUNT) else Kind.PERSON
        return Subject(name, kind, How.JWT, tuple(groups))


class IdTokens:
    """Verifies what a provider says of a sign-in in a browser. Thread-safe. OpenID Connect Core 1.0, 3.1.3.7."""

    def __init__(self, keys: SigningKeys, issuer: str, client_id: str, now_ms: Callable[[], int]) -> None:
        self._keys, self._now_ms = keys, now_ms
        self._provider = Provider(issuer, client_id)

    def require(self, token: str, nonce: str) -> None:
        """Raises NotProven for a token that is not of this client's sign-in with this nonce. It may wait for keys."""
        if len(token) > MAX_TOKEN_BYTES:
            raise NotProven("malformed-token")
        claims = signed_claims(token, self._keys, self._provider, REQUIRED_OF_ID)
        if self._now_ms() >= _time_ms(claims["exp"]) + LEEWAY_MS:
            raise NotProven("expired-token")
        if claims.get("azp", self._provider.audience) != self._provider.audience:
            raise NotProven("wrong-audience")
        if claims["nonce"] != nonce:
            raise NotProven("wrong-nonce")


def signed_claims(token: str, keys: SigningKeys, provider: Provider, required: list[str]) -> Mapping[str, Any]:
    """What a token of this provider for this audience says. The times are for the caller. Raises NotProven."""
    key = keys.key(_key_id(token))
    try:
        found: Mapping[str, Any] = jwt.decode(
            token,
            key.key,
            # The key decides the algorithm, never the token.
            algorithms=[key.algorithm_name],
            audience=provider.audience,
            issuer=provider.issuer,
            # The times are compared with the log's time.
            options={"require": required, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
    except jwt.PyJWTError as error:
        raise NotProven(_SLUGS.get(type(error), "bad-token")) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise NotProven("malformed-token") from error
    return found


_SLUGS: Mapping[type[Exception], str] = {
    jwt.InvalidAudienceError: "wrong-audience",
    jwt.InvalidIssuerError: "wrong-issuer",
    jwt.InvalidAlgorithmError: "wrong-algorithm",
    jwt.InvalidSignatureError: "bad-signature",
    jwt.MissingRequiredClaimError: "missing-claim",
    jwt.DecodeError: "malformed-token",
}


def _key_id(token: str) -> str:
    try:
        key_id = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise NotProven("malformed-token") from error
    if not isinstance(key_id, str):
        raise NotProven("unknown-key")
    return key_id


def _is_group(group: object) -> bool:
    return isinstance(group, str) and is_subject(group)


def _time_ms(seconds: object) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < 1e11:
        raise NotProven("malformed-token")
    return int(seconds * 1000)
