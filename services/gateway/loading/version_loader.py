"""Loads the wanted versions within the memory for them, in threads of its own, and keeps them ready."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from functools import partial
from typing import NamedTuple, assert_never

from headgate.artifacts.blobs import StoreUnavailable
from services.gateway.loading.eviction import VersionKey
from services.gateway.loading.held_memory import HeldMemory
from services.gateway.loading.next_load import (
    LoadAttempts,
    LoadNow,
    Ready,
    Refuse,
    Rest,
    Sleep,
    State,
    Step,
    Wanted,
    next_step,
)
from services.gateway.loading.waits import LoadWait, LoadWaits
from services.gateway.memory import return_to_system
from services.gateway.sessions import Load, LoadedVersion

logger = logging.getLogger(__name__)

CHANGE_SECONDS = 0.25
LEAVING_SECONDS = 0.5
"""How long a load waits for the memory of versions that gave way to it. Forwards may still use them."""
TIDY_SECONDS = 0.25
"""How soon the heap is tidied after versions were dropped."""
POLL_SECONDS = 0.01


NOT_REACHED = "its files cannot be had now"
OWN_ERRORS = ("headgate.", "services.")
"""The modules whose errors are sentences for people."""


class Loads(NamedTuple):
    """The loaded versions, those that failed several times with the last reason, and those that sleep."""

    ready: Mapping[VersionKey, LoadedVersion]
    failures: Mapping[VersionKey, str]
    asleep: Set[VersionKey]


class MemoryUse(NamedTuple):
    """The bytes that versions hold and may hold, and how many requests wait for a load."""

    held_bytes: int
    limit_bytes: int
    waiting: int


class VersionLoader:
    """Calls `on_change` from its threads with the models of which versions became ready, gave way, or failed.

    While it loads more versions it does so at most every CHANGE_SECONDS. `on_load` gets the seconds of each load, and
    `on_eviction` how many versions gave way.

    One thread loads what requests wait for, another one everything else. So a candidate that takes minutes to fail
    delays no version that callers want.
    """

    def __init__(
        self,
        load: Load,
        on_change: Callable[[Collection[str]], None],
        limit_bytes: int = sys.maxsize,
        on_load: Callable[[float], None] = lambda _: None,
        on_eviction: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._load = load
        self._on_change = on_change
        self._on_load = on_load
        self._on_eviction = on_eviction
        self._changed = threading.Condition()
        self._state = State()
        self._memory = HeldMemory(limit_bytes)
        self._waits = LoadWaits()
        self._closed = False
        self._tidied_at = 0.0
        self._threads = [
            threading.Thread(target=partial(self._run, for_requests), name=name, daemon=True)
            for name, for_requests in (("version-loader", False), ("request-loader", True))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Ends the threads. Does not wait for a load in progress, because its result is not needed any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def set_wanted(self, wanted: Mapping[VersionKey, Wanted]) -> None:
        """Sets the versions to load, and drops all others. A request that uses a dropped version finishes with it."""
        with self._changed:
            self._drop(self._state.want(wanted))

    def loads(self) -> Loads:
        """What is loaded, what sleeps and what failed, all at one moment."""
        with self._changed:
            state = self._state
            ready = {key: ready.version for key, ready in state.ready.items()}
            return Loads(ready, state.failures(), frozenset(state.asleep))

    def use(self) -> MemoryUse:
        """The memory for versions, and who waits for it."""
        with self._changed:
            return MemoryUse(self._memory.held_bytes, self._memory.limit_bytes, self._waits.count)

    def ask(self, key: VersionKey, expires_at: float) -> LoadWait:
        """Has a version loaded for a request, which waits until then at most. Raises TooManyWait."""
        wait = self._waits.add(key, expires_at)
        with self._changed:
            ready = self._state.ready.get(key)
            if ready is None:
                self._state.asked.setdefault(key, time.monotonic())
                self._changed.notify_all()
        if ready is not None:
            self._waits.loaded(key, ready.version)
        return wait

    def withdraw(self, wait: LoadWait) -> None:
        """The request waits no longer. The load goes on."""
        self._waits.withdraw(wait)

    def _run(self, for_requests: bool) -> None:
        changed: set[str] = set()
        notified_at = 0.0
        while (step := self._next(for_requests)) is not None:
            changed |= self._take(step)
            now = time.monotonic()
            if changed and (now - notified_at >= CHANGE_SECONDS or not self._is_due(for_requests, now)):
                self._on_change(changed)
                changed, notified_at = set(), now

    def _next(self, for_requests: bool) -> Step | None:
        """Waits for the next step and begins it. Returns None once the loader is closed."""
        with self._changed:
            while not self._closed:
                step = self._step(for_requests, time.monotonic())
                if not isinstance(step, Rest):
                    self._begin(step)
                    return step
                pauses = [] if step.seconds is None else [step.seconds]
                if not for_requests:
                    pauses += self._tidy()
                self._changed.wait(min(pauses, default=None))
            return None

    def _tidy(self) -> list[float]:
        """Gives the memory of ended sessions back to the system, now and then. Returns when to come again, if ever."""
        memory, now = self._memory, time.monotonic()
        if not memory.leaving_bytes and not memory.is_untidy:
            return []
        if now - self._tidied_at >= TIDY_SECONDS and memory.is_untidy:
            self._tidied_at = now
            memory.tidied()
            self._changed.release()  # it takes milliseconds, and requests must not wait for it
            try:
                return_to_system()
            finally:
                self._changed.acquire()
            return [0.0]
        return [TIDY_SECONDS]

    def _step(self, for_requests: bool, now: float) -> Step:
        memory = self._memory
        return next_step(self._state, memory.limit_bytes, memory.missing_bytes, for_requests, now)

    def _begin(self, step: Step) -> None:
        """Changes the state in the same moment in which the step was decided."""
        state = self._state
        match step:
            case LoadNow():
                self._drop(state.ready.pop(key) for key in step.giving_way)
                # The next request loads it, also before anybody has found out again that there is no room.
                state.asleep |= {key for key in step.giving_way if state.wanted[key].role.may_sleep}
                state.loading.add(step.key)
                self._memory.reserve(step.wanted.size_bytes)
            case Sleep():
                state.asleep.update(step.keys)
            case Refuse() | Rest():
                pass
            case _:
                assert_never(step)

    def _drop(self, dropped: Iterable[Ready]) -> None:
        for ready in dropped:
            self._memory.drop(ready.size_bytes)
            ready.version.queue.retire()
        self._changed.notify_all()

    def _take(self, step: Step) -> set[str]:
        """Returns the models whose changes are still to be told."""
        match step:
            case LoadNow():
                return self._make_room_and_load(step)
            case Refuse():
                return self._failed(step.key, step.reason)
            case Sleep():
                return {model for model, _ in step.keys}
            case Rest():
                return set()
            case _:
                assert_never(step)

    def _make_room_and_load(self, step: LoadNow) -> set[str]:
        if step.giving_way:
            for model, version in step.giving_way:
                logger.info("version gave way", extra={"model": model, "version": version})
            self._on_eviction(len(step.giving_way))
            self._on_change({model for model, _ in step.giving_way})  # the table lets go of them
            self._await_memory()
        return self._try(step.key, step.wanted)

    def _await_memory(self) -> None:
        deadline = time.monotonic() + LEAVING_SECONDS
        with self._changed:
            while self._memory.held_bytes > self._memory.limit_bytes and time.monotonic() < deadline:
                self._changed.wait(POLL_SECONDS)

    def _try(self, key: VersionKey, wanted: Wanted) -> set[str]:
        """Loads one version. Returns its model where the change is still to be told."""
        began = time.monotonic()
        try:
            loaded = self._load(*key, wanted.artifact)
        except Exception as error:  # noqa: BLE001  # an error of one version must not stop the others
            with self._changed:
                self._state.loading.discard(key)
                self._memory.give_back(wanted.size_bytes)
            return self._failed(key, why_it_failed(error))
        self._on_load(time.monotonic() - began)
        was_asked = self._finish(key, wanted, loaded)
        logger.info("version ready", extra={"model": key[0], "version": key[1]})
        if not was_asked:
            return {key[0]}
        self._on_change({key[0]})  # at once, so that the next request finds it in the table
        self._waits.loaded(key, loaded)
        return set()

    def _finish(self, key: VersionKey, wanted: Wanted, loaded: LoadedVersion) -> bool:
        """Keeps the loaded version if it is still wanted. Returns whether requests wait for it."""
        state = self._state
        with self._changed:
            was_asked = state.asked.pop(key, None) is not None
            ready = Ready(loaded, wanted.size_bytes, time.monotonic() if was_asked else 0.0)
            self._memory.return_at_end(loaded, wanted.size_bytes)
            state.loading.discard(key)
            state.attempts.pop(key, None)
            state.asleep.discard(key)
            if key in state.wanted:
                state.ready[key] = ready
            else:
                self._drop([ready])
            return was_asked

    def _failed(self, key: VersionKey, reason: str) -> set[str]:
        """Notes a failed attempt. Returns its model where that is to be told."""
        with self._changed:
            attempts = self._state.attempts.setdefault(key, LoadAttempts())
            attempts.fail(reason, time.monotonic())
            is_failure = key in self._state.failures()
            if is_failure:
                self._state.asked.pop(key, None)
                self._state.asleep.discard(key)
        logger.warning("version not ready: %s", attempts.reason, extra={"model": key[0], "version": key[1]})
        if is_failure:
            self._waits.fail(key, f"failed to load: {attempts.reason}")
        return {key[0]} if is_failure else set()

    def _is_due(self, for_requests: bool, now: float) -> bool:
        with self._changed:
            return isinstance(self._step(for_requests, now), LoadNow)


def why_it_failed(error: Exception) -> str:
    """The reason of a load that failed. An error of another library is named by its class too."""
    if isinstance(error, StoreUnavailable):
        return f"{NOT_REACHED}: {error}"
    return str(error) if type(error).__module__.startswith(OWN_ERRORS) else f"{type(error).__name__}: {error}"
