"""Gives a Python process wrong clocks: python imports this module at its start when its folder is on PYTHONPATH.

The file that SHIFTED_CLOCK names holds how far the wall clock is ahead, in seconds. It is read for each look at the
clock, so the clock can jump. What it holds at the start also shifts the monotonic clock, as on another host.
`time.time` stays as it is, because gRPC passes its values to C code, whose clock is not shifted.
"""

import os
import time
from pathlib import Path

_shift = Path(os.environ["SHIFTED_CLOCK"])
_time_ns, _monotonic, _monotonic_ns = time.time_ns, time.monotonic, time.monotonic_ns
_clock_gettime_ns = time.clock_gettime_ns


def _shift_ns() -> int:
    return int(_shift.read_text()) * 1_000_000_000


_other_host_ns = _shift_ns()
time.time_ns = lambda: _time_ns() + _shift_ns()
time.monotonic_ns = lambda: _monotonic_ns() + _other_host_ns
time.monotonic = lambda: _monotonic() + _other_host_ns / 1e9
time.clock_gettime_ns = lambda clock: _clock_gettime_ns(clock) + _other_host_ns
