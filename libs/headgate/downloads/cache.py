"""Keeps downloaded files under their SHA-256, up to a number of bytes. Threads and processes share one folder.

Who uses a file holds a shared lock on it, and who downloads one an exclusive lock on its part. The system releases both
when the process ends. What was used longest ago leaves first, and never what somebody uses.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headgate.downloads.faults import Refused
from headgate.downloads.source import Source
from headgate.downloads.transfer import Ending, Wanted, download
from headgate.shared_files import digest_of, is_same, try_lock

STEP_BYTES = 64 << 20
"""Of a file whose size is not known, room is made in such steps."""
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
READ_ONLY = 0o444


class Lease:
    """A file of the cache that stays as long as this is not closed."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    def close(self) -> None:
        """Ends the use of the file."""
        os.close(self._descriptor)


class Cache:
    """`setting` names the variable that bounds the cache, for the words of a refusal."""

    def __init__(self, folder: Path, max_bytes: int, setting: str = "HEADGATE_DATA_CACHE_BYTES") -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.setting = setting
        self.files, self.parts = folder / "files", folder / "parts"

    def prepare(self) -> None:
        """Makes the folder. Raises OSError."""
        for folder in (self.files, self.parts):
            folder.mkdir(parents=True, exist_ok=True)

    def fetch(self, source: Source, wanted: Wanted, ending: Ending) -> Lease:
        """The file, from the cache or from its source. Whoever wants the same file waits and shares one download.

        Raises Refused and Stopped.
        """
        self.prepare()
        while True:
            if lease := self.lease(wanted.sha256):
                return lease
            with self._locked_part(wanted.sha256) as part:
                if part is None:
                    ending.pause()
                elif not self._path(wanted.sha256).exists():
                    self._download(part, source, wanted, ending)

    def lease(self, sha256: str) -> Lease | None:
        """The file when the cache has it. One that was damaged is deleted."""
        path = self._path(sha256)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        kept = False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if not is_same(path, descriptor):
                return None
            if digest_of(descriptor) != sha256:
                path.unlink(missing_ok=True)
                return None
            os.utime(descriptor)
            kept = True
            return Lease(path, descriptor)
        finally:
            if not kept:
                os.close(descriptor)

    def size(self) -> int:
        """The bytes of all files and of the parts for which room is made."""
        return sum(found.st_size for _, found in self._entries())

    def make_room(self, descriptor: int, size: int) -> bool:
        """Lets the part grow to this size, and deletes unused files for it. False while too much is in use."""
        with self._lock():
            missing = self.size() - os.fstat(descriptor).st_size + size - self.max_bytes
            for path in self._oldest_first() if missing > 0 else ():
                missing -= self._delete_unused(path)
                if missing <= 0:
                    break
            if missing > 0:
                return False
            os.ftruncate(descriptor, size)
            return True

    def delete_one(self) -> bool:
        """Deletes the unused file that was used longest ago. Whether there was one."""
        with self._lock():
            return any(self._delete_unused(path) for path in self._oldest_first())

    def _download(self, descriptor: int, source: Source, wanted: Wanted, ending: Ending) -> None:
        try:
            os.ftruncate(descriptor, download(source, PartFile(self, descriptor, wanted, ending), wanted, ending))
            os.fchmod(descriptor, READ_ONLY)
            self._part(wanted.sha256).rename(self._path(wanted.sha256))
        except BaseException:
            self._part(wanted.sha256).unlink(missing_ok=True)
            raise

    @contextmanager
    def _locked_part(self, sha256: str) -> Iterator[int | None]:
        """The part of a file for the one that downloads it; None while somebody else does."""
        path = self._part(sha256)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            yield descriptor if try_lock(descriptor) and is_same(path, descriptor) else None
        finally:
            os.close(descriptor)

    def _delete_unused(self, path: Path) -> int:
        """Deletes the file unless somebody uses it. The bytes that became free."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return 0
        try:
            if not try_lock(descriptor):
                return 0
            path.unlink(missing_ok=True)
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)

    def _oldest_first(self) -> list[Path]:
        """Parts that a killed process left, and then the files by their last use."""
        used = ((path.parent == self.files, found.st_mtime_ns, path) for path, found in self._entries())
        return [path for *_, path in sorted(used)]

    def _entries(self) -> Iterator[tuple[Path, os.stat_result]]:
        for folder in (self.parts, self.files):
            for path in folder.iterdir():
                with suppress(FileNotFoundError):  # another process has deleted it
                    yield path, path.stat()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Held for the moment in which room is made, never while bytes come."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _path(self, sha256: str) -> Path:
        return self.files / sha256

    def _part(self, sha256: str) -> Path:
        return self.parts / sha256


class PartFile:
    """The sink of a download into the cache. The part has its full size from the start: others see the room taken."""

    def __init__(self, cache: Cache, descriptor: int, wanted: Wanted, ending: Ending) -> None:
        self._cache = cache
        self._wanted = wanted
        self._ending = ending
        self._descriptor = descriptor
        self._position = self._room = 0

    def begin(self, start: int, size: int | None) -> None:
        """Makes room for the size, or for a first step. Raises Refused."""
        self._position = start
        self._grow(size if size is not None else start + STEP_BYTES)

    def write(self, chunk: bytes) -> None:
        """Writes at the end. Raises Refused when the disk is full of what cannot be deleted."""
        while self._position + len(chunk) > self._room:
            self._grow(self._room + STEP_BYTES)
        view = memoryview(chunk)
        while view:
            written = self._written(view)
            self._position += written
            view = view[written:]

    def _grow(self, size: int) -> None:
        while not self._cache.make_room(self._descriptor, size):
            if size + self._wanted.beside_bytes > self._cache.max_bytes:
                raise Refused(
                    f"{size} bytes, beside {self._wanted.beside_bytes} of the same attempt, do not fit into the cache"
                    f" of {self._cache.max_bytes} bytes. The operator sets its bound with {self._cache.setting}"
                )
            self._ending.pause()
        self._room = size

    def _written(self, chunk: memoryview) -> int:
        while True:
            try:
                return os.pwrite(self._descriptor, chunk, self._position)
            except OSError as error:
                if error.errno not in FULL_DISK:
                    raise
                if not self._cache.delete_one():
                    raise Refused(
                        f"the disk of the trainer's cache {self._cache.folder} is full. The operator frees space on it,"
                        f" or lowers {self._cache.setting}"
                    ) from error
