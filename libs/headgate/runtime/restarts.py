"""How long a parent waits before it starts a child again that has ended."""

from dataclasses import dataclass

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0
STABLE_SECONDS = 10.0
"""A child that ran this long had begun its work. It restarts after the first backoff, so that its users wait little."""


@dataclass(slots=True)
class Restarts:
    """The restarts of one child."""

    crashes: int = 0

    def wait_seconds(self, ran_seconds: float) -> float:
        """The wait after the end of a child that ran this long: twice the last one, unless it had been stable."""
        self.crashes = 1 if ran_seconds >= STABLE_SECONDS else self.crashes + 1
        return min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * (1 << min(self.crashes - 1, 16)))


def how_it_ended(returncode: int) -> str:
    """The end of a child in words. A code below 0 is a signal, as subprocess has it."""
    return f"by signal {-returncode}" if returncode < 0 else f"with exit code {returncode}"
