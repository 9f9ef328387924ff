"""Errors of the view in Redis that are not errors of Redis itself."""

from headgate.runtime.redis_client import RedisUnavailable


class ViewDamaged(RedisUnavailable):
    """A part of the view is missing or unreadable: another program changed it.

    `generation` is empty when it is not known.
    """

    def __init__(self, message: str, generation: str = "") -> None:
        super().__init__(message)
        self.generation = generation
