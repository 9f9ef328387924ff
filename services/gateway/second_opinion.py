"""Runs a failed request on the other version of its release, to find out whether that version rejects it too.

It does so beside the event loop, in the other version's own queue, within the caller's deadline, and for few requests
at once: a caller of wrong requests must not take the places of right ones.
"""

import asyncio
import time
from collections import Counter
from functools import partial

from headgate.inference import grpc_predict_v2_pb2 as inference
from services.gateway.fault import Cause, Opinion
from services.gateway.forward import AnswerTooLarge, Forward, ModelFailed, OutOfMemory, UnknownCategory, prepared
from services.gateway.forward_queue import DeadlinePassed, QueueFull
from services.gateway.routing import Routing
from services.gateway.sessions import Interruption, LoadedVersion
from services.gateway.tensors import InvalidInput

MAX_ASKED = 4
"""Failed requests that wait for one version's opinion. Further ones are decided without it."""
OPINION_SECONDS = 5.0
"""The longest wait for an opinion, for callers with a later deadline or none."""


class SecondOpinions:
    """For one event loop."""

    def __init__(self) -> None:
        self._asked: Counter[tuple[str, int]] = Counter()

    async def ask(
        self, request: inference.ModelInferRequest, routing: Routing, cause: Cause, expires_at: float
    ) -> Opinion:
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
        if self._asked[key] >= MAX_ASKED:
            return Opinion.BUSY
        self._asked[key] += 1
        try:
            return await _opinion(forward, cause, min(expires_at, time.monotonic() + OPINION_SECONDS))
        finally:
            self._asked[key] -= 1
            if not self._asked[key]:
                del self._asked[key]


def other_version(routing: Routing) -> LoadedVersion | None:
    """The version beside the one that ran: stable, or the candidate when stable ran. None when it is not loaded."""
    entry, ran = routing.entry, routing.version.version
    other = entry.route.stable if ran != entry.route.stable else entry.route.candidate
    return entry.versions.get(other)


async def _opinion(forward: Forward, cause: Cause, expires_at: float) -> Opinion:
    interruption, queue = Interruption(), forward.routing.version.queue
    work = partial(forward.run, interruption)
    try:
        ticket = queue.put(work, interruption.interrupt, _ignore, expires_at, forward.request.ByteSize())
    except QueueFull:
        return Opinion.BUSY
    try:
        async with asyncio.timeout(expires_at - time.monotonic()):
            await ticket.done
    except (DeadlinePassed, TimeoutError):
        return Opinion.BUSY
    except (InvalidInput, UnknownCategory):
        return Opinion.REJECTED
    except (OutOfMemory, AnswerTooLarge):
        # That memory is short says something only about a request that failed for want of memory.
        return Opinion.REJECTED if cause is Cause.SIZE else Opinion.BUSY
    except ModelFailed as failed:
        return Opinion.ABSENT if failed.reason is Cause.OTHER else Opinion.REJECTED
    finally:
        queue.withdraw(ticket)
    return Opinion.ANSWERED


def _ignore(seconds: float) -> None:
    """The pace of a version is measured by the requests that it answers itself."""
