"""A child process that ends when the process that started it does, however that one ended."""

import ctypes
import os
import signal
import sys

PARENT_VARIABLE = "HEADGATE_PARENT"
PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int) -> None:
    """Has the kernel send SIGTERM when the parent's thread that started us ends. Linux only; elsewhere nothing."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:  # it ended before we asked
        os.kill(os.getpid(), signal.SIGTERM)
