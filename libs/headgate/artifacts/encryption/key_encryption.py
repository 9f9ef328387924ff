"""The port behind which a key-encryption key lies. It wraps data keys, and nobody else ever sees it."""

from dataclasses import dataclass
from typing import Protocol

from headgate.artifacts.blobs import StoreUnavailable

NEXT_STEPS = "restore that key where HEADGATE_ENCRYPTION_KEY says, and what waits for it goes on by itself"


class KeyUnavailable(StoreUnavailable):
    """A key-encryption key is not here, cannot be read, or its server does not answer. The message names the key.

    What is encrypted may be sound, so another try may succeed once the key is back.
    """


class EncryptionUnusable(Exception):
    """The setting names no key that can be used. The message has the reason on one line, and what to do."""


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A data key as it is stored: encrypted by the key-encryption key of this id."""

    key_id: str
    content: bytes


class KeyEncryption(Protocol):
    """Wraps the data keys of objects. `name` is the name of the object, to which the wrapped key is bound."""

    def key_id(self) -> str:
        """The id of the key that wraps now. Raises KeyUnavailable."""
        ...

    def wrap(self, data_key: bytes, name: str) -> Wrapped:
        """Raises KeyUnavailable."""
        ...

    def unwrap(self, wrapped: Wrapped, name: str) -> bytes:
        """Raises KeyUnavailable, and ArtifactCorrupt when the key has not wrapped these bytes for this name."""
        ...

    def rewrap(self, wrapped: Wrapped, name: str) -> Wrapped:
        """The same data key, wrapped by the key that wraps now. Raises as `unwrap` does."""
        ...

    def rotate(self) -> str:
        """Makes a new key, which wraps from now on, and returns its id. The old ones still unwrap.

        Raises KeyUnavailable.
        """
        ...
