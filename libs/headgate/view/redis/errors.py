"""What can be wrong with the view in Redis, beside Redis itself."""

from headgate.runtime.redis_client import RedisUnavailable


class ViewDamaged(RedisUnavailable):
    """A part of the view is missing or unreadable: someone else wrote to it. `generation` is empty where unknown."""

    def __init__(self, message: str, generation: str = "") -> None:
        super().__init__(message)
        self.generation = generation
