"""What a child process asks of the kernel: to end with its parent, and before it when memory runs out. Linux only."""

import ctypes
import os
import signal
import sys
from contextlib import suppress

PARENT_VARIABLE = "HEADGATE_PARENT"
PR_SET_PDEATHSIG = 1
OOM_SCORE = "1000"
"""The highest: the kernel ends such a process first."""


def end_with_parent(parent_pid: int) -> None:
    """Asks the kernel for SIGTERM when the parent's thread that started this process ends, also when it is killed."""
    if sys.platform != "linux":
        return
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:  # the parent ended before this call
        os.kill(os.getpid(), signal.SIGTERM)


def end_first_for_memory() -> None:
    """When memory runs out, the kernel ends this process before the service that started it."""
    # Not by a Path: small programs import this module, and pathlib would take a fifth of their start.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write(OOM_SCORE)


def prctl(option: int, argument: int) -> int:
    """Changes this process by an option of Linux. Below 0 on failure; ctypes.get_errno() then has the reason."""
    result: int = ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0)
    return result
