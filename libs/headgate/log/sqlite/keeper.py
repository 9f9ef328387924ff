"""The maintenance thread of a SQLite log: it sends the heartbeats of consumers and deletes expired records."""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence

from headgate.log.port import LogError
from headgate.log.sqlite.reading import GROUP_WRITE_SECONDS, SqliteConsumer
from headgate.log.sqlite.retention import delete_expired
from headgate.log.sqlite.writer import Writer

DELETE_EVERY_SECONDS = 600.0
DELETE_AGAIN_SECONDS = 0.5
DELETE_TIMEOUT_SECONDS = 30.0

_logger = logging.getLogger(__name__)


class Keeper:
    """Implements reading.Registrar."""

    def __init__(self, writer: Writer, heartbeat_seconds: float, now_ms: Callable[[], int]) -> None:
        self._writer = writer
        self._now_ms = now_ms
        self._heartbeat_seconds = heartbeat_seconds
        self._consumers: set[SqliteConsumer] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._delete_at = time.monotonic() + DELETE_EVERY_SECONDS
        self._thread = threading.Thread(target=self._keep, name="headgate-log-keeper", daemon=True)
        self._thread.start()

    def add(self, consumer: SqliteConsumer) -> None:
        with self._lock:
            self._consumers.add(consumer)

    def remove(self, consumer: SqliteConsumer) -> None:
        with self._lock:
            self._consumers.discard(consumer)

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._closed.wait(self._heartbeat_seconds):
            with self._lock:
                consumers = list(self._consumers)
            if consumers:
                self._send_heartbeats(consumers)
            if time.monotonic() >= self._delete_at:
                self._delete()

    def _send_heartbeats(self, consumers: Sequence[SqliteConsumer]) -> None:
        def heartbeats(db: sqlite3.Connection) -> bool:
            return sum(consumer.heartbeat(db) for consumer in consumers) > 0

        try:
            self._writer.run(heartbeats, GROUP_WRITE_SECONDS, is_news=bool)
        except LogError as error:
            _logger.warning("heartbeats not written: %s", error)

    def _delete(self) -> None:
        pause = DELETE_EVERY_SECONDS
        try:
            if self._writer.run(lambda db: delete_expired(db, self._now_ms()), DELETE_TIMEOUT_SECONDS):
                pause = DELETE_AGAIN_SECONDS
        except LogError as error:
            _logger.warning("expired records were not deleted: %s", error)
        self._delete_at = time.monotonic() + pause
