"""Acts once when work that should give signs of life gives none for too long. Python's own library only."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

CHECKS = 10
"""How often the time is looked at within the limit."""


class Watchdog:
    """Calls `act` when `beat` was not called for so many seconds. It watches between its entry and its exit."""

    def __init__(self, limit_seconds: float, act: Callable[[], object]) -> None:
        self.has_acted = False
        self._limit_seconds = limit_seconds
        self._act = act
        self._beat_at = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self.beat()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def beat(self) -> None:
        self._beat_at = time.monotonic()

    def _watch(self) -> None:
        while not self._ended.wait(self._limit_seconds / CHECKS):
            if time.monotonic() - self._beat_at > self._limit_seconds:
                self.has_acted = True
                self._act()
                return
