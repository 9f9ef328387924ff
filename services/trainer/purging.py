"""The thread that deletes from the artifact store what the fold says is purged, or names nowhere, beside the attempts.

It remembers nothing outside the store. A version's manifest is deleted last, so after a crash a manifest that is still
there says that the rest may be there too.
"""

import logging
import time
from itertools import islice

from headgate.artifacts.store import ArtifactRecent, ArtifactStore, StoreUnavailable
from headgate.lifecycle.follower import LifecycleFold
from headgate.runtime.log_clock import LogClock
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.retrying import RetryingThread
from services.trainer.attempt import checkpoints
from services.trainer.attempt.checkpoints import remove_checkpoint
from services.trainer.purges import Purge, purges, stale_checkpoints, stored_before_ms
from services.trainer.store_time import heard_at_ms, in_store_time
from services.trainer.unused_uploads import UnusedUploads

TICK_SECONDS = 1.0
"""Between two looks at the fold. A deletion is in no hurry, and a pause ends at once when the service stops."""
RETRY_SECONDS = 60.0
"""The pause before a version is tried again of which something could not be deleted, or not yet."""
LEFTOVERS_SECONDS = 600.0
"""Between two looks for checkpoints and uploads that nobody needs."""
MAX_CHECKPOINTS = 10_000
"""The most checkpoints that one look reads."""

logger = logging.getLogger(__name__)


class Purging:
    """Deletes in a thread of its own: what cannot be deleted holds up neither other deletions nor an attempt."""

    def __init__(self, store: ArtifactStore, fold: LifecycleFold, metrics: Metrics, clock: LogClock) -> None:
        self._clock = clock
        self._store = store
        self._fold = fold
        self._bytes = metrics.counter("headgate_purged_bytes_total").labels()
        self._failures = metrics.counter("headgate_purge_failures_total").labels()
        self._uploads = UnusedUploads(store, fold, metrics, clock)
        self._ended: set[str] = set()
        self._retry_at: dict[str, float] = {}
        self._leftovers_at = 0.0
        self._seen = -1
        self._thread = RetryingThread("purging", self._run, self._failed, RETRY_SECONDS, temporary=(Exception,))

    def start(self) -> None:
        """Starts the thread. To be called once the log is replayed: before that, the fold misses kept versions."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def stop_soon(self) -> None:
        """Begins no further deletion."""
        self._thread.stop_soon()

    def stop(self, grace_seconds: float) -> None:
        """Waits for the deletion in progress. After the grace it is left: the next start takes it up again."""
        self._thread.stop(grace_seconds)

    def once(self, monotonic_seconds: float) -> None:
        """One round: purges what is due at this time of the monotonic clock. Now and then it clears leftovers."""
        due, before_ms = self._due(monotonic_seconds)
        before_store_ms = self._in_store_time(before_ms) if due else None
        for purge in due:
            if self._thread.is_stopping:
                return
            if before_store_ms is not None and self._purge(purge, before_store_ms):
                self._ended.add(purge.version)
            else:
                self._retry_at[purge.version] = monotonic_seconds + RETRY_SECONDS
        if monotonic_seconds >= self._leftovers_at:
            self._leftovers_at = monotonic_seconds + LEFTOVERS_SECONDS
            self._clear_checkpoints()
            self._uploads.clear(lambda: self._thread.is_stopping)

    def _run(self) -> None:
        self.once(time.monotonic())
        self._thread.pause(TICK_SECONDS)

    def _failed(self, error: Exception) -> None:
        self._failures.inc()
        logger.error("finding what to delete failed; trying again", exc_info=error)

    def _due(self, monotonic_seconds: float) -> tuple[list[Purge], int]:
        """What to delete, and before which time it must have been stored. Both are of the same state of the fold.

        So what a version names later is safe: it was stored after a claim that this state has, or after this moment.
        """
        ready = [version for version, at in self._retry_at.items() if at <= monotonic_seconds]
        for version in ready:
            del self._retry_at[version]
        with self._fold.lock:
            if self._fold.lost:  # without some facts, the fold may miss a version that is kept
                self._seen = -1
                return [], 0
            if self._seen == self._fold.revision and not ready:
                return [], 0
            due = purges(self._fold.models, self._ended | self._retry_at.keys())
            self._seen = -1 if due else self._fold.revision
            return due, stored_before_ms(self._fold.models, heard_at_ms(self._fold, self._clock))

    def _in_store_time(self, log_time_ms: int) -> int | None:
        """This moment of the log's time, or one before it, by the store's clock; None without its answer."""
        try:
            return in_store_time(self._store, self._clock, log_time_ms)
        except StoreUnavailable as error:
            self._failures.inc()
            what = {"error": str(error), "retry_seconds": RETRY_SECONDS}
            logger.warning("the store does not answer, so nothing is deleted; trying again", extra=what)
            return None

    def _purge(self, purge: Purge, before_ms: int) -> bool:
        """Deletes the blobs and then the manifest. Returns whether nothing is left to delete."""
        try:
            last = [purge.manifest] if purge.manifest else purge.files
            if not any(map(self._store.has_blob, last)):
                return True
        except StoreUnavailable as error:
            return self._not_deleted(purge, error)
        sizes = [self._delete(purge, sha256, before_ms) for sha256 in purge.files]
        if None in sizes or (purge.manifest and self._delete(purge, purge.manifest, before_ms) is None):
            return False
        done = {"version": purge.version, "blobs": len(sizes), "bytes": sum(filter(None, sizes))}
        logger.info("the artifact of a purged version is deleted", extra=done)
        return True

    def _delete(self, purge: Purge, sha256: str, before_ms: int) -> int | None:
        """The size of what was deleted in bytes; None when the blob is to be tried again."""
        if self._thread.is_stopping:
            return None
        try:
            size = self._store.delete_blob(sha256, before_ms)
        except ArtifactRecent:
            return None
        except StoreUnavailable as error:
            self._not_deleted(purge, error)
            return None
        self._bytes.inc(size)
        return size

    def _not_deleted(self, purge: Purge, error: StoreUnavailable) -> bool:
        self._failures.inc()
        what = {"version": purge.version, "error": str(error), "retry_seconds": RETRY_SECONDS}
        logger.warning("a file of a purged version cannot be deleted; trying again", extra=what)
        return False

    def _clear_checkpoints(self) -> None:
        """The trainer of an attempt removes its checkpoint. This one clears those of trainers that were killed."""
        try:
            names = list(islice(self._store.names(checkpoints.FOLDER), MAX_CHECKPOINTS))
        except StoreUnavailable as error:
            self._failures.inc()
            logger.warning("the checkpoints cannot be listed; trying again", extra={"error": str(error)})
            return
        with self._fold.lock:
            stale = list(stale_checkpoints(self._fold.models, names))
        for version in stale:
            if not self._thread.is_stopping:
                remove_checkpoint(self._store, version)
        if stale:
            logger.info("checkpoints of ended trainings removed", extra={"checkpoints": len(stale)})
