"""The marks of uploaded files in the artifact store: each says of one blob that it was uploaded, and when.

Without a mark nobody could tell an upload that no version was made of from a file that an attempt has just stored. The
time of a mark is the store's own.
"""

from itertools import islice

from headgate.artifacts.store import ArtifactStore
from headgate.domain.names import SHA256

FOLDER = "uploads"
MAX_MARKS = 10_000
"""The most marks that one look reads."""


def mark(store: ArtifactStore, sha256: str) -> None:
    """To be called before the blob is stored, so that none is ever without its mark. Raises StoreUnavailable."""
    store.replace(_name(sha256), b"")


def renew(store: ArtifactStore, sha256: str) -> None:
    """Gives an upload that is asked for the present time: a version may be made of it. Raises StoreUnavailable."""
    if store.stored_at_ms(_name(sha256)) is not None:
        mark(store, sha256)


def remove(store: ArtifactStore, sha256: str) -> None:
    """Raises StoreUnavailable."""
    store.remove(_name(sha256))


def marked_at_ms(store: ArtifactStore, sha256: str) -> int | None:
    """None when there is no mark. Raises StoreUnavailable."""
    return store.stored_at_ms(_name(sha256))


def marks(store: ArtifactStore) -> dict[str, int]:
    """The time of each mark, by the digest of its blob. Raises StoreUnavailable."""
    found = ((name.removeprefix(f"{FOLDER}/"), at_ms) for name, at_ms in store.listed(FOLDER))
    return {sha256: at_ms for sha256, at_ms in islice(found, MAX_MARKS) if SHA256.fullmatch(sha256)}


def _name(sha256: str) -> str:
    return f"{FOLDER}/{sha256}"
