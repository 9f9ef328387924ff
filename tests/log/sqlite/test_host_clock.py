"""The time of an embedded log, with processes whose clocks are wrong."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.log.port import Message, Topic
from headgate.log.sqlite import host_clock
from headgate.log.sqlite.host_clock import HostClock
from headgate.log.sqlite.log import SqliteLog

DAY_SECONDS = 86_400
UPTIME_MS = 20
"""Uptime is shown in hundredths of a second, and each of two readings may be off by one."""

real_time_ns, real_clock_gettime_ns = time.time_ns, time.clock_gettime_ns
Pretend = Callable[[float, float], None]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Shifts the wall clock and the running clock of this process, as faketime does for a whole process."""

    def shift(wall_seconds: float, running_seconds: float = 0.0) -> None:
        monkeypatch.setattr(time, "time_ns", lambda: real_time_ns() + int(wall_seconds * 1e9))
        shifted = int(running_seconds * 1e9)
        monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: real_clock_gettime_ns(clock) + shifted)

    return shift


def real_ms() -> int:
    return real_time_ns() // 1_000_000


@pytest.mark.parametrize("seconds", [-DAY_SECONDS, -600, 6, DAY_SECONDS])
def test_a_process_with_a_wrong_clock_gives_its_records_the_time_of_the_log(
    tmp_path: Path, pretend: Pretend, seconds: int
) -> None:
    first = SqliteLog(tmp_path / "log.db")
    first.create_topics([Topic("topic", -1)])
    pretend(seconds, seconds)
    second = SqliteLog(tmp_path / "log.db")
    at = second.append(Message("topic", b"key", b"value"))
    assert abs(at.timestamp_ms - real_ms()) < 1_000
    second.close()
    first.close()


@pytest.mark.parametrize("seconds", [-DAY_SECONDS, DAY_SECONDS])
def test_a_step_of_the_wall_clock_does_not_move_the_time_of_a_log_that_is_open(
    tmp_path: Path, pretend: Pretend, seconds: int
) -> None:
    clock = HostClock(tmp_path / "log.db")
    pretend(seconds)
    assert abs(clock.now_ms() - real_ms()) < 1_000
    clock.close()


def test_all_processes_have_the_same_time_even_when_the_first_one_was_wrong(tmp_path: Path, pretend: Pretend) -> None:
    pretend(600)
    first = HostClock(tmp_path / "log.db")
    pretend(0)
    second, third = HostClock(tmp_path / "log.db"), HostClock(tmp_path / "log.db")
    assert second.now_ms() == pytest.approx(first.now_ms(), abs=1_000)
    assert second.now_ms() == pytest.approx(third.now_ms(), abs=UPTIME_MS)
    for clock in (first, second, third):
        clock.close()


def test_once_all_processes_have_closed_the_log_its_time_is_taken_anew(tmp_path: Path, pretend: Pretend) -> None:
    pretend(600)
    HostClock(tmp_path / "log.db").close()
    pretend(0)
    clock = HostClock(tmp_path / "log.db")
    assert abs(clock.now_ms() - real_ms()) < 1_000
    clock.close()


@pytest.mark.parametrize("missing", ["uptime", "folder", "note of another host"])
def test_without_a_common_note_the_time_is_the_wall_clock_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    path, first = tmp_path / "log.db", None
    if missing == "uptime":
        monkeypatch.setattr(host_clock, "UPTIME", tmp_path / "none")
    elif missing == "folder":
        path = tmp_path / "none" / "log.db"
    else:
        first = HostClock(path)
        boot_id = tmp_path / "boot_id"
        boot_id.write_text("another\n")
        monkeypatch.setattr(host_clock, "BOOT_ID", boot_id)
    clock = HostClock(path)
    assert abs(clock.now_ms() - real_ms()) < 1_000
    clock.close()
    if first is not None:
        first.close()
