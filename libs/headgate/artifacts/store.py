"""Stores blobs under the SHA-256 of their bytes, in a local directory or an object store.

Every blob that is read is checked against its digest, so a caller never gets changed bytes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore import parse_scheme
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from headgate.artifacts.blobs import RESTORE
from headgate.artifacts.blobs import ArtifactCorrupt as ArtifactCorrupt
from headgate.artifacts.blobs import ArtifactError as ArtifactError
from headgate.artifacts.blobs import ArtifactMissing as ArtifactMissing
from headgate.artifacts.blobs import ArtifactRecent as ArtifactRecent
from headgate.artifacts.blobs import ArtifactTooLarge as ArtifactTooLarge
from headgate.artifacts.blobs import StoreError as StoreError
from headgate.artifacts.blobs import StoreUnavailable as StoreUnavailable
from headgate.artifacts.blobs import StoreUnusable as StoreUnusable
from headgate.artifacts.blobs import digest as digest
from headgate.artifacts.encryption.key_encryption import KeyEncryption
from headgate.artifacts.file_urls import path_of, refuse_unescaped
from headgate.artifacts.store_objects import StoreObjects
from headgate.domain.address import PORT_RULE, has_real_port
from headgate.domain.credentials import without_credentials
from headgate.domain.names import SHA256

if TYPE_CHECKING:
    from obstore import ObjectMeta

    from headgate.artifacts.encryption.encryption import Encryption

MAX_FILE_BYTES = 1 << 30
"""The largest blob that is written or read. A blob is held in memory as a whole."""
MAX_OBJECT_BYTES = MAX_FILE_BYTES + (1 << 20)
"""The largest object that is read under a name: a checkpoint has a head of its own beside its file."""
CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 300.0
"""How long one request to a bucket may take. To write the largest blob then needs 4 MB/s."""
RETRY_SECONDS = 20.0
"""How long a request that fails is repeated before it raises StoreUnavailable."""

EXPECTED = "file:///directory, or a bucket such as s3://bucket/prefix, gs://bucket or az://container"

CLOCK, CLOCK_CONTENT = "clock", b"The time of this object shows the clock of the store."


class ArtifactStore:
    """A store of blobs. Thread-safe, and several processes may share it. `folder` holds the files of a local one.

    With `keys` all that is stored is encrypted. The digests are those of the plaintext.
    """

    def __init__(self, objects: ObjectStore, folder: Path | None = None, keys: KeyEncryption | None = None) -> None:
        self._objects = objects
        self.contents = StoreObjects(objects, folder, _encryption(keys))

    def put(self, data: bytes) -> str:
        """Stores the bytes and returns their digest.

        A blob that exists is written again. That repairs a damaged one, and its new time keeps it from `delete_blob`.
        Raises ArtifactTooLarge and StoreUnavailable.
        """
        if len(data) > MAX_FILE_BYTES:
            raise ArtifactTooLarge(f"the blob has {len(data)} bytes; the limit is {MAX_FILE_BYTES}")
        sha256 = digest(data)
        with translated():
            self.contents.write(path(sha256), data)
        return sha256

    def put_file(self, file: Path, sha256: str) -> None:
        """Stores a file whose digest is known, without holding it in memory. Raises StoreUnavailable."""
        with translated():
            self.contents.write(path(sha256), file)

    def size_of(self, sha256: str) -> int | None:
        """The size in bytes of the blob with this digest; None when there is none. Raises StoreUnavailable."""
        if not SHA256.fullmatch(sha256):
            return None
        with translated():
            return self.contents.size(path(sha256))

    def get(self, sha256: str) -> bytes:
        """The bytes with this digest. Raises ArtifactMissing, ArtifactCorrupt, ArtifactTooLarge, StoreUnavailable."""
        return bytes(self.view(sha256))

    def view(self, sha256: str) -> memoryview:
        """The same bytes, held in memory once, for large blobs. Raises as `get` does."""
        if not SHA256.fullmatch(sha256):
            raise ArtifactMissing(f"{sha256!r} is not a SHA-256 in hexadecimal")
        with translated():
            try:
                data, hashed = self.contents.read(path(sha256), MAX_FILE_BYTES)
            except FileNotFoundError as missing:
                raise ArtifactMissing(f"there is no blob {sha256}: {RESTORE}") from missing
        if hashed != sha256:
            raise ArtifactCorrupt(f"the bytes that are stored as {sha256} have the digest {hashed}: {RESTORE}")
        return data.toreadonly()

    def check(self, sha256: str) -> None:
        """Reads the blob and compares its digest. Raises as `get` does."""
        self.view(sha256)

    def replace(self, name: str, data: bytes) -> None:
        """Stores an object that changes, such as a checkpoint, under a name. Replaces its old content.

        Raises StoreUnavailable.
        """
        with translated():
            self.contents.write(name, data)

    def latest(self, name: str) -> bytes | None:
        """The content that `replace` stored last under this name; None when there is none.

        Raises StoreUnavailable, and ArtifactCorrupt when it is encrypted and cannot be decrypted.
        """
        with translated():
            try:
                return bytes(self.contents.read(name, MAX_OBJECT_BYTES)[0])
            except FileNotFoundError:
                return None

    def remove(self, name: str) -> None:
        """Removes the object that `replace` stored under this name, if it exists. Raises StoreUnavailable."""
        with translated():
            self.contents.delete(name)

    def has_blob(self, sha256: str) -> bool:
        """Whether there is a blob with this digest. Its bytes are not checked. Raises StoreUnavailable."""
        return self._described(sha256) is not None

    def delete_blob(self, sha256: str, stored_before_ms: int) -> int:
        """Deletes the blob and returns its size in bytes; 0 when there is none.

        Raises ArtifactRecent when it was last stored at `stored_before_ms` or later, by the store's own clock, and
        StoreUnavailable.
        """
        found = self._described(sha256)
        if found is None:
            return 0
        stored_at_ms = _stored_at_ms(found)
        if stored_at_ms >= stored_before_ms:
            raise ArtifactRecent(f"{sha256} was stored at {stored_at_ms} ms, which is not before {stored_before_ms} ms")
        with translated():
            self.contents.delete(path(sha256))
        return found["size"]

    def time_ms(self) -> int:
        """The time that the store gives to what is stored now. Its clock may differ from all others.

        Raises StoreUnavailable.
        """
        with translated():
            obstore.put(self._objects, CLOCK, CLOCK_CONTENT, mode="overwrite")
            return _stored_at_ms(obstore.head(self._objects, CLOCK))

    def names(self, folder: str) -> Iterator[str]:
        """The names of the objects that `replace` stored below a folder. Raises StoreUnavailable."""
        yield from (name for name, _ in self.listed(folder))

    def listed(self, folder: str) -> Iterator[tuple[str, int]]:
        """The same, each with the time at which it was stored, by the store's own clock. Raises StoreUnavailable."""
        with translated():
            for page in obstore.list(self._objects, prefix=folder):
                yield from ((found["path"], _stored_at_ms(found)) for found in page)

    def stored_at_ms(self, name: str) -> int | None:
        """When the object of this name was stored, by the store's own clock; None when there is none.

        Raises StoreUnavailable.
        """
        with translated():
            try:
                return _stored_at_ms(obstore.head(self._objects, name))
            except FileNotFoundError:
                return None

    def _described(self, sha256: str) -> "ObjectMeta | None":
        if not SHA256.fullmatch(sha256):
            return None
        with translated():
            try:
                return obstore.head(self._objects, path(sha256))
            except FileNotFoundError:
                return None


