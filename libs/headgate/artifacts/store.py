"""Stores blobs under the SHA-256 of their bytes, in a local directory or an object store.

Every blob that is read is checked against its digest, so a caller never gets changed bytes.
"""

import hashlib
import mmap
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
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
from headgate.artifacts.file_urls import path_of, refuse_unescaped
from headgate.domain.address import PORT_RULE, has_real_port
from headgate.domain.credentials import without_credentials
from headgate.domain.names import SHA256

if TYPE_CHECKING:
    from obstore import ObjectMeta

MAX_FILE_BYTES = 1 << 30
"""The largest blob that is written or read. A blob is held in memory as a whole."""
PART_BYTES = 4 << 20
"""A blob is read in parts of this size. A stream of obstore copies each part several times, which takes longer."""

ReadInto = Callable[[memoryview, int], None]
"""Fills a part of a blob with its bytes from a position on. Of a blob that is shorter by now the rest stays zeros,
which show in the digest."""

CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 300.0
"""How long one request to a bucket may take. To write the largest blob then needs 4 MB/s."""
RETRY_SECONDS = 20.0
"""How long a request that fails is repeated before it raises StoreUnavailable."""

EXPECTED = "file:///directory, or a bucket such as s3://bucket/prefix, gs://bucket or az://container"

CLOCK, CLOCK_CONTENT = "clock", b"The time of this object shows the clock of the store."


class ArtifactStore:
    """A store of blobs. Thread-safe, and several processes may share it. `folder` holds the files of a local one."""

    def __init__(self, objects: ObjectStore, folder: Path | None = None) -> None:
        self._objects = objects
        self._folder = folder

    def put(self, data: bytes) -> str:
        """Stores the bytes and returns their digest.

        A blob that exists is written again. That repairs a damaged one, and its new time keeps it from `delete_blob`.
        Raises ArtifactTooLarge and StoreUnavailable.
        """
        if len(data) > MAX_FILE_BYTES:
            raise ArtifactTooLarge(f"the blob has {len(data)} bytes; the limit is {MAX_FILE_BYTES}")
        sha256 = digest(data)
        with _translated():
            obstore.put(self._objects, path(sha256), data, mode="overwrite")
        return sha256

    def put_file(self, file: Path, sha256: str) -> None:
        """Stores a file whose digest is known, without holding it in memory. Raises StoreUnavailable."""
        with _translated():
            obstore.put(self._objects, path(sha256), file, mode="overwrite")

    def size_of(self, sha256: str) -> int | None:
        """The size in bytes of the blob with this digest; None when there is none. Raises StoreUnavailable."""
        found = self._described(sha256)
        return None if found is None else found["size"]

    def get(self, sha256: str) -> bytes:
        """The bytes with this digest. Raises ArtifactMissing, ArtifactCorrupt, ArtifactTooLarge, StoreUnavailable."""
        return bytes(self.view(sha256))

    def view(self, sha256: str) -> memoryview:
        """The same bytes, held in memory once, for large blobs. Raises as `get` does."""
        if not SHA256.fullmatch(sha256):
            raise ArtifactMissing(f"{sha256!r} is not a SHA-256 in hexadecimal")
        with _translated():
            try:
                data, hashed = self._read(path(sha256))
            except FileNotFoundError as missing:
                raise ArtifactMissing(f"there is no blob {sha256}: {RESTORE}") from missing
        if hashed != sha256:
            raise ArtifactCorrupt(f"the bytes that are stored as {sha256} have the digest {hashed}: {RESTORE}")
        return data.toreadonly()

    def _read(self, name: str) -> tuple[memoryview, str]:
        """The bytes of an object and their digest."""
        found = obstore.get(self._objects, name)
        size = found.meta["size"]
        if size > MAX_FILE_BYTES:
            raise ArtifactTooLarge(f"{name} has {size} bytes; the limit is {MAX_FILE_BYTES}")
        if size <= PART_BYTES:
            data = memoryview(found.bytes())
            return data, hashlib.sha256(data).hexdigest()
        return self._read_in_parts(name, size)

    def _read_in_parts(self, name: str, size: int) -> tuple[memoryview, str]:
        """The same. A thread computes the digest of one part while the next one is read."""
        data, hashed = _room(size), hashlib.sha256()
        with self._reading(name) as read_into, ThreadPoolExecutor(1) as beside:
            for start in range(0, size, PART_BYTES):
                part = data[start : start + PART_BYTES]
                read_into(part, start)
                beside.submit(hashed.update, part)
        return data, hashed.hexdigest()

    @contextmanager
    def _reading(self, name: str) -> Iterator[ReadInto]:
        """A file is read where it lies, which takes a quarter of the time of obstore's copies."""
        if self._folder is None:
            yield partial(_read_range, self._objects, name)
            return
        with (self._folder / name).open("rb", buffering=0) as file:
            yield partial(_read_file, file.fileno())

    def replace(self, name: str, data: bytes) -> None:
        """Stores an object that changes, such as a checkpoint, under a name. Replaces its old content.

        Raises StoreUnavailable.
        """
        with _translated():
            obstore.put(self._objects, name, data, mode="overwrite")

    def latest(self, name: str) -> bytes | None:
        """The content that `replace` stored last under this name; None when there is none. Raises StoreUnavailable."""
        with _translated():
            try:
                return bytes(obstore.get(self._objects, name).bytes())
            except FileNotFoundError:
                return None

    def remove(self, name: str) -> None:
        """Removes the object that `replace` stored under this name, if it exists. Raises StoreUnavailable."""
        with _translated(), suppress(FileNotFoundError):
            obstore.delete(self._objects, name)

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
        with _translated(), suppress(FileNotFoundError):
            obstore.delete(self._objects, path(sha256))
        return found["size"]

    def time_ms(self) -> int:
        """The time that the store gives to what is stored now. Its clock may differ from all others.

        Raises StoreUnavailable.
        """
        with _translated():
            obstore.put(self._objects, CLOCK, CLOCK_CONTENT, mode="overwrite")
            return _stored_at_ms(obstore.head(self._objects, CLOCK))

    def names(self, folder: str) -> Iterator[str]:
        """The names of the objects that `replace` stored below a folder. Raises StoreUnavailable."""
        yield from (name for name, _ in self.listed(folder))

    def listed(self, folder: str) -> Iterator[tuple[str, int]]:
        """The same, each with the time at which it was stored, by the store's own clock. Raises StoreUnavailable."""
        with _translated():
            for page in obstore.list(self._objects, prefix=folder):
                yield from ((found["path"], _stored_at_ms(found)) for found in page)

    def stored_at_ms(self, name: str) -> int | None:
        """When the object of this name was stored, by the store's own clock; None when there is none.

        Raises StoreUnavailable.
        """
        with _translated():
            try:
                return _stored_at_ms(obstore.head(self._objects, name))
            except FileNotFoundError:
                return None

    def _described(self, sha256: str) -> "ObjectMeta | None":
        if not SHA256.fullmatch(sha256):
            return None
        with _translated():
            try:
                return obstore.head(self._objects, path(sha256))
            except FileNotFoundError:
                return None


