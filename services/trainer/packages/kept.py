"""The environments that were built from locks, kept for later attempts within a limit of number and bytes.

Several trainers may share the folder. Whoever uses an environment holds a shared lock on its lock file, and whoever
builds or removes it an exclusive one. The system releases a lock when its process ends, by any cause.
"""

import fcntl
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from headgate.shared_files import is_same, try_lock
from services.trainer.programs.processes import POLL_SECONDS, Stopped
from services.trainer.programs.sizes import size_of

LOCK = ".lock"
"""Beside each environment. It holds the environment's size in bytes, and its time is that of the last use."""
NEW, OLD = ".new", ".old"
"""The ends of the names of what is being built and of what is being removed."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """The folder of the environments and its limits. What is in use stays, even above them."""

    directory: Path
    max_count: int
    max_bytes: int

    @contextmanager
    def use(self, key: str, build: Callable[[Path], None], stop: threading.Event) -> Iterator[Path]:
        """The environment of this key, for as long as it is used; it is built first when it is not there.

        Raises Stopped, and what `build` raises.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        place = self.directory / key
        lock = self._shared(place, stop) or self._built(place, build, stop)
        try:
            os.utime(lock)
            self.remove_unused()
            yield place
        finally:
            os.close(lock)

    def remove_unused(self) -> list[str]:
        """Removes what was not used for the longest time until the limits hold, and the remains of ended processes."""
        self._remove_all_remains()
        places = self._places()
        sizes = {place: _size_in(place) for place in places}
        removed = []
        for place in places:
            if len(sizes) <= self.max_count and sum(sizes.values()) <= self.max_bytes:
                break
            if self._remove(place):
                del sizes[place]
                removed.append(place.name)
        if removed:
            logger.info("environments removed", extra={"environments": len(removed)})
        return removed

    def _places(self) -> list[Path]:
        """The environments; the one whose last use is the longest ago comes first."""
        used_at = {}
        for file in self.directory.glob(f"*{LOCK}"):
            # Another trainer may remove it meanwhile.
            with suppress(FileNotFoundError):
                if file.with_suffix("").is_dir():
                    used_at[file.with_suffix("")] = file.stat().st_mtime_ns
        return sorted(used_at, key=lambda place: used_at[place])

    def _remove_all_remains(self) -> None:
        for end in (NEW, OLD, LOCK):
            for remains in self.directory.glob(f"*{end}"):
                if end != LOCK or not remains.with_suffix("").is_dir():
                    self._remove_remains(remains.with_suffix(""))

    def _shared(self, place: Path, stop: threading.Event) -> int | None:
        """The lock of an environment that is there. It waits while another process builds it."""
        lock = _locked(_lock_of(place), fcntl.LOCK_SH, stop)
        if place.is_dir():
            return lock
        os.close(lock)
        return None

    def _built(self, place: Path, build: Callable[[Path], None], stop: threading.Event) -> int:
        while True:
            lock = _locked(_lock_of(place), fcntl.LOCK_EX, stop)
            try:
                if not place.is_dir():
                    self._build(place, build, lock)
                fcntl.flock(lock, fcntl.LOCK_SH)
            except BaseException:
                os.close(lock)
                raise
            # Between the two locks another process may have removed it.
            if place.is_dir():
                return lock
            os.close(lock)

    def _build(self, place: Path, build: Callable[[Path], None], lock: int) -> None:
        new = place.with_suffix(NEW)
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        try:
            build(new)
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(size_of(new)).encode(), 0)
            new.rename(place)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _remove(self, place: Path) -> bool:
        """Removes an environment with its lock file. False when it is in use."""
        with _unless_in_use(place) as free:
            if free:
                # A process that is killed in between leaves no half of an environment.
                with suppress(FileNotFoundError):  # another trainer has removed it
                    place.rename(place.with_suffix(OLD))
                _clear(place)
                _lock_of(place).unlink(missing_ok=True)
            return free

    def _remove_remains(self, place: Path) -> None:
        """Removes what ended processes have left, and the lock file of what is not there."""
        with _unless_in_use(place) as free:
            if free:
                _clear(place)
                if not place.is_dir():
                    _lock_of(place).unlink(missing_ok=True)


@contextmanager
def _unless_in_use(place: Path) -> Iterator[bool]:
    """Holds the exclusive lock of the place, if nobody else holds one."""
    lock = _opened(_lock_of(place), fcntl.LOCK_EX)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)


def _clear(place: Path) -> None:
    for remains in (OLD, NEW):
        shutil.rmtree(place.with_suffix(remains), ignore_errors=True)


def _lock_of(place: Path) -> Path:
    return place.with_suffix(LOCK)


def _size_in(place: Path) -> int:
    try:
        return int(_lock_of(place).read_text())
    except (FileNotFoundError, ValueError):  # another trainer has removed it, or was killed while it wrote the size
        return size_of(place)


def _locked(file: Path, how: int, stop: threading.Event) -> int:
    """The descriptor of the locked file. Raises Stopped."""
    while (lock := _opened(file, how)) is None:
        if stop.wait(POLL_SECONDS):
            raise Stopped
    return lock


def _opened(file: Path, how: int) -> int | None:
    """The descriptor of the locked file; None while another one holds it."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        is_locked = False
        try:
            if not try_lock(descriptor, how):
                return None
            if is_locked := is_same(file, descriptor):
                return descriptor
        finally:
            # Its environment may have been removed, and this file with it.
            if not is_locked:
                os.close(descriptor)
