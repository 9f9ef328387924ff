"""One lock per stream: commands on one stream are decided one after the other, those on other streams beside them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from headgate.worker.intake import Contended

LOCK_SECONDS = 10.0
"""How long a command waits for others on its stream: while the log is away, each of those may take longer."""


@dataclass(slots=True)
class _StreamLock:
    """The lock of one stream; kept only while somebody holds it or waits for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class StreamLocks:
    """One command at a time per stream. Anyone may name any stream, so those that are not in use are forgotten."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, _StreamLock] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @contextmanager
    def hold(self, stream: str) -> Iterator[None]:
        """Waits for the stream's lock and holds it. Raises Contended after LOCK_SECONDS."""
        with self._guard:
            held = self._locks.setdefault(stream, _StreamLock())
            held.users += 1
        try:
            if not held.lock.acquire(timeout=LOCK_SECONDS):
                raise Contended(f"other commands on {stream} take too long; try again")
            try:
                yield
            finally:
                held.lock.release()
        finally:
            with self._guard:
                held.users -= 1
                if not held.users:
                    del self._locks[stream]
