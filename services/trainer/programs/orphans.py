"""Ends the processes of an attempt whose launcher was killed. They are known by their environment variables."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

MARK = "TMPDIR"
"""The variable that names a folder of the attempt in each process that it starts."""
MAX_ROUNDS = 100
"""How often we look again for what was started in the meantime."""

logger = logging.getLogger(__name__)


def end_orphans(scratch: Path) -> int:
    """Kills every process that carries the folder's mark, and returns how many. A process may have removed its mark."""
    ended: set[int] = set()
    for _ in range(MAX_ROUNDS):
        found = set(marked(scratch))
        if not found:
            break
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        ended |= found
    if ended:
        logger.warning("processes of an attempt ended after their launcher", extra={"processes": len(ended)})
    return len(ended)


def marked(scratch: Path) -> Iterator[int]:
    """The running processes with the folder's mark. Those of other users cannot be read, and are not the attempt's."""
    begin = f"{MARK}={scratch}{os.sep}".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            is_marked = any(line.startswith(begin) for line in environ.read_bytes().split(b"\0"))
        except OSError:
            continue
        if is_marked:
            yield int(environ.parent.name)