def _encryption(keys: KeyEncryption | None) -> "Encryption | None":
    if keys is None:
        return None
    # Imported here, because a store without a key needs no cryptography.
    from headgate.artifacts.encryption.encryption import Encryption

    return Encryption(keys)


def _stored_at_ms(found: "ObjectMeta") -> int:
    return int(found["last_modified"].timestamp() * 1000)


def open_store(url: str, create: bool = True, keys: KeyEncryption | None = None) -> ArtifactStore:
    """The store at a URL: `file:///directory`, `memory:///`, or an s3, gs, az or https URL.

    `create` creates a directory that is missing, and with `keys` all that is stored is encrypted. Raises StoreUnusable
    for a URL that names no store, or one that cannot be opened.
    """
    check_url(url)
    if not create and url.startswith("file:") and not path_of(url).is_dir():
        raise StoreUnusable(f"the folder {path_of(url)} does not exist")
    try:
        return ArtifactStore(_objects(url, create), path_of(url) if url.startswith("file:") else None, keys)
    except (BaseError, OSError, ValueError) as error:
        raise StoreUnusable(f"the store cannot be opened: {_reason(error)}") from error


def check_url(url: str) -> None:
    """Raises StoreUnusable for a URL that cannot name a store. It opens nothing."""
    try:
        _require_form(url)
    except (BaseError, ValueError) as error:
        raise StoreUnusable(f"expected {EXPECTED}: {_reason(error)}") from error


def _require_form(url: str) -> None:
    scheme = urlsplit(url).scheme
    if not scheme:
        raise ValueError("it has no scheme")
    if scheme == "file":
        path_of(url)
        return
    if not has_real_port(url):
        raise ValueError(PORT_RULE)
    refuse_unescaped(url)
    parse_scheme(url)


def _objects(url: str, create: bool) -> ObjectStore:
    scheme = urlsplit(url).scheme
    if scheme == "file":
        return LocalStore(path_of(url), mkdir=create)
    if scheme == "memory":
        return MemoryStore()
    connect, request = timedelta(seconds=CONNECT_SECONDS), timedelta(seconds=REQUEST_SECONDS)
    return from_url(
        url,
        client_options={"connect_timeout": connect, "timeout": request},
        retry_config={"retry_timeout": timedelta(seconds=RETRY_SECONDS)},
    )


@contextmanager
def translated() -> Iterator[None]:
    """Errors of obstore and of the disk become StoreUnavailable."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise StoreUnavailable(f"the store cannot be used: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The first line of the error, without credentials. The lines below it are a dump of obstore."""
    return without_credentials(next(iter(str(error).splitlines()), type(error).__name__))


def path(sha256: str) -> str:
    return f"blobs/{sha256[:2]}/{sha256}"
