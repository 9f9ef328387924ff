"""Decides which requests run on the thread that takes calls: those whose size measured forwards have shown to be quick.

A forward on that thread delays every other call, so it must be short. A small network takes less time than a switch
of threads, so it belongs there.
"""

import threading

SLOW_SECONDS = 0.001
"""Requests of a size run on the version's own thread when their forwards take longer than this on average."""
SLOW_SECONDS_OF_BATCHES = 0.00025
"""The same where requests that wait together may run as one forward, so that waiting together pays."""
QUICK_SHARE = 0.5
"""They run on the thread that takes calls again below this share of that. In between they stay where they are."""
SURELY_SLOW_SECONDS = 0.1
"""A forward that took so long on the clock was slow, whatever else the processor did meanwhile."""
NEWEST_WEIGHT = 1 / 8
"""The share of the newest forward in the running average."""


def size_class(elements: int) -> int:
    """The class of requests with about so many elements in their tensors: the number of its binary digits."""
    return elements.bit_length()


class Pace:
    """The running average of the CPU time of a version's forwards, for each size of requests. Thread-safe.

    A size without a measured forward is not quick, so that its first request delays no other call. Without
    `depends_on_size`, the values of a request say how long its forward takes, and no size is ever quick.
    """

    def __init__(self, depends_on_size: bool = True, slow_seconds: float = SLOW_SECONDS) -> None:
        self._depends_on_size = depends_on_size
        self._slow_seconds = slow_seconds
        self.is_doubted = False
        """Whether the CPU time of the next forward has to be measured: the clock alone spoke of a slow one."""
        self._averages: dict[int, float] = {}
        self._quick: set[int] = set()
        self._lock = threading.Lock()

    def is_quick(self, size: int) -> bool:
        """Whether requests of this size run on the thread that takes calls."""
        return size in self._quick

    def average_seconds(self, size: int) -> float:
        """The running average; 0 without a measured forward."""
        return self._averages.get(size, 0.0)

    def observe_clock(self, size: int, seconds: float) -> None:
        """Takes in a forward of which only the time by the clock is known, because to ask for its CPU time costs 3 us.

        A long one is doubted, because other threads and processes may have had the processor meanwhile.
        """
        if self._slow_seconds < seconds < SURELY_SLOW_SECONDS:
            self.is_doubted = True
        else:
            self.observe(size, seconds)

    def observe(self, size: int, seconds: float) -> None:
        """Takes in the CPU time of one forward."""
        self.is_doubted = False
        with self._lock:
            known = self._averages.get(size)
            average = seconds if known is None else known + (seconds - known) * NEWEST_WEIGHT
            self._averages[size] = average
            if average > self._slow_seconds:
                self._quick.discard(size)
            elif self._depends_on_size and (known is None or average < self._slow_seconds * QUICK_SHARE):
                self._quick.add(size)
