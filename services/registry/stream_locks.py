"""One lock per stream. Commands on one stream are decided one after the other, those on other streams in parallel."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from headgate.worker.intake import Contended

LOCK_SECONDS = 10.0
"""How long a command waits for the others on its stream. While the log is unavailable, each of them may take longer."""


@dataclass(slots=True)
class _StreamLock:
    """The lock of one stream. `users` counts the callers that hold it or wait for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class StreamLocks:
    """The locks of all streams in use. A caller may name any stream, so a lock without users is dropped."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, _StreamLock] = {}

    def __len__(self) -> int:
        return len(self._locks)

    def users(self, stream: str) -> int:
        """How many callers hold the stream's lock or wait for it."""
        with self._guard:
            return self._locks[stream].users if stream in self._locks else 0

    @contextmanager
    def hold(self, stream: str) -> Iterator[None]:
        """Waits for the stream's lock and holds it. Raises Contended after LOCK_SECONDS."""
        with self._guard:
            held = self._locks.setdefault(stream, _StreamLock())
            held.users += 1
        try:
            if not held.lock.acquire(timeout=LOCK_SECONDS):
                raise Contended(f"other commands on {stream} take too long; send the same request again")
            try:
                yield
            finally:
                held.lock.release()
        finally:
            with self._guard:
                held.users -= 1
                if not held.users:
                    del self._locks[stream]


class SharedLock:
    """Many may hold it shared, or one alone. Whoever waits to hold it alone comes before new ones that share it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sharing = 0
        self._waiting = 0
        self._is_alone = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Holds it beside others. Raises Contended after LOCK_SECONDS."""
        with self._changed:
            self._await(lambda: not self._is_alone and not self._waiting)
            self._sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Holds it while nobody else does. Raises Contended after LOCK_SECONDS."""
        with self._changed:
            self._waiting += 1
            try:
                self._await(lambda: not self._is_alone and not self._sharing)
                self._is_alone = True
            finally:
                self._waiting -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._is_alone = False
                self._changed.notify_all()

    def _await(self, is_free: Callable[[], bool]) -> None:
        if not self._changed.wait_for(is_free, LOCK_SECONDS):
            raise Contended("the commands in progress take too long; send the same request again")
