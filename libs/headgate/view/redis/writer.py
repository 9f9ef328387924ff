"""Keeps the view in step with the fold: a thread of its own, so that Redis never holds the log up."""

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
from headgate.view.redis.attach import Unfit, adopt, catch_up, check, mark
from headgate.view.redis.errors import ViewDamaged
from headgate.view.redis.store import Batch, Detached, RedisStore
from headgate.view.redis.target import Target, data_of, heads_of
from headgate.view.touched import Place, places

BEAT_SECONDS = 0.5
"""How soon a quiet log's writer notices that the view was flushed, or that a rebuild is wanted."""
GATHER_SECONDS = 0.005
"""Facts within this time are written together."""
RETRY_SECONDS = 0.5
DETACHED_SECONDS = 0.05
LOAD_ROWS = 500
"""Rows of a new generation written in one step."""
SWITCH_TRIES = 50
FORCED = ("schema", "log-replaced", "unreadable")
"""Why a rebuild takes over whatever positions the old generation tells."""

logger = logging.getLogger(__name__)


class ViewWriter:
    """Follows the fold. `is_up` says whether the view is being kept, `why_down` why not."""

    def __init__(
        self, url: str, log: EventLog, fold: LifecycleFold, on_rebuilt: Callable[[str], None] = lambda reason: None
    ) -> None:
        self._log = log
        self._fold = fold
        self._store = RedisStore(url)
        self._on_rebuilt = on_rebuilt
        self._targets: list[Target] = []
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._damaged = threading.Event()
        self._written = threading.Condition()
        self._positions: Mapping[int, int] = {}
        # When the first fact came that the view does not reflect; 0 without one.
        self._oldest = 0.0
        self.is_up = False
        self.why_down = "not connected yet"
        self._thread = threading.Thread(target=self._run, name="view-writer", daemon=True)

    def start(self) -> None:
        """Begins to follow; the fold has replayed its log."""
        self._fold.on_accepted(self._listen)
        self._thread.start()

    def close(self, grace_seconds: float = WRITE_SECONDS) -> None:
        """Writes what is waiting if Redis takes it within the grace, and ends."""
        self._stopping.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(grace_seconds)
            self._fold.remove_listener(self._listen)
        self._store.close()

    def wait_written(self, at_least: Mapping[int, int], timeout_seconds: float) -> bool:
        """Waits until the view reflects these positions; False at once while it is not kept."""
        with self._written:
            self._written.wait_for(lambda: not self.is_up or self._reflects(at_least), timeout_seconds)
            return self.is_up and self._reflects(at_least)

    def distrust(self) -> None:
        """A reader found the view damaged: has it built anew."""
        self._damaged.set()

    def lag(self) -> tuple[int, float]:
        """Accepted facts that the view does not reflect, and for how many seconds the oldest has waited."""
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

    def _listen(self, _: Record, record: facts.LifecycleRecord) -> None:
        for target in self._targets:
            mark(target, self._fold.streams[record.stream], record)
        self._oldest = self._oldest or time.monotonic()
        self._news.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._serve(self._attach())
            except Detached as error:
                self._tell_down(f"looking at the view afresh: {error}", logging.INFO)
                self._stopping.wait(DETACHED_SECONDS)
            except (RedisUnavailable, LogError) as error:
                self._tell_down(str(error), logging.WARNING)
                self._stopping.wait(RETRY_SECONDS)
            except Exception as error:  # whatever stands in Redis, the view is kept again once it is mended
                logger.exception("the view's writer failed; trying again")
                self._tell_down(f"{type(error).__name__}: {error}", logging.WARNING)
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
        except Unfit as unfit:
            return self._rebuild(found.generation, unfit.reason, None)

    def _serve(self, target: Target) -> None:
        next_beat = 0.0
        while True:
            last = self._stopping.is_set()
            self._news.clear()
            self._flush(target)
            if last:
                return
            if time.monotonic() >= next_beat:
                target = self._beat(target)
                next_beat = time.monotonic() + BEAT_SECONDS
            self._news.wait(BEAT_SECONDS)
            self._stopping.wait(GATHER_SECONDS)

    def _beat(self, target: Target) -> Target:
        """Sees to what no fact brings about; answers the generation to go on with."""
        if not self._store.is_current(target.generation):
            raise Detached(f"{target.generation} is not the current generation")
        self._store.sweep()
        reason = "damaged" if self._damaged.is_set() else "asked" if self._store.take_wish() else ""
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
            everything = [place for state in self._fold.models.values() for place in places(state)]
        if not self._store.begin(generation, target.positions):
            raise Detached("another replica builds the view")
        self._load(target, streams, everything, serving)
        for _ in range(SWITCH_TRIES):
            target.flush(self._fold, self._store, is_current=False)
            if self._store.switch(generation, old, force=reason in FORCED):
                break
            self._stopping.wait(GATHER_SECONDS)
        else:
            raise Detached(f"{generation} does not catch up with the generation that serves")
        with self._fold.lock:
            self._targets = [target]
        seconds = round(time.monotonic() - started, 3)
        logger.info("view built", extra={"reason": reason, "rows": len(everything), "seconds": seconds})
        self._on_rebuilt(reason)
        return target

    def _load(self, target: Target, streams: list[str], everything: list[Place], serving: Target | None) -> None:
        for start in range(0, max(len(streams), len(everything), 1), LOAD_ROWS):
            with self._fold.lock:
                heads = heads_of(self._fold, streams[start : start + LOAD_ROWS])
                data = data_of(self._fold, everything[start : start + LOAD_ROWS])
            rows = [layout.row(place.kind, each) for place, each in data]
            self._store.write(target.generation, Batch(heads, rows), is_current=False)
            if serving is not None:
                self._flush(serving)

    def _flush(self, target: Target) -> None:
        began = time.monotonic()
        target.flush(self._fold, self._store, is_current=True)
        self._tell_up(target)
        with self._fold.lock:
            self._oldest = 0.0 if self._reflects(self._fold.accepted) else began

    def _tell_up(self, target: Target) -> None:
        if not self.is_up:
            logger.info("view kept", extra={"generation": target.generation})
        with self._written:
            self._positions = dict(target.positions)
            self.is_up, self.why_down = True, ""
            self._written.notify_all()

    def _tell_down(self, why: str, level: int) -> None:
        if why != self.why_down:
            logger.log(level, "view not kept: lists are answered from the fold", extra={"why": why})
        with self._written:
            self.is_up, self.why_down = False, why
            self._written.notify_all()
