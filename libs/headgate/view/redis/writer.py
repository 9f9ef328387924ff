"""Writes the changes of the fold to the view, in its own thread, so that Redis never delays the fold."""

import logging
import threading
import time
import uuid
from bisect import bisect_right
from collections.abc import Callable, Mapping

from headgate.lifecycle.follower import LifecycleFold
from headgate.log.port import EventLog, LogError, Record
from headgate.runtime.redis_client import WRITE_SECONDS, RedisUnavailable
from headgate.v1 import facts_pb2 as facts
from headgate.view.redis import layout
from headgate.view.redis.attach import RebuildNeeded, adopt, catch_up, check, mark
from headgate.view.redis.errors import ViewDamaged
from headgate.view.redis.store import Batch, Detached, RedisStore
from headgate.view.redis.target import Target, data_of, heads_of
from headgate.view.touched import ResourceRef, refs_of

CHECK_SECONDS = 0.5
"""How often the writer checks whether the view still exists and whether a rebuild was requested."""
GATHER_SECONDS = 0.005
"""Facts that arrive within this time are written together."""
RETRY_SECONDS = 0.5
DETACHED_SECONDS = 0.05
LOAD_ROWS = 500
"""Rows of a new generation that are written in one step."""
SWITCH_TRIES = 50
FORCED = ("schema", "log-replaced", "unreadable")
"""Reasons for which a new generation replaces the old one even when the old one claims later positions."""

logger = logging.getLogger(__name__)


