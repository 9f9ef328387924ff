"""Notices between processes that share one log file: "I have committed, check the file". They need Linux.

After a commit, a process sets the time of the file, and inotify reports this to the processes that watch the file. If
a notice is lost, the readers of other processes find the commit at their next check without a notice.
"""

import ctypes
import os
import select
import sys
import time
from contextlib import suppress
from pathlib import Path

POLL_SECONDS = 0.01
"""How often to check without inotify: on other systems, or when the user has no inotify instances left."""
MAX_NOTICE_BYTES = 4096
IN_ATTRIB = 0x00000004


class Notices:
    """The notices of one log file. Only one thread may call `wait`; any thread may call `give`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = _watch(path)
        self._arrived = select.poll()
        if self._fd is not None:
            self._arrived.register(self._fd, select.POLLIN)

    def give(self) -> None:
        """Wakes every process that waits for notices of this file, including this process."""
        with suppress(OSError):  # the other processes also check without a notice
            os.utime(self._path)

    def wait(self, timeout_seconds: float) -> None:
        """Returns when a notice has arrived since the last call, or when it is time for a check without one."""
        if self._fd is None:
            time.sleep(min(timeout_seconds, POLL_SECONDS))
        elif self._arrived.poll(timeout_seconds * 1000):
            os.read(self._fd, MAX_NOTICE_BYTES)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _watch(path: Path) -> int | None:
    """A file descriptor that is readable after the time of the file was set; None without inotify."""
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
