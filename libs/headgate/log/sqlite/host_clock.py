"""The time of an embedded log: the same for all processes on its host, whatever happens to their wall clocks.

The process that opens the log while no other has it open notes its wall clock and the uptime of the host, in a file
beside the log. All processes count on from this note by the uptime. So neither a process with a wrong clock nor a step
of the wall clock moves the time of the log. When all processes have closed the log, the next one makes a new note.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import NamedTuple

from headgate.shared_files import try_lock

NS_PER_MS, NS_PER_SECOND = 1_000_000, 1_000_000_000
SUFFIX = "-clock"
UPTIME, BOOT_ID = Path("/proc/uptime"), Path("/proc/sys/kernel/random/boot_id")
MAX_NOTE_BYTES = 256
_RUNNING = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""It also counts while the host sleeps, where the system has such a clock."""


class _Note(NamedTuple):
    """The wall clock of one process at an uptime of a boot of the host."""

    boot_id: str
    uptime_ns: int
    wall_ns: int


class HostClock:
    """The time of the log at `path`.

    Without /proc, or without the file beside the log, it counts on from this process's own wall clock at the start.
    """

    def __init__(self, path: Path) -> None:
        self._running_ns = time.clock_gettime_ns(_RUNNING)
        self._opened_ns = time.time_ns()
        self._fd: int | None = None
        try:
            self._fd = os.open(f"{path}{SUFFIX}", os.O_RDWR | os.O_CREAT, 0o666)
            self._opened_ns = self._shared_ns(self._fd)
        except (OSError, ValueError):
            self.close()

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return (self._opened_ns + time.clock_gettime_ns(_RUNNING) - self._running_ns) // NS_PER_MS

    def close(self) -> None:
        """From now on another process may make a new note, when this one was the last."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _shared_ns(self, fd: int) -> int:
        """The time of the log when this clock was made. Keeps a shared lock on the file until it is closed."""
        # Uptime is read from the kernel's file: a clock call may be answered by a library that pretends another time.
        uptime_ns = int(float(UPTIME.read_text().split()[0]) * NS_PER_SECOND)
        here = _Note(BOOT_ID.read_text().strip(), uptime_ns, self._opened_ns)
        if try_lock(fd):
            os.ftruncate(fd, 0)
            os.pwrite(fd, " ".join(map(str, here)).encode(), 0)
        fcntl.flock(fd, fcntl.LOCK_SH)
        boot_id, first_uptime_ns, wall_ns = os.pread(fd, MAX_NOTE_BYTES, 0).decode().split()
        if boot_id != here.boot_id:
            raise ValueError("the note was made on another host")
        return int(wall_ns) + here.uptime_ns - int(first_uptime_ns)
