"""Counts the memory of loaded versions, from the start of their load until nobody uses them any more."""

import weakref
from collections import deque

from services.gateway.sessions import LoadedVersion


class HeldMemory:
    """Not thread-safe, but a session may end on any thread."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.leaving_bytes = 0
        """What was dropped and still answers requests."""
        self._held_bytes = 0
        # A session ends on whatever thread used it last, in the middle of anything. So its end only adds to a queue.
        self._ended: deque[int] = deque()
        self.is_untidy = False
        """Whether sessions have ended since the heap was tidied."""

    @property
    def held_bytes(self) -> int:
        """What is loaded or being loaded now, and what is leaving."""
        while self._ended:
            size_bytes = self._ended.popleft()
            self._held_bytes -= size_bytes
            self.leaving_bytes -= size_bytes
            self.is_untidy = True
        return self._held_bytes

    def missing_bytes(self, size_bytes: int) -> int:
        """How much has to give way before a version of this size fits; 0 or less for nothing."""
        return self.held_bytes - self.leaving_bytes + size_bytes - self.limit_bytes

    def reserve(self, size_bytes: int) -> None:
        """Takes the memory of a version that is about to be loaded."""
        self._held_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Returns the memory of a load that failed."""
        self._held_bytes -= size_bytes

    def return_at_end(self, loaded: LoadedVersion, size_bytes: int) -> None:
        """Returns the memory of a loaded version once its session has ended. It has to be dropped before."""
        weakref.finalize(loaded.session, self._ended.append, size_bytes).atexit = False

    def drop(self, size_bytes: int) -> None:
        """Notes that the loader gives up a loaded version."""
        self.leaving_bytes += size_bytes

    def tidied(self) -> None:
        """Notes that what ended sessions had left in the heap was given back."""
        self.is_untidy = False
