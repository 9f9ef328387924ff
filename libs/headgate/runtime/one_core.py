"""Keeps a process on one core. Linux only; elsewhere nothing happens.

The threads of a Python process take turns at one interpreter lock. On several cores they hand it from core to core,
which may cost as much as what they do in between; on one core they run through. A process gains here when many threads
each do a little: a synchronous gRPC server. One that computes outside of the lock needs its cores.
"""

import logging
import os
import zlib
from collections.abc import Collection
from pathlib import Path

logger = logging.getLogger(__name__)


def keep_to_one_core(name: str) -> None:
    """Keeps this process's threads, and those that they start from now on, on the core for this name.

    Child processes inherit it. Call it before other threads start threads: those might be missed. Where the system
    forbids it the process runs as it would have, and says so.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    try:
        core = core_for(name, os.sched_getaffinity(0))
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})
    except OSError as error:
        logger.warning("not kept to one core", extra={"error": str(error)})
        return
    logger.info("kept to one core", extra={"core": core})


def core_for(name: str, cores: Collection[int]) -> int:
    """One of the cores, always the same. Names that differ in the number at their end have neighbouring cores.

    So replicas on one machine, registry-0 and registry-1, do not share a core while there are enough.
    """
    stem = name.rstrip("0123456789")
    number = int(name[len(stem) :] or 0)
    return sorted(cores)[(zlib.crc32(stem.encode()) + number) % len(cores)]
