"""Loads the wanted versions one after the other, in a thread of its own, and keeps them ready."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from headgate.v1 import facts_pb2 as facts
from services.gateway.sessions import Load, LoadedVersion

logger = logging.getLogger(__name__)

VersionKey = tuple[str, int]

ATTEMPTS_BEFORE_FAILURE = 3
"""A version is reported as failed after this many attempts. The attempts go on, because the cause may pass."""

FIRST_RETRY_SECONDS = 0.25
LONGEST_RETRY_SECONDS = 30.0
CHANGE_SECONDS = 0.25
MAX_REASON_CHARACTERS = 500


@dataclass(slots=True)
class LoadAttempts:
    """The failed attempts to load one version, and the time of the next one."""

    failed: int = 0
    due_at: float = 0.0
    reason: str = ""

    def fail(self, reason: str, now: float) -> None:
        """Notes a failed attempt. The pause before the next one doubles each time, up to a limit."""
        self.failed += 1
        self.due_at = now + min(FIRST_RETRY_SECONDS * 2**self.failed, LONGEST_RETRY_SECONDS)
        self.reason = reason[:MAX_REASON_CHARACTERS]


class VersionLoader:
    """Calls `on_change` from its thread soon after a version became ready or was found to fail.

    While it loads more versions it calls `on_change` at most every CHANGE_SECONDS, because each call rebuilds the whole
    table.
    """

    def __init__(self, load: Load, on_change: Callable[[], None]) -> None:
        self._load = load
        self._on_change = on_change
        self._changed = threading.Condition()
        self._wanted: Mapping[VersionKey, facts.Artifact] = {}
        self._ready: dict[VersionKey, LoadedVersion] = {}
        self._attempts: dict[VersionKey, LoadAttempts] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="version-loader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Ends the thread. Does not wait for a load in progress, because its result is not needed any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def set_wanted(self, artifacts: Mapping[VersionKey, facts.Artifact]) -> None:
        """Sets the versions to load, and drops all others. A request that uses a dropped version finishes with it."""
        with self._changed:
            self._wanted = dict(artifacts)
            self._ready = {key: loaded for key, loaded in self._ready.items() if key in artifacts}
            self._attempts = {key: attempts for key, attempts in self._attempts.items() if key in artifacts}
            self._changed.notify()

    def ready(self) -> dict[VersionKey, LoadedVersion]:
        """The loaded versions."""
        with self._changed:
            return dict(self._ready)

    def failures(self) -> dict[VersionKey, str]:
        """The versions that failed at least ATTEMPTS_BEFORE_FAILURE times, each with the last reason."""
        with self._changed:
            return {
                key: attempts.reason
                for key, attempts in self._attempts.items()
                if attempts.failed >= ATTEMPTS_BEFORE_FAILURE
            }

    def _run(self) -> None:
        changed, notified_at = False, 0.0
        while (next_load := self._next()) is not None:
            changed = self._try(*next_load) or changed
            now = time.monotonic()
            if changed and (now - notified_at >= CHANGE_SECONDS or not self._is_due(now)):
                changed, notified_at = False, now
                self._on_change()

    def _try(self, key: VersionKey, artifact: facts.Artifact) -> bool:
        """Loads one version. Returns whether `on_change` must be called."""
        try:
            loaded = self._load(*key, artifact)
        except Exception as error:  # noqa: BLE001  # an error of one version must not stop the others
            return self._failed(key, error)
        with self._changed:
            self._attempts.pop(key, None)
            if key in self._wanted:
                self._ready[key] = loaded
        logger.info("version ready", extra={"model": key[0], "version": key[1]})
        return True

    def _failed(self, key: VersionKey, error: Exception) -> bool:
        with self._changed:
            attempts = self._attempts.setdefault(key, LoadAttempts())
            attempts.fail(f"{type(error).__name__}: {error}", time.monotonic())
        logger.warning("version not ready: %s", attempts.reason, extra={"model": key[0], "version": key[1]})
        return attempts.failed == ATTEMPTS_BEFORE_FAILURE

    def _is_due(self, now: float) -> bool:
        with self._changed:
            return any(self._due_at(key) <= now for key in self._wanted if key not in self._ready)

    def _next(self) -> tuple[VersionKey, facts.Artifact] | None:
        """Waits for the next version that is due. Returns None once the loader is closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                missing = {key: self._due_at(key) for key in self._wanted if key not in self._ready}
                key = min(missing, key=missing.__getitem__, default=None)
                if key is not None and missing[key] <= now:
                    return key, self._wanted[key]
                self._changed.wait(None if key is None else missing[key] - now)
            return None

    def _due_at(self, key: VersionKey) -> float:
        attempts = self._attempts.get(key)
        return attempts.due_at if attempts else 0.0
