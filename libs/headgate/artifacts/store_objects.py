"""Reads and writes the single objects of a store, and encrypts them where the store has a key.

An object that lies in the clear, because it is older than the key, is read as it is.
"""

import hashlib
import io
import mmap
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import obstore
from obstore.store import ObjectStore

from headgate.artifacts.blobs import RESTORE, ArtifactCorrupt, ArtifactTooLarge
from headgate.artifacts.encryption import data_key_record
from headgate.artifacts.encryption.header import HEADER_BYTES, Header, header_of
from headgate.artifacts.encryption.key_encryption import KeyUnavailable

if TYPE_CHECKING:
    from obstore import BytesStream, GetResult

    from headgate.artifacts.encryption.encryption import Encryption

PART_BYTES = 4 << 20
"""An object is read in parts of this size. A stream of obstore copies each part several times, which takes longer."""
UPLOAD_PART_BYTES = 8 << 20
UPLOADS_AT_ONCE = 2
"""An encrypted object goes to a bucket in such parts; so many of them are in memory together."""
READS = 2
"""An object that is replaced while it is read is read again: its data key is gone."""
NO_KEY = "name the key in HEADGATE_ENCRYPTION_KEY, and for a Vault the token in HEADGATE_ENCRYPTION_TOKEN"

ReadInto = Callable[[memoryview, int], None]
"""Fills a part of an object with its bytes from a position on. Of one that is shorter by now the rest stays zeros,
which show in the digest."""


class KeyGone(ArtifactCorrupt):
    """The data key of an encrypted object is not in the store."""


