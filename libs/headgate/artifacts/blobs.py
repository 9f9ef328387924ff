"""What every store of blobs says: its errors, and how a blob is read. It knows no store, so it costs little memory."""

import hashlib
from typing import Protocol


class StoreError(Exception):
    """The store gives or takes no blob: because of the blob, or because it does not answer."""


class ArtifactError(StoreError):
    """A blob or an artifact cannot be used."""


RESTORE = "restore it from a backup of the artifact store, or publish a new commit: it is trained and stored again"
"""What to do about bytes that are gone or changed. Every reader of the store shows it."""


AGAIN = "publish a new commit, or import the version again: it is stored and signed again"
"""What to do about a manifest that was stored as it is, and is not what was signed for the version."""


class ArtifactMissing(ArtifactError):
    """The store has no blob with this digest."""


class ArtifactCorrupt(ArtifactError):
    """The stored bytes do not have the digest under which they are stored."""


class ArtifactTooLarge(ArtifactError):
    """The blob is larger than MAX_FILE_BYTES."""


class StoreUnusable(ArtifactError):
    """The URL names no store that can be opened. The message has the reason on one line, and what a URL looks like."""


class StoreUnavailable(StoreError):
    """The store did not answer or refused the request. The message has its reason on one line.

    The artifact itself may be sound, so another try may succeed.
    """


class ArtifactRecent(ArtifactError):
    """The blob is not deleted yet, because somebody has stored it a short time ago."""


class Blobs(Protocol):
    """Where blobs are read."""

    def get(self, sha256: str) -> bytes:
        """The bytes with this digest, which were checked. Raises the errors of the store."""
        ...


def digest(data: bytes) -> str:
    """The name of a blob: the SHA-256 of its bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
