"""Answers requests for versions that sleep: has them loaded, lets the requests wait, and begins them then."""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import NoReturn, Protocol

import grpc

from headgate.runtime.errors import RpcRefused
from services.gateway.loading.waits import MAX_WAITING, RETRY_SECONDS, LoadWait, NotLoaded, TooManyWait
from services.gateway.pending import Pending, cancelled
from services.gateway.prediction_metrics import CANCELLED, DEADLINE, NOT_LOADED, QUEUE_FULL
from services.gateway.routing import Routing
from services.gateway.sessions import LoadedVersion
from services.gateway.table import Entry

Begin = Callable[[LoadedVersion], Pending]
"""Begins a request on the version. Raises RpcRefused."""


class Loads(Protocol):
    """The part of the follower that loads versions for requests."""

    def ask(self, model: str, number: int, expires_at: float) -> LoadWait:
        """Has a version loaded. Raises TooManyWait."""
        ...

    def withdraw(self, wait: LoadWait) -> None:
        """The request waits no longer."""
        ...


class NothingSleeps:
    """For a table whose versions are all loaded."""

    def ask(self, model: str, number: int, expires_at: float) -> NoReturn:
        raise TooManyWait

    def withdraw(self, wait: LoadWait) -> None:
        """There is none."""


class Asleep(Exception):
    """The version of this request has to be loaded first."""

    def __init__(self, entry: Entry, routed: Callable[[LoadedVersion], Routing]) -> None:
        super().__init__(entry.route.model)
        self.entry = entry
        self.routed = routed
        """The routing of the request, once the version is there."""


class LoadOnDemand:
    """Thread-safe. What waits here ran on no version, so it is evidence for none."""

    def __init__(self, loads: Loads) -> None:
        self._loads = loads

    async def loaded(self, entry: Entry) -> None:
        """Waits until the model's stable version is loaded, for who asks about it. Raises RpcRefused."""
        try:
            await asyncio.wrap_future(self._ask(entry, math.inf).done)
        except NotLoaded as why:
            raise not_loaded(entry, why) from None

    def answer(self, entry: Entry, expires_at: float, begin: Begin) -> Pending:
        """Has the model's stable version loaded and begins the request on it. Raises RpcRefused."""
        wait = self._ask(entry, expires_at)
        pending = Pending(partial(self._give_up, entry, wait, expires_at))
        wait.done.add_done_callback(partial(_go_on, pending, entry, expires_at, begin))
        return pending

    def _ask(self, entry: Entry, expires_at: float) -> LoadWait:
        try:
            return self._loads.ask(entry.route.model, entry.route.stable, expires_at)
        except TooManyWait:
            entry.metrics.count_not_run(QUEUE_FULL)
            rule = (
                f"{_name(entry)} has to be loaded, and {MAX_WAITING} requests wait for loads already; try again later"
            )
            code = grpc.StatusCode.RESOURCE_EXHAUSTED
            raise RpcRefused(code, "queue-full", rule, retry_after_seconds=RETRY_SECONDS) from None

    def _give_up(self, entry: Entry, wait: LoadWait, expires_at: float, pending: Pending) -> None:
        """Counts a request whose caller has given up."""
        self._loads.withdraw(wait)
        has_expired = time.monotonic() >= expires_at
        entry.metrics.count_not_run(DEADLINE if has_expired else CANCELLED)
        pending.done.set_exception(_deadline_passed(entry) if has_expired else cancelled())


def not_loaded(entry: Entry, why: NotLoaded) -> RpcRefused:
    """The refusal of a request that waited in vain."""
    rule = f"{_name(entry)} {why}; try again in {RETRY_SECONDS:g} s"
    return RpcRefused(grpc.StatusCode.UNAVAILABLE, "not-loaded", rule, retry_after_seconds=RETRY_SECONDS)


def _go_on(pending: Pending, entry: Entry, expires_at: float, begin: Begin, loaded: Future[LoadedVersion]) -> None:
    """Begins the request that waited, or refuses it."""
    if not pending.end():
        return
    try:
        pending.follow(begin(loaded.result()))
    except NotLoaded as why:
        has_expired = time.monotonic() >= expires_at
        entry.metrics.count_not_run(DEADLINE if has_expired else NOT_LOADED)
        pending.done.set_exception(_deadline_passed(entry) if has_expired else not_loaded(entry, why))
    except Exception as error:  # noqa: BLE001  # whoever waits for the answer handles its error
        pending.done.set_exception(error)


def _name(entry: Entry) -> str:
    return f"version {entry.route.stable} of {entry.route.model}"


def _deadline_passed(entry: Entry) -> RpcRefused:
    rule = f"the deadline passed while {_name(entry)} was loaded"
    return RpcRefused(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline-passed", rule)
