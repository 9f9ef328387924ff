"""Deletes the uploads in the artifact store that no version was made of."""

import logging
from collections.abc import Callable

from headgate.artifacts.store import ArtifactRecent, ArtifactStore, StoreUnavailable
from headgate.lifecycle.follower import LifecycleFold
from headgate.runtime.log_clock import LogClock
from headgate.runtime.observability.metrics import Metrics
from services.trainer import upload_marks
from services.trainer.purges import UPLOADS_KEPT_MS, needed_blobs, settled_uploads, stored_before_ms
from services.trainer.store_time import heard_at_ms, in_store_time

logger = logging.getLogger(__name__)


class UnusedUploads:
    """One look at a time, which remembers nothing outside the store."""

    def __init__(self, store: ArtifactStore, fold: LifecycleFold, metrics: Metrics, clock: LogClock) -> None:
        self._store = store
        self._fold = fold
        self._clock = clock
        self._bytes = metrics.counter("headgate_unused_upload_bytes_total").labels()
        self._failures = metrics.counter("headgate_purge_failures_total").labels()

    def clear(self, is_stopping: Callable[[], bool]) -> None:
        """Ends before the next deletion once the service stops."""
        try:
            sizes = self._cleared(is_stopping)
        except StoreUnavailable as error:
            self._failures.inc()
            logger.warning("unused uploads cannot be deleted; trying again", extra={"error": str(error)})
            return
        if sizes:
            what = {"blobs": len(sizes), "bytes": sum(sizes)}
            logger.info("uploads that no version was made of are deleted", extra=what)

    def _cleared(self, is_stopping: Callable[[], bool]) -> list[int]:
        """The sizes of what was deleted, in bytes. Raises StoreUnavailable."""
        # The marks are read before the fold: an upload that comes in between is not among them.
        marked = upload_marks.marks(self._store)
        with self._fold.lock:
            if not marked or self._fold.lost:  # without some facts, the fold may miss a version
                return []
            needed = needed_blobs(self._fold.models)
            before_ms = stored_before_ms(self._fold.models, heard_at_ms(self._fold, self._clock) - UPLOADS_KEPT_MS)
        before_store_ms = in_store_time(self._store, self._clock, before_ms)
        uploads = settled_uploads(needed, marked, before_store_ms)
        for sha256 in uploads.used:
            upload_marks.remove(self._store, sha256)
        sizes = (self._deleted(sha256, before_store_ms) for sha256 in uploads.unused if not is_stopping())
        return [size for size in sizes if size]

    def _deleted(self, sha256: str, before_ms: int) -> int:
        """Deletes the blob and then its mark; returns the size of what was deleted. Raises StoreUnavailable."""
        marked_at_ms = upload_marks.marked_at_ms(self._store, sha256)
        if marked_at_ms is None or marked_at_ms >= before_ms:  # it was asked for, or is uploaded again, since the look
            return 0
        try:
            size = self._store.delete_blob(sha256, before_ms)
        except ArtifactRecent:
            return 0
        upload_marks.remove(self._store, sha256)
        self._bytes.inc(size)
        return size
