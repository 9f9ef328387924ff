"""Immutable blobs named by the SHA-256 of their bytes, on a local directory or an object store.

What is read is always checked against its name, so a caller never sees bytes that were changed.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

MAX_FILE_BYTES = 1 << 30
"""Largest blob that is written or read: all of it is held in memory."""

SHA256 = re.compile(r"[0-9a-f]{64}")


class ArtifactError(Exception):
    """A blob or an artifact cannot be used."""


class ArtifactMissing(ArtifactError):
    """No blob has this digest."""


class ArtifactCorrupt(ArtifactError):
    """The stored bytes do not have the digest they are named by."""


class ArtifactTooLarge(ArtifactError):
    """The blob is larger than MAX_FILE_BYTES."""


class ArtifactStore:
    """Thread-safe; several processes may share one store."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def put(self, data: bytes) -> str:
        """Returns the digest. Bytes that are there already are left alone; damaged ones are replaced by good ones."""
        if len(data) > MAX_FILE_BYTES:
            raise ArtifactTooLarge(f"{len(data)} bytes; the limit is {MAX_FILE_BYTES}")
        sha256 = digest(data)
        try:
            obstore.put(self._objects, path(sha256), data, mode="create")
        except AlreadyExistsError:
            self._heal(sha256, data)
        return sha256

    def get(self, sha256: str) -> bytes:
        """Raises ArtifactMissing, ArtifactCorrupt, ArtifactTooLarge."""
        if not SHA256.fullmatch(sha256):
            raise ArtifactMissing(f"{sha256!r} is not a SHA-256 in hexadecimal")
        try:
            found = obstore.get(self._objects, path(sha256))
        except FileNotFoundError as missing:
            raise ArtifactMissing(f"no blob {sha256}") from missing
        if found.meta["size"] > MAX_FILE_BYTES:
            raise ArtifactTooLarge(f"{sha256} has {found.meta['size']} bytes; the limit is {MAX_FILE_BYTES}")
        data = bytes(found.bytes())
        if digest(data) != sha256:
            raise ArtifactCorrupt(f"the bytes stored as {sha256} have the digest {digest(data)}")
        return data

    def replace(self, name: str, data: bytes) -> None:
        """Puts the newest state of something that changes under its name, beside the blobs. Raises ArtifactError."""
        with self._told():
            obstore.put(self._objects, name, data, mode="overwrite")

    def latest(self, name: str) -> bytes | None:
        """What `replace` put there last; None when there is nothing. Raises ArtifactError."""
        with self._told():
            try:
                return bytes(obstore.get(self._objects, name).bytes())
            except FileNotFoundError:
                return None

    def remove(self, name: str) -> None:
        """Takes away what `replace` put there, if it is there. Raises ArtifactError."""
        with self._told(), suppress(FileNotFoundError):
            obstore.delete(self._objects, name)

    @staticmethod
    @contextmanager
    def _told() -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            raise ArtifactError(f"the store cannot be used: {error}") from error

    def _heal(self, sha256: str, data: bytes) -> None:
        try:
            self.get(sha256)
        except ArtifactCorrupt:
            obstore.put(self._objects, path(sha256), data, mode="overwrite")


def open_store(url: str) -> ArtifactStore:
    """`file:///directory` (made when missing), `memory:///`, or what obstore knows: s3, gs, az, https."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return ArtifactStore(LocalStore(Path(unquote(parts.path)), mkdir=True))
    if parts.scheme == "memory":
        return ArtifactStore(MemoryStore())
    return ArtifactStore(from_url(url))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def path(sha256: str) -> str:
    return f"blobs/{sha256[:2]}/{sha256}"
