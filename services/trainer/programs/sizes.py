"""How large a folder has become while a program writes into it."""

import time
from collections.abc import Callable
from pathlib import Path

from services.trainer.programs.trees import MAX_DEPTH, TooDeep, files_in

MEASURE_SECONDS = 1.0
"""Between two looks at the size."""
SHARE_OF_LOOKING = 20
"""The pause is at least so many times as long as a look took."""


def size_of(directory: Path) -> int:
    """The bytes of the files below the directory. A file with two names counts once. Raises TooDeep."""
    return sum({(found.st_dev, found.st_ino): found.st_size for found in files_in(directory)}.values())


def grown_too_large(*directories: Path, max_bytes: int) -> Callable[[], str]:
    """What says that the directories have become too large together. It looks each MEASURE_SECONDS at most."""
    next_look = time.monotonic()

    def broken_limit() -> str:
        nonlocal next_look
        began = time.monotonic()
        if began < next_look:
            return ""
        try:
            size = sum(map(size_of, directories))
        except TooDeep:
            return f"has folders more than {MAX_DEPTH} deep"
        ended = time.monotonic()
        next_look = ended + max(MEASURE_SECONDS, SHARE_OF_LOOKING * (ended - began))
        return f"has more than {max_bytes} bytes" if size > max_bytes else ""

    return broken_limit
