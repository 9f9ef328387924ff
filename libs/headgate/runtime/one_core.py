"""Keeps a process on one core. Linux only; elsewhere nothing happens.

The threads of a Python process take turns at one interpreter lock. On several cores they hand it from core to core,
which costs more than half of what they do in between; on one core they run through. A process gains here when many
threads each do a little: a synchronous gRPC server. One that computes outside of the lock needs its cores.
"""

import os
from contextlib import suppress
from pathlib import Path


def keep_to_one_core() -> None:
    """Keeps all threads, and those that they will start, on the core that the caller runs on.

    The kernel put the process there because it was free, and moves other processes away from it. Child processes
    inherit the core. Where a sandbox forbids it the process runs as it would have, only slower.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    core = _core_now()
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # forbidden, or the thread ended meanwhile
            os.sched_setaffinity(int(thread.name), {core})


def _core_now() -> int:
    """Field 39 of /proc/thread-self/stat, proc(5); the second one, a name, may hold spaces and brackets."""
    behind_name = Path("/proc/thread-self/stat").read_text().rpartition(")")[2]
    return int(behind_name.split()[39 - 3])
