"""Whose turn it is: commands on one stream are decided one after the other, those on others beside them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from headgate.worker.intake import Contended

TURN_SECONDS = 10.0
"""How long a command waits for others on its stream: while the log is away, each of those may take longer."""


@dataclass(slots=True)
class _Turn:
    """The place of one stream's commands; kept only while somebody has it or waits for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    wanted_by: int = 0


class Turns:
    """One command at a time per stream. Anyone may name any stream, so those that are not in use are forgotten."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._turns: dict[str, _Turn] = {}

    def __len__(self) -> int:
        return len(self._turns)

    @contextmanager
    def of(self, stream: str) -> Iterator[None]:
        """Waits for the stream's turn and holds it. Raises Contended after TURN_SECONDS."""
        with self._guard:
            turn = self._turns.setdefault(stream, _Turn())
            turn.wanted_by += 1
        try:
            if not turn.lock.acquire(timeout=TURN_SECONDS):
                raise Contended(f"other commands on {stream} take too long; try again")
            try:
                yield
            finally:
                turn.lock.release()
        finally:
            with self._guard:
                turn.wanted_by -= 1
                if not turn.wanted_by:
                    del self._turns[stream]
