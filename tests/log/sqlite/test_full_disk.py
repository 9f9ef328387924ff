"""A SQLite log whose disk takes no more bytes. The limits are real ones: of SQLite, and of the system for a process."""

import os
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from headgate.log.port import LogUnavailable, Message, Topic
from headgate.log.sqlite.log import SqliteLog
from tests.waiting import PATIENCE_SECONDS

TOPIC = Topic("topic", -1, 1)
LARGE = Message("topic", b"key", b"x" * 100_000)

WITH_A_LIMIT = """
import resource, sys
from pathlib import Path
from headgate.log.port import LogError, Message
from headgate.log.sqlite.log import SqliteLog

log = SqliteLog(Path(sys.argv[1]))
log.append(Message("topic", b"key", b"x" * 100_000))
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (Path(sys.argv[1] + "-wal").stat().st_size, hard))
for attempt in (lambda: log.append(Message("topic", b"key", b"lost")), log.check_writable):
    try:
        attempt()
    except LogError as error:
        print(type(error).__name__, error)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log.check_writable()
log.append(Message("topic", b"key", b"after"))
print([len(value) for _, value in log.values("topic", 0, 0)])
log.close()
"""


def test_a_full_disk_is_named_and_nothing_is_written_until_there_is_space(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    log.create_topics([TOPIC])
    database = log._writer._connection
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(LogUnavailable, match="nothing was written: the disk of the log is full: "):
        log.append(LARGE)
    assert log.end("topic") == {0: 0}
    database.execute("PRAGMA max_page_count = 100000")
    assert log.append(LARGE).offset == 0
    log.close()


def test_a_commit_that_the_disk_refuses_has_a_known_outcome_and_a_cause(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    log.create_topics([TOPIC])
    log.close()
    command = [sys.executable, "-c", WITH_A_LIMIT, str(tmp_path / "log.db")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True)
    refused, checked, values = ended.stdout.splitlines()
    cause = "nothing was written: the disk of the log cannot be read or written: disk I/O error (SQLITE_IOERR_WRITE)"
    assert (refused, checked) == (f"LogUnavailable {cause}",) * 2
    assert values == "[100000, 5]"


def test_too_many_open_files_are_named(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    log.create_topics([TOPIC])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))
        with suppress(OSError):
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
        with pytest.raises(LogUnavailable, match=r"cannot open the log .* or too many are open"):
            SqliteLog(tmp_path / "log.db")
        with pytest.raises(LogUnavailable, match="or too many are open"):
            list(log.values("topic", 0, 0))
    finally:
        for number in opened:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert list(log.values("topic", 0, 0)) == []
    log.close()


def test_a_file_without_the_right_to_write_is_named(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    log.create_topics([TOPIC])
    log._writer._connection.execute("PRAGMA query_only = 1")
    with pytest.raises(LogUnavailable, match="the log is read-only"):
        log.append(LARGE)
    log.close()
