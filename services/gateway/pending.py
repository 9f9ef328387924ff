"""An answer that comes later, because another thread works on it than the one that took the call."""

import asyncio
import threading
from collections.abc import Callable

import grpc

from headgate.runtime.errors import RpcRefused
from services.gateway.forward import Answer
from services.gateway.promise import Promise


class Pending:
    """One call that waits for its answer. Every method may be called on any thread.

    `done` gets the answer or the error of the call: RpcRefused, or an unexpected error. It is set on the thread of a
    version, where callbacks of `done` run too: they must be short and must not wait.

    A call ends once: with its answer or when it is given up, whichever comes first. Only the first is counted.
    """

    def __init__(self, given_up: "Callable[[Pending], None] | None" = None) -> None:
        self.done: Promise[Answer] = Promise()
        self._given_up = given_up
        self._lock = threading.Lock()
        self._has_ended = False
        self._is_given_up = False

    def give_up(self) -> None:
        """Call it when nobody waits any more: the caller cancelled, went away, or its deadline passed.

        A version that runs for this call is interrupted, and its answer counts as bad. Does nothing after the end.
        """
        self._is_given_up = True
        first, given_up = self._end()
        if first and given_up is not None:
            given_up(self)

    def end(self) -> bool:
        """For the gateway. Whether this is the first end of the call: who gets True counts it and sets `done`."""
        return self._end()[0]

    def _end(self) -> "tuple[bool, Callable[[Pending], None] | None]":
        with self._lock:
            first, self._has_ended = not self._has_ended, True
            # It knows the version, which would otherwise stay in memory until Python looks for cycles.
            given_up, self._given_up = self._given_up, None
            return first, given_up

    def go_on(self, given_up: Callable[[], None]) -> None:
        """For the gateway, after `end`: the call waits for one more thing. `given_up` ends that wait early."""
        with self._lock:
            self._given_up = lambda _: given_up()
            self._has_ended = False
        if self._is_given_up:
            self.give_up()

    def follow(self, other: "Pending") -> None:
        """For the gateway, after `end`: the call ends as another one does, and giving it up gives up that one."""

        def ended(done: Promise[Answer]) -> None:
            self.end()
            done.pass_on(self.done)

        self.go_on(other.give_up)
        other.done.add_done_callback(ended)

    def refuse(self, refusal: RpcRefused) -> None:
        """For the gateway: ends a call that went on."""
        self.end()
        self.done.set_exception(refusal)


async def awaited(pending: Pending) -> Answer:
    """The answer, for a server on an event loop. Gives up when the waiting task is cancelled. Raises its error."""
    try:
        return await pending.done.awaited()
    except asyncio.CancelledError:
        pending.give_up()
        raise


def cancelled() -> RpcRefused:
    """The refusal of a call that nobody waits for any more."""
    return RpcRefused(grpc.StatusCode.CANCELLED, "cancelled", "the caller cancelled the call before its answer")
