"""What a target of mutated requests says of each of them."""

import random
from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Sent(NamedTuple):
    """What was sent, the statuses that came back, and what was wrong with that; empty when nothing was."""

    sent: object
    statuses: Sequence[str]
    fault: str


class Target(Protocol):
    """Takes mutated requests."""

    name: str

    def send(self, chance: random.Random) -> Sent:
        """Makes a request, sends it and waits for its end."""
        ...