def _read_range(objects: ObjectStore, name: str, part: memoryview, start: int) -> None:
    read = obstore.get_range(objects, name, start=start, length=len(part))
    part[: len(read)] = memoryview(read)


def _read_file(file: int, part: memoryview, start: int) -> None:
    os.preadv(file, [part], start)


def _room(size: int) -> memoryview:
    """Memory of so many bytes. In large pages, which only private memory has, its first use is four times as fast."""
    room = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        room.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(room)


def _stored_at_ms(found: "ObjectMeta") -> int:
    return int(found["last_modified"].timestamp() * 1000)


def open_store(url: str, create: bool = True) -> ArtifactStore:
    """The store at a URL: `file:///directory`, `memory:///`, or an s3, gs, az or https URL.

    `create` creates a directory that is missing. Raises StoreUnusable for a URL that names no store, or one that cannot
    be opened.
    """
    check_url(url)
    if not create and url.startswith("file:") and not path_of(url).is_dir():
        raise StoreUnusable(f"the folder {path_of(url)} does not exist")
    try:
        return ArtifactStore(_objects(url, create), path_of(url) if url.startswith("file:") else None)
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
def _translated() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        raise StoreUnavailable(f"the store cannot be used: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The first line of the error, without credentials. The lines below it are a dump of obstore."""
    return without_credentials(next(iter(str(error).splitlines()), type(error).__name__))


def path(sha256: str) -> str:
    return f"blobs/{sha256[:2]}/{sha256}"
