"""Who calls: by one of Headgate's own tokens, by a token that an identity provider signed, or by a certificate."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Protocol

from headgate.access.secret import SECRET, digest_of
from headgate.access.subject import How, Kind, Subject, subject_of_certificate
from headgate.domain.names import TOKEN_PREFIX
from headgate.runtime.authentication.proof import NO_PROOF, NotProven, Proof
from headgate.v1 import resources_pb2 as resources

SCHEME = "bearer "
MAX_SEEN = 10_000
"""Headers that are remembered by their digest. With one more, all are forgotten."""


class TokenVerifier(Protocol):
    """Verifies the tokens of an identity provider."""

    def proof(self, token: str) -> Proof:
        """Whom the token names. It may wait for the provider. Raises NotProven."""
        ...

    def present(self) -> int:
        """The number of the keys that count now, without a wait. Raises NotProven when none do."""
        ...


class Authenticator:
    """Proves callers. `token` finds one of Headgate's tokens by its digest; without `signed` no provider is known.

    Every method may be called on any thread.
    """

    def __init__(
        self,
        token: Callable[[str], resources.Token | None],
        now_ms: Callable[[], int],
        signed: TokenVerifier | None = None,
    ) -> None:
        self._token, self._now_ms, self._signed = token, now_ms, signed
        self._seen: dict[bytes, Proof] = {}

    def proof(self, authorization: Sequence[str], certificate_uris: tuple[str, ...]) -> Proof:
        """What the caller has proven. It may wait for the provider. Raises NotProven.

        `authorization` has the values of this header. A caller that sends one is known by it alone: a wrong token is
        refused, and never replaced by the certificate of a connection that others may share.
        """
        seen = self.seen(authorization, certificate_uris)
        if seen is not None:
            return seen
        assert self._signed is not None
        return self._remembered(_digest(authorization[0]), self._signed.proof(_secret(authorization[0])))

    def seen(self, authorization: Sequence[str], certificate_uris: tuple[str, ...]) -> Proof | None:
        """The same without a wait; None for a provider's token that must be verified first. Raises NotProven."""
        if not authorization:
            return _of_certificate(certificate_uris)
        if len(authorization) > 1:
            raise NotProven("malformed-header")
        digest = _digest(authorization[0])
        proof = self._seen.get(digest)
        if proof is not None:
            if self.holds(proof):
                return proof
            self._seen.pop(digest, None)
        secret = _secret(authorization[0])
        if SECRET.fullmatch(secret):
            return self._remembered(digest, self._of_token(secret))
        if self._signed is None:
            raise NotProven("unknown-token")
        return None

    def holds(self, proof: Proof) -> bool:
        """Whether what was proven before still counts: not expired, not revoked, and by a key that still counts."""
        if proof.expire_time_ms and self._now_ms() >= proof.expire_time_ms:
            return False
        if proof.token_sha256:
            return self._token(proof.token_sha256) is not None
        return not proof.keys or self._keys_are(proof.keys)

    def _keys_are(self, keys: int) -> bool:
        try:
            return self._signed is not None and self._signed.present() == keys
        except NotProven:
            return False

    def _remembered(self, digest: bytes, proof: Proof) -> Proof:
        if len(self._seen) >= MAX_SEEN:
            self._seen.clear()
        self._seen[digest] = proof
        return proof

    def _of_token(self, secret: str) -> Proof:
        digest = digest_of(secret)
        token = self._token(digest)
        if token is None:
            raise NotProven("unknown-token")
        if self._now_ms() >= token.expire_time_ms:
            raise NotProven("expired-token")
        return Proof(Subject(TOKEN_PREFIX + token.token, Kind.MACHINE, How.TOKEN), token.expire_time_ms, digest)


def _digest(header: str) -> bytes:
    """Only digests are remembered, so the memory of a service has no list of secrets."""
    return sha256(header.encode(errors="surrogatepass")).digest()


def _secret(header: str) -> str:
    if not header[: len(SCHEME)].lower() == SCHEME:
        raise NotProven("malformed-header")
    return header[len(SCHEME) :].strip()


@lru_cache(MAX_SEEN)
def _of_certificate(uris: tuple[str, ...]) -> Proof:
    subject = subject_of_certificate(uris)
    return NO_PROOF if subject.kind is Kind.NOBODY else Proof(subject)
