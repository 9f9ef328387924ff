"""The SQLite file of the log: its tables, how it is opened, and the connections that read it."""

import math
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headgate.log.port import LogError, LogUnavailable

SCHEMA_VERSION = 1
APPLICATION_ID = 0x48474C47  # "HGLG"; a database of another program is refused
BUSY_SECONDS = 5.0
BUSY_PAUSE_SECONDS = 0.0005
MAX_IDLE_READERS = 32
READER_CACHE_KIB = 512
"""The cache of one reading connection. It is small, because tails and scans rarely read a page twice."""
MAX_IDLE_WAL_BYTES = 64 * 1024 * 1024
PRIMARY_CODE = 0xFF
"""The part of SQLite's error code that names the kind of error."""
_CAUSES = {
    sqlite3.SQLITE_FULL: "the disk of the log is full",
    sqlite3.SQLITE_IOERR: "the disk of the log cannot be read or written",
    sqlite3.SQLITE_READONLY: "the log is read-only: its file system is, or the right to write is missing",
    sqlite3.SQLITE_PERM: "the right to use the log's files is missing",
    sqlite3.SQLITE_CANTOPEN: "a file of the log cannot be opened: it is gone, a right is missing, or too many are open",
}

_SCHEMA = """
CREATE TABLE topics (
    topic_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    retention_ms INTEGER NOT NULL, partitions INTEGER NOT NULL
);
CREATE TABLE log (
    topic_id INTEGER NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, timestamp_ms INTEGER NOT NULL,
    key BLOB NOT NULL, headers BLOB, value BLOB, PRIMARY KEY (topic_id, partition, offset)
) WITHOUT ROWID;
CREATE TABLE groups (
    topic_id INTEGER NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL, PRIMARY KEY (topic_id, name)
) WITHOUT ROWID;
CREATE TABLE members (
    topic_id INTEGER NOT NULL, group_name TEXT NOT NULL, member TEXT NOT NULL,
    incarnation TEXT NOT NULL, heartbeat_ms INTEGER NOT NULL, PRIMARY KEY (topic_id, group_name, member)
) WITHOUT ROWID;
CREATE TABLE shares (
    topic_id INTEGER NOT NULL, group_name TEXT NOT NULL, partition INTEGER NOT NULL,
    member TEXT, since INTEGER NOT NULL, next_offset INTEGER, PRIMARY KEY (topic_id, group_name, partition)
) WITHOUT ROWID;
"""


def prepare(path: Path) -> sqlite3.Connection:
    """Creates or checks the file, and returns the connection for writing. Raises LogError, LogUnavailable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise LogUnavailable(f"cannot open the log {path}: {cause_of(error)}") from error
    try:
        when_free(connection, "PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # acknowledged records survive a power cut
        connection.execute(f"PRAGMA journal_size_limit = {MAX_IDLE_WAL_BYTES}")
        _check_schema(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise _translated(error, path) from error
    except LogError:
        connection.close()
        raise
    return connection


def when_free(connection: sqlite3.Connection, statement: str, give_up_at: float = math.inf) -> None:
    """Executes a statement that needs the write lock, and retries often while another process holds it.

    It stops after BUSY_SECONDS, or at `give_up_at` on the monotonic clock when that is sooner. SQLite's own busy
    handler is off for this connection: it sleeps up to 100 ms between tries and gets no turn beside a busy writer.
    """
    give_up_at = min(give_up_at, time.monotonic() + BUSY_SECONDS)
    while True:
        try:
            connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > give_up_at:
                raise
        time.sleep(BUSY_PAUSE_SECONDS)


class Readers:
    """Connections that only read. One thread at a time uses a connection."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def borrow(self) -> Iterator[sqlite3.Connection]:
        """Lends a connection. Errors of SQLite are raised as LogUnavailable or LogError."""
        connection = self._take()
        try:
            yield connection
        except sqlite3.Error as error:
            connection.close()
            raise _translated(error, self._path) from error
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise LogUnavailable(f"the log {self._path} is closed")
            if self._idle:
                return self._idle.pop()
        try:
            connection = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA query_only = 1")
            connection.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}")
        except sqlite3.Error as error:
            raise _translated(error, self._path) from error
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < MAX_IDLE_READERS:
                self._idle.append(connection)
                return
        connection.close()


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    when_free(connection, "BEGIN IMMEDIATE")  # two processes may create the file at the same moment
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        empty = not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        if version == 0 and application == 0 and empty:
            _create(connection)
        elif application != APPLICATION_ID:
            raise LogError(f"{path} is a database of another program, not a log of Headgate")
        elif version != SCHEMA_VERSION:
            raise LogError(f"{path} has schema version {version}; this Headgate reads version {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _create(connection: sqlite3.Connection) -> None:
    for statement in _SCHEMA.split(";"):  # executescript would commit by itself
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _is_busy(error: sqlite3.Error) -> bool:
    return error.sqlite_errorcode & PRIMARY_CODE in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def rewrite_version(connection: sqlite3.Connection) -> bool:
    """Writes the schema version again, which costs one page on the disk. Returns False: no reader needs to know."""
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return False


def cause_of(error: Exception) -> str:
    """The cause in words. The text of SQLite alone is too short, such as "disk I/O error"."""
    if not isinstance(error, sqlite3.Error):
        return str(error)
    words = _CAUSES.get(getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE)
    return f"{words}: {error} ({error.sqlite_errorname})" if words else str(error)


def is_before_commit(error: sqlite3.Error) -> bool:
    """Whether a COMMIT with this error has certainly changed nothing: the record that ends it was not written."""
    code = error.sqlite_errorcode
    return code & PRIMARY_CODE in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY) or code == sqlite3.SQLITE_IOERR_WRITE


def _translated(error: sqlite3.Error, path: Path) -> LogError:
    if isinstance(error, sqlite3.OperationalError):
        return LogUnavailable(f"the log {path} cannot be used now: {cause_of(error)}")
    return LogError(f"the file {path} is damaged or not a log: {error}")