class ViewWriter:
    """Follows the fold. `is_up` is true while the view is up to date; otherwise `why_down` is the reason."""

    def __init__(
        self, url: str, log: EventLog, fold: LifecycleFold, on_rebuilt: Callable[[str], None] = lambda reason: None
    ) -> None:
        self._log = log
        self._fold = fold
        self._store = RedisStore(url)
        self._on_rebuilt = on_rebuilt
        self._targets: list[Target] = []
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._damaged = threading.Event()
        self._written = threading.Condition()
        self._positions: Mapping[int, int] = {}
        # The time of the first fact that the view does not reflect; 0 without one.
        self._oldest = 0.0
        self.is_up = False
        self.why_down = "not connected yet"
        self._thread = threading.Thread(target=self._run, name="view-writer", daemon=True)

    def start(self) -> None:
        """Starts to follow the fold. Call it when the fold has replayed its log."""
        self._fold.on_accepted(self._on_accepted)
        self._thread.start()

    def close(self, grace_seconds: float = WRITE_SECONDS) -> None:
        """Writes the waiting changes, if Redis takes them within the grace, and ends."""
        self._stopping.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(grace_seconds)
            self._fold.remove_listener(self._on_accepted)
        self._store.close()

    def wait_written(self, at_least: Mapping[int, int], timeout_seconds: float) -> bool:
        """Waits until the view reflects these positions. Returns False at the limit, or at once while it is down."""
        with self._written:
            self._written.wait_for(lambda: not self.is_up or self._reflects(at_least), timeout_seconds)
            return self.is_up and self._reflects(at_least)

    def report_damage(self) -> None:
        """A reader found that the view is damaged. The writer builds it again."""
        self._damaged.set()

    def lag(self) -> tuple[int, float]:
        """How many accepted facts the view does not reflect, and how many seconds the oldest has waited."""
        with self._fold.lock:
            seen, oldest = self._positions, self._oldest
            late = {p for p, offset in self._fold.accepted.items() if offset > seen.get(p, -1)}
            streams = [stream for stream in self._fold.streams.values() if stream.partition in late]
            count = sum(
                len(stream.offsets) - bisect_right(stream.offsets, seen.get(stream.partition, -1)) for stream in streams
            )
        return count, time.monotonic() - oldest if oldest and count else 0.0

    def _reflects(self, at_least: Mapping[int, int]) -> bool:
        return all(self._positions.get(partition, -1) >= offset for partition, offset in at_least.items())

    def _on_accepted(self, _: Record, record: facts.LifecycleRecord) -> None:
        for target in self._targets:
            mark(target, self._fold.streams[record.stream], record)
        self._oldest = self._oldest or time.monotonic()
        self._changed.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._serve(self._attach())
            except Detached as error:
                self._report_down(f"attaching to the view again: {error}", logging.INFO)
                self._stopping.wait(DETACHED_SECONDS)
            except (RedisUnavailable, LogError) as error:
                self._report_down(str(error), logging.WARNING)
                self._stopping.wait(RETRY_SECONDS)
            except Exception as error:  # any content of Redis may be wrong; the writer goes on when it is repaired
                logger.exception("the writer of the view failed; trying again")
                self._report_down(f"{type(error).__name__}: {error}", logging.WARNING)
                self._stopping.wait(RETRY_SECONDS)
            finally:
                with self._fold.lock:
                    self._targets = []

    def _attach(self) -> Target:
        self._store.check_server()
        try:
            found = self._store.status()
        except ViewDamaged as damage:
            return self._rebuild(damage.generation, "unreadable", None)
        try:
            check(found, self._log, self._fold)
            with self._fold.lock:
                target, missed = adopt(found, self._fold)
                self._targets = [target]
            catch_up(target, found, missed, self._log, self._fold)
            return target
        except RebuildNeeded as needed:
            return self._rebuild(found.generation, needed.reason, None)

    def _serve(self, target: Target) -> None:
        next_check = 0.0
        while True:
            last = self._stopping.is_set()
            self._changed.clear()
            self._flush(target)
            if last:
                return
            if time.monotonic() >= next_check:
                target = self._maintain(target)
                next_check = time.monotonic() + CHECK_SECONDS
            self._changed.wait(CHECK_SECONDS)
            self._stopping.wait(GATHER_SECONDS)

    def _maintain(self, target: Target) -> Target:
        """Checks the generation, removes old ones, and rebuilds on request. Returns the target to go on with."""
        if not self._store.is_current(target.generation):
            raise Detached(f"{target.generation} is not the current generation")
        self._store.sweep()
        reason = "damaged" if self._damaged.is_set() else "asked" if self._store.take_rebuild_request() else ""
        if not reason:
            return target
        self._damaged.clear()
        return self._rebuild(target.generation, reason, target)

    def _rebuild(self, old: str, reason: str, serving: Target | None) -> Target:
        """Builds a new generation from the fold while the old one serves, and switches to it."""
        started, generation = time.monotonic(), f"{layout.SCHEMA}:{uuid.uuid4().hex[:12]}"
        with self._fold.lock:
            target = Target(generation, self._fold.accepted)
            self._targets = [target] if serving is None else [serving, target]
            streams = list(self._fold.streams)
            all_refs = [ref for state in self._fold.models.values() for ref in refs_of(state)]
        if not self._store.begin(generation, target.positions):
            raise Detached("another replica builds the view")
        self._load(target, streams, all_refs, serving)
        for _ in range(SWITCH_TRIES):
            target.flush(self._fold, self._store, is_current=False)
            if self._store.switch(generation, old, force=reason in FORCED):
                break
            self._stopping.wait(GATHER_SECONDS)
        else:
            raise Detached(f"{generation} does not catch up with the current generation")
        with self._fold.lock:
            self._targets = [target]
        seconds = round(time.monotonic() - started, 3)
        logger.info("view built", extra={"reason": reason, "rows": len(all_refs), "seconds": seconds})
        self._on_rebuilt(reason)
        return target

    def _load(self, target: Target, streams: list[str], all_refs: list[ResourceRef], serving: Target | None) -> None:
        for start in range(0, max(len(streams), len(all_refs), 1), LOAD_ROWS):
            with self._fold.lock:
                heads = heads_of(self._fold, streams[start : start + LOAD_ROWS])
                data = data_of(self._fold, all_refs[start : start + LOAD_ROWS])
            rows = [layout.row(ref.kind, each) for ref, each in data]
            self._store.write(target.generation, Batch(heads, rows), is_current=False)
            if serving is not None:
                self._flush(serving)

    def _flush(self, target: Target) -> None:
        began = time.monotonic()
        target.flush(self._fold, self._store, is_current=True)
        self._report_up(target)
        with self._fold.lock:
            self._oldest = 0.0 if self._reflects(self._fold.accepted) else began

    def _report_up(self, target: Target) -> None:
        if not self.is_up:
            logger.info("view is up to date", extra={"generation": target.generation})
        with self._written:
            self._positions = dict(target.positions)
            self.is_up, self.why_down = True, ""
            self._written.notify_all()

    def _report_down(self, why: str, level: int) -> None:
        if why != self.why_down:
            logger.log(level, "view is not up to date: lists are answered from the fold", extra={"why": why})
        with self._written:
            self.is_up, self.why_down = False, why
            self._written.notify_all()
