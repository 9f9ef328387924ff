"""Ends a child process when its parent process ends, even when the parent is killed. Calls prctl of Linux."""

import ctypes
import os
import signal
import sys

PARENT_VARIABLE = "HEADGATE_PARENT"
PR_SET_PDEATHSIG = 1


def end_with_parent(parent_pid: int) -> None:
    """Asks the kernel for SIGTERM when the parent's thread that started this process ends. Linux only."""
    if sys.platform != "linux":
        return
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:  # the parent ended before this call
        os.kill(os.getpid(), signal.SIGTERM)


def prctl(option: int, argument: int) -> int:
    """Changes this process by an option of Linux. Below 0 on failure; ctypes.get_errno() then has the reason."""
    result: int = ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0)
    return result
