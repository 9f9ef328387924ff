"""What a caller has proven, and why a proof does not count."""

from dataclasses import dataclass

from headgate.access.subject import NOBODY, Subject


class NotProven(Exception):
    """The caller has shown something that proves nothing. `slug` is for metrics and the audit log, not for callers."""

    def __init__(self, slug: str) -> None:
        super().__init__(slug)
        self.slug = slug


@dataclass(frozen=True, slots=True)
class Proof:
    """The subject, until when it is proven, and the digest of the token by which it is, if it is one of Headgate's."""

    subject: Subject
    expire_time_ms: int = 0
    """0 for a certificate, whose end the connection knows."""
    token_sha256: str = ""
    keys: int = 0
    """The number of the provider's keys by which its token was verified; 0 for another proof."""


NO_PROOF = Proof(NOBODY)
