"""Who calls: by one of Headgate's own tokens, by a token that an identity provider signed, or by a certificate."""

from collections.abc import Callable, Sequence
from typing import Protocol

from headgate.access.secret import SECRET, digest_of
from headgate.access.subject import How, Kind, Subject, subject_of_certificate
from headgate.domain.names import TOKEN_PREFIX
from headgate.runtime.authentication.proof import NO_PROOF, NotProven, Proof
from headgate.v1 import resources_pb2 as resources

SCHEME = "bearer "


class TokenVerifier(Protocol):
    """Verifies the tokens of an identity provider."""

    def proof(self, token: str) -> Proof:
        """Whom the token names. Raises NotProven."""
        ...


class Authenticator:
    """Proves callers. `token` finds one of Headgate's tokens by its digest; without `signed` no provider is known."""

    def __init__(
        self,
        token: Callable[[str], resources.Token | None],
        now_ms: Callable[[], int],
        signed: TokenVerifier | None = None,
    ) -> None:
        self._token, self._now_ms, self._signed = token, now_ms, signed

    def proof(self, authorization: Sequence[str], certificate_uris: tuple[str, ...]) -> Proof:
        """What the caller has proven. Raises NotProven.

        `authorization` has the values of this header. A caller that sends one is known by it alone: a wrong token is
        refused, and never replaced by the certificate of a connection that others may share.
        """
        if not authorization:
            subject = subject_of_certificate(certificate_uris)
            return NO_PROOF if subject.kind is Kind.NOBODY else Proof(subject)
        if len(authorization) > 1 or not authorization[0].lower().startswith(SCHEME):
            raise NotProven("malformed-header")
        secret = authorization[0][len(SCHEME) :].strip()
        if SECRET.fullmatch(secret):
            return self._of_token(secret)
        if self._signed is None:
            raise NotProven("unknown-token")
        return self._signed.proof(secret)

    def holds(self, proof: Proof) -> bool:
        """Whether what was proven before still counts: the token has not expired, and is not revoked."""
        if proof.expire_time_ms and self._now_ms() >= proof.expire_time_ms:
            return False
        return not proof.token_sha256 or self._token(proof.token_sha256) is not None

    def _of_token(self, secret: str) -> Proof:
        digest = digest_of(secret)
        token = self._token(digest)
        if token is None:
            raise NotProven("unknown-token")
        if self._now_ms() >= token.expire_time_ms:
            raise NotProven("expired-token")
        return Proof(Subject(TOKEN_PREFIX + token.token, Kind.MACHINE, How.TOKEN), token.expire_time_ms, digest)
