"""Keeps out of the log what libraries print once Python has ended, such as triton's list of objects that are left.

After a failure that list would take the place of the last lines, which say what was wrong.
"""

import atexit
import ctypes
import os
import sys
from contextlib import suppress


def end_quietly() -> None:
    """To be called before anything else registers its end, because the first to register is called last."""
    atexit.register(_drop_what_follows)


def _drop_what_follows() -> None:
    with suppress(Exception):  # foreign code may have put anything in the place of these streams
        sys.stdout.flush()
        sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)  # what C has printed before stays
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)
