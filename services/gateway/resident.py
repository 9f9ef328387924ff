"""Gives memory back that only the start and the loads of versions have used."""

import ctypes
import mmap
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ (\d+)\s*(.*)")
CODE = "r-xp"
MAPS = Path("/proc/self/smaps")

Span = tuple[int, int]
"""The first address and the size of a part of memory."""


def give_back() -> None:
    """Gives free memory to the system, and lets go of the libraries' code in memory.

    Code that still runs is taken from the system's cache again, which needs no disk.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    try:
        lines = MAPS.read_text().splitlines()
    except OSError:
        return
    for start, size in unchanged_code(lines):
        libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), mmap.MADV_DONTNEED)


def unchanged_code(smaps: Iterable[str]) -> Iterator[Span]:
    """The parts that are code of files, as the files have it. Changed code exists in memory alone and stays. Pure."""
    code: Span | None = None
    for line in smaps:
        if found := _MAPPING.fullmatch(line):
            start, end, rights, inode, _ = found.groups()
            is_code = rights == CODE and inode != "0"
            code = (int(start, 16), int(end, 16) - int(start, 16)) if is_code else None
        elif code is not None and line.startswith("Anonymous:"):
            if line.split()[1] == "0":
                yield code
            code = None
