"""Pins a process to one CPU core. Linux only; elsewhere nothing happens.

The threads of a Python process share one interpreter lock. On several cores the lock moves from core to core, and that
may cost as much CPU as the work itself. On one core it does not. A process gains from one core when many threads each
do a little, as in a synchronous gRPC server. A process that computes without the lock needs several cores.
"""

import logging
import os
import zlib
from collections.abc import Collection
from pathlib import Path

logger = logging.getLogger(__name__)


def pin_to_one_core(name: str) -> None:
    """Pins this process's threads, and those that they start later, to the core for this name.

    Child processes inherit the core. Call this before other threads start threads, because it might miss those. When
    the system forbids it, the process keeps all its cores and logs a warning.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    try:
        core = core_for(name, os.sched_getaffinity(0))
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
    except OSError as error:
        logger.warning("not pinned to one CPU core", extra={"error": str(error)})
        return
    logger.info("pinned to one CPU core", extra={"core": core})


def core_for(name: str, cores: Collection[int]) -> int:
    """The core for this name, always the same one. Names that differ only in their last number get neighbouring cores.

    So the replicas registry-0 and registry-1 on one machine do not share a core while there are enough cores.
    """
    stem = name.rstrip("0123456789")
    number = int(name[len(stem) :] or 0)
    return sorted(cores)[(zlib.crc32(stem.encode()) + number) % len(cores)]
