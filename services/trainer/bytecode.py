"""Leaves the bytecode of the packages that every training imports.

A confined training may not write it, and uv installs packages without it. Each training would then compile torch again,
which takes longer than a small training. Where that is so, a process that may write imports the packages once.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import cache_from_source, find_spec
from pathlib import Path

NEEDED = "onnx/_internal/exporter/_core.py"
"""A file of torch that a training imports and nothing else does."""
IMPORTING = (sys.executable, "-P", "-m", "services.trainer.child", "unused")
"""A training process without a job: it imports what a training needs, and ends."""
LOWEST_PRIORITY = 19
END_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Bytecode:
    """Starts the process that leaves the bytecode, where there is none. Attempts do not wait for it."""

    def __init__(self, needed: Path | None = None, importing: Sequence[str] = IMPORTING) -> None:
        self._needed = needed or _file_of_torch()
        self._importing = importing
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> bool:
        """Whether there is something to do, which has begun."""
        if self._needed is None or not lacks_bytecode(self._needed):
            return False
        logger.info("the packages of trainings have no bytecode yet; they are compiled now")
        nowhere = subprocess.DEVNULL
        self._process = subprocess.Popen(self._importing, stdin=nowhere, stdout=nowhere, stderr=nowhere)
        os.setpriority(os.PRIO_PROCESS, self._process.pid, LOWEST_PRIORITY)
        return True

    def close(self) -> None:
        """Ends the process, when it still runs."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(END_SECONDS)


def lacks_bytecode(file: Path) -> bool:
    """Whether an import would compile the file, and could keep what it compiled."""
    may_write = not sys.dont_write_bytecode and os.access(file.parent, os.W_OK)
    return may_write and file.is_file() and not Path(cache_from_source(str(file))).exists()


def _file_of_torch() -> Path | None:
    found = find_spec("torch")
    return Path(found.origin).parent / NEEDED if found is not None and found.origin is not None else None