class StoreObjects:
    """The objects of one store by name. Raises obstore's errors and OSError; FileNotFoundError for a missing object."""

    def __init__(self, objects: ObjectStore, folder: Path | None, encryption: "Encryption | None") -> None:
        self._objects = objects
        self._folder = folder
        self._encryption = encryption

    def write(self, name: str, content: bytes | Path) -> None:
        """Replaces the object. An empty one hides nothing, so it is not encrypted. Raises KeyUnavailable."""
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        if self._encryption is None or not size:
            obstore.put(self._objects, name, content, mode="overwrite")
            return
        with _parts_of(content) as parts:
            new = self._encryption.encrypted(name, size, parts)
            before = self.header(name)
            self.write_plain(data_key_record.path(new.header.data_key), new.record)
            self._put(name, size, new.content)
        if before is not None:
            self._delete_data_key(before)

    def _put(self, name: str, size: int, content: Iterator[bytes]) -> None:
        if size <= PART_BYTES:
            obstore.put(self._objects, name, b"".join(content), mode="overwrite")
            return
        obstore.put(
            self._objects,
            name,
            content,
            use_multipart=True,
            chunk_size=UPLOAD_PART_BYTES,
            max_concurrency=UPLOADS_AT_ONCE,
        )

    def plain(self, name: str) -> bytes | None:
        """The bytes of a small object as they are stored; None when there is none."""
        with suppress(FileNotFoundError):
            return bytes(obstore.get(self._objects, name).bytes())
        return None

    def write_plain(self, name: str, content: bytes) -> None:
        """Replaces a small object, such as a wrapped data key, which is not encrypted once more."""
        obstore.put(self._objects, name, content, mode="overwrite")

    def header(self, name: str) -> Header | None:
        """The header of an encrypted object; None when there is no object, or when it lies in the clear."""
        with suppress(FileNotFoundError):
            if obstore.head(self._objects, name)["size"] > HEADER_BYTES:
                return header_of(bytes(obstore.get_range(self._objects, name, start=0, end=HEADER_BYTES)))
        return None

    def size(self, name: str) -> int | None:
        """Bytes of the plaintext; None when there is no object."""
        try:
            stored = obstore.head(self._objects, name)["size"]
        except FileNotFoundError:
            return None
        header = self.header(name)
        return header.size if header else stored

    def read(self, name: str, max_bytes: int) -> tuple[memoryview, str]:
        """The plaintext and its digest.

        Raises ArtifactTooLarge and, for encrypted objects, ArtifactCorrupt and KeyUnavailable.
        """
        for last in (False, True):
            try:
                return self._read(name, max_bytes)
            except KeyGone:
                if last:
                    raise
        raise AssertionError("unreachable")

    def delete(self, name: str) -> None:
        """Deletes the object, and then its data key, without which no copy of it can be read again."""
        header = self.header(name)
        with suppress(FileNotFoundError):
            obstore.delete(self._objects, name)
        if header is not None:
            self._delete_data_key(header)

    def _delete_data_key(self, header: Header) -> None:
        with suppress(FileNotFoundError):
            obstore.delete(self._objects, data_key_record.path(header.data_key))

    def _read(self, name: str, max_bytes: int) -> tuple[memoryview, str]:
        found = obstore.get(self._objects, name)
        size = found.meta["size"]
        if size <= PART_BYTES:
            data = memoryview(found.bytes())
            if (header := header_of(bytes(data[:HEADER_BYTES]))) is not None:
                return self._decrypted(name, header, io.BytesIO(data[HEADER_BYTES:]), max_bytes)
            _require_size(name, size, max_bytes)
            return data, hashlib.sha256(data).hexdigest()
        with self._opened(name, found) as source:
            if (header := header_of(source.read(HEADER_BYTES))) is not None:
                return self._decrypted(name, header, source, max_bytes)
        _require_size(name, size, max_bytes)
        return self._read_in_parts(name, size)

    def _decrypted(self, name: str, header: Header, source: BinaryIO, max_bytes: int) -> tuple[memoryview, str]:
        """A thread computes the digest of one part while the next one is decrypted."""
        _require_size(name, header.size, max_bytes)
        data, hashed = room(header.size), hashlib.sha256()
        record = self._record(name, header)
        if self._encryption is None:
            _, wrapped = data_key_record.decode(record)
            raise KeyUnavailable(f"{name} is encrypted under the key {wrapped.key_id}: {NO_KEY}")
        with ThreadPoolExecutor(1) as beside:
            for part in self._encryption.decrypted_into(data, name, header, record, source):
                beside.submit(hashed.update, part)
        return data, hashed.hexdigest()

    def _record(self, name: str, header: Header) -> bytes:
        record = self.plain(data_key_record.path(header.data_key))
        if record is None:
            raise KeyGone(f"{name} is encrypted, and its data key {header.data_key} is gone: {RESTORE}")
        return record

    @contextmanager
    def _opened(self, name: str, found: "GetResult") -> Iterator[BinaryIO]:
        """The bytes of one large object from its first one on, also when it is replaced meanwhile."""
        if self._folder is None:
            yield io.BufferedReader(_Stream(found.stream(min_chunk_size=PART_BYTES)))
            return
        with (self._folder / name).open("rb", buffering=0) as file:
            yield file

    def _read_in_parts(self, name: str, size: int) -> tuple[memoryview, str]:
        """An object in the clear. A thread computes the digest of one part while the next one is read."""
        data, hashed = room(size), hashlib.sha256()
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


def _require_size(name: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise ArtifactTooLarge(f"{name} has {size} bytes; the limit is {max_bytes}")


@contextmanager
def _parts_of(content: bytes | Path) -> Iterator[Iterator[bytes | memoryview]]:
    """What is to be encrypted, in parts, so that a large file is never in memory as a whole."""
    if isinstance(content, bytes):
        yield iter((memoryview(content),))
        return
    with content.open("rb") as file:
        yield iter(partial(file.read, PART_BYTES), b"")


def _read_range(objects: ObjectStore, name: str, part: memoryview, start: int) -> None:
    read = obstore.get_range(objects, name, start=start, length=len(part))
    part[: len(read)] = memoryview(read)


def _read_file(file: int, part: memoryview, start: int) -> None:
    os.preadv(file, [part], start)


def room(size: int) -> memoryview:
    """Memory of so many bytes. In large pages, which only private memory has, its first use is four times as fast."""
    if not size:
        return memoryview(b"")
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)


class _Stream(io.RawIOBase):
    """A stream of obstore as a file."""

    def __init__(self, parts: "BytesStream") -> None:
        self._parts = parts
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            following = next(self._parts, None)
            if following is None:
                return 0
            self._left = memoryview(following)
        count = min(len(into), len(self._left))
        into[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
