"""Runs a failed request on the other version of its release, to find out whether that version rejects it too.

It does so in the other version's own queue, within the caller's deadline, and for few requests
at once: a caller of wrong requests must not take the places of right ones.
"""

import threading
import time
from collections import Counter
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial

from services.gateway.fault import Cause, Opinion
from services.gateway.forward import (
    Answer,
    AnswerTooLarge,
    Forward,
    ModelFailed,
    OutOfMemory,
    UnknownCategory,
    prepared,
)
from services.gateway.forward_queue import DeadlinePassed, QueueFull
from services.gateway.promise import Promise
from services.gateway.request import Request
from services.gateway.routing import Routing
from services.gateway.sessions import Interruption, LoadedVersion
from services.gateway.tensors import InvalidInput

MAX_ASKED = 4
"""Failed requests that wait for one version's opinion. Further ones are decided without it."""
OPINION_SECONDS = 5.0
"""The longest wait for an opinion, for callers with a later deadline or none."""


class Asked:
    """An opinion that is asked for. It comes at the latest when its time is over, and is BUSY then."""

    def __init__(self, forward: Forward, cause: Cause, expires_at: float) -> None:
        """Raises QueueFull."""
        self.opinion: Future[Opinion] = Future()
        self._queue = forward.routing.version.queue
        interruption, size_bytes = Interruption(), forward.request.size_bytes
        work = partial(forward.run, interruption)
        self._ticket = self._queue.put(work, interruption.interrupt, _ignore, expires_at, size_bytes)
        self._timer = threading.Timer(max(0.0, expires_at - time.monotonic()), self.lapse)
        self._timer.daemon = True
        self._timer.start()
        self._ticket.done.add_done_callback(lambda ended: self._end(_opinion(ended, cause)))

    def lapse(self) -> None:
        """Ends the wait: the opinion is BUSY, unless it is known already."""
        self._queue.withdraw(self._ticket)
        self._end(Opinion.BUSY)

    def _end(self, opinion: Opinion) -> None:
        self._timer.cancel()
        with suppress(InvalidStateError):  # it is known already
            self.opinion.set_result(opinion)


class SecondOpinions:
    """Thread-safe."""

    def __init__(self) -> None:
        self._asked: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()

    def ask(self, request: Request, routing: Routing, cause: Cause, expires_at: float) -> Opinion | Asked:
        """What the other version does with the request, which failed for this cause."""
        other = other_version(routing)
        if other is None:
            return Opinion.ABSENT
        try:
            forward = prepared(request, routing.to(other))
        except InvalidInput:
            # A request that was never meant for the other version says nothing about the memory that it needs.
            return Opinion.ABSENT if cause is Cause.SIZE else Opinion.REJECTED
        key = other.model, other.version
        if not self._take_place(key):
            return Opinion.BUSY
        try:
            asked = Asked(forward, cause, min(expires_at, time.monotonic() + OPINION_SECONDS))
        except QueueFull:
            self._leave(key)
            return Opinion.BUSY
        asked.opinion.add_done_callback(lambda _: self._leave(key))
        return asked

    def _take_place(self, key: tuple[str, int]) -> bool:
        with self._lock:
            has_place = self._asked[key] < MAX_ASKED
            self._asked[key] += has_place
            return has_place

    def _leave(self, key: tuple[str, int]) -> None:
        with self._lock:
            self._asked[key] -= 1
            if not self._asked[key]:
                del self._asked[key]


def other_version(routing: Routing) -> LoadedVersion | None:
    """The version beside the one that ran: stable, or the candidate when stable ran. None when it is not loaded."""
    entry, ran = routing.entry, routing.version.version
    other = entry.route.stable if ran != entry.route.stable else entry.route.candidate
    return entry.versions.get(other)


def _opinion(ended: Promise[Answer], cause: Cause) -> Opinion:
    try:
        ended.result()
    except DeadlinePassed:
        return Opinion.BUSY
    except (InvalidInput, UnknownCategory):
        return Opinion.REJECTED
    except (OutOfMemory, AnswerTooLarge):
        # That memory is short says something only about a request that failed for want of memory.
        return Opinion.REJECTED if cause is Cause.SIZE else Opinion.BUSY
    except ModelFailed as failed:
        return Opinion.ABSENT if failed.reason is Cause.OTHER else Opinion.REJECTED
    except Exception:  # noqa: BLE001  # an unexpected error is no opinion
        return Opinion.BUSY
    return Opinion.ANSWERED


def _ignore(seconds: float) -> None:
    """The pace of a version is measured by the requests that it answers itself."""
