"""Notices between the processes that share a log's file: one has committed, and the others should check. Linux only.

A process that has committed sets the file's time, and inotify reports that to the processes that watch the file. A
notice that gets lost delays the readers of the other processes until their next check without one.
"""

import ctypes
import os
import select
import sys
import time
from contextlib import suppress
from pathlib import Path

POLL_SECONDS = 0.01
"""How often to check where there is no inotify: on other systems, or when the user has used up all instances."""
MAX_NOTICE_BYTES = 4096
IN_ATTRIB = 0x00000004


class Notices:
    """Of one log's file. `wait` belongs to one thread; `give` may be called by any."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = _watch(path)
        self._arrived = select.poll()
        if self._fd is not None:
            self._arrived.register(self._fd, select.POLLIN)

    def give(self) -> None:
        """Wakes every process that waits for notices of this file, this one included."""
        with suppress(OSError):  # the others check now and then without a notice
            os.utime(self._path)

    def wait(self, timeout_seconds: float) -> None:
        """Returns when a notice has arrived since the last call, or when it is time to check without one."""
        if self._fd is None:
            time.sleep(min(timeout_seconds, POLL_SECONDS))
        elif self._arrived.poll(timeout_seconds * 1000):
            os.read(self._fd, MAX_NOTICE_BYTES)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _watch(path: Path) -> int | None:
    """A file descriptor that can be read once the file's time was set; None where there is no inotify."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    fd = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    if fd < 0:
        return None
    if libc.inotify_add_watch(fd, os.fsencode(path), IN_ATTRIB) < 0:
        os.close(fd)
        return None
    return fd
