"""The requests of one stream that are in progress: few at once, and answers leave in their order. Pure."""

from collections import deque
from typing import Generic, TypeVar

MAX_IN_PROGRESS = 64
"""Requests of one stream that are not answered yet. The next one is read when there is a place."""

Answer = TypeVar("Answer")


class StreamWindow(Generic[Answer]):
    """For one thread, or for several that take turns."""

    def __init__(self, limit: int = MAX_IN_PROGRESS) -> None:
        self._limit = limit
        self._first = 0
        self._answers: deque[list[Answer]] = deque()

    @property
    def is_full(self) -> bool:
        """Whether no request may begin now."""
        return len(self._answers) >= self._limit

    @property
    def in_progress(self) -> int:
        """The requests that have begun and whose answers have not left."""
        return len(self._answers)

    def begin(self) -> int:
        """Takes a place. Returns the number of the request in its stream. Call it only while it is not full."""
        assert not self.is_full, "a stream read more requests than it has places"
        self._answers.append([])
        return self._first + len(self._answers) - 1

    def end(self, number: int, answer: Answer) -> list[Answer]:
        """The answers that may leave now, in the order of their requests, once this one is known."""
        place = self._answers[number - self._first]
        assert not place, "a request was answered twice"
        place.append(answer)
        leaving: list[Answer] = []
        while self._answers and self._answers[0]:
            leaving += self._answers.popleft()
            self._first += 1
        return leaving
