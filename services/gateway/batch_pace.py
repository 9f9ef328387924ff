"""Decides how many rows run as one forward: as many as cost least CPU time each, by what was measured.

A network that reads many weights for few products answers several rows in little more time than one. One of
convolutions does not: a batch of its rows leaves the caches of the processor, and its inputs are copied.
"""

import threading
from collections.abc import Mapping

MAX_ROWS = 64
"""The rows of one batch. A request with more runs alone."""
TRIED_EVERY = 16
"""Of so many batches one tries another number of rows, so that each is measured again from time to time."""
SLOWER_WEIGHT, FASTER_WEIGHT = 1 / 8, 1 / 2
"""The share of the newest measure in the average: other work on the processor makes a forward only slower."""

_CLASSES = MAX_ROWS.bit_length()


class BatchPace:
    """The running average of CPU time for each row, by the size of a row and the number of rows. Thread-safe."""

    def __init__(self) -> None:
        self._averages: dict[int, dict[int, float]] = {}
        self._asked = 0
        self._lock = threading.Lock()

    def most_rows(self, size: int) -> int:
        """How many rows of this size class may run together now."""
        with self._lock:
            self._asked += 1
            averages = self._averages.get(size, {})
            tries, others = divmod(self._asked, TRIED_EVERY)
            count = _cheapest(averages) if others else tries % _CLASSES + 1
            return min((1 << count) - 1, MAX_ROWS)

    def observe(self, size: int, rows: int, seconds: float) -> None:
        """Takes in the CPU time of one forward of so many rows."""
        of_row, count = seconds / rows, rows.bit_length()
        with self._lock:
            averages = self._averages.setdefault(size, {})
            known = averages.get(count, of_row)
            averages[count] = known + (of_row - known) * (FASTER_WEIGHT if of_row < known else SLOWER_WEIGHT)


def _cheapest(averages: Mapping[int, float]) -> int:
    """The class of rows that cost least each. All may run together while no larger number has shown to cost more."""
    cheapest = min(averages, key=averages.__getitem__, default=_CLASSES)
    return cheapest if cheapest < max(averages, default=0) else _CLASSES
