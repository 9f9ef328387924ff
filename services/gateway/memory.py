"""How much memory the forwards of this process and its loaded versions may use, so that the kernel never ends it.

A request's shape, and sometimes its values, say how much memory a model needs for it.
"""

import ctypes
import os
import re
from collections.abc import Iterable
from pathlib import Path

SHARE = 0.6
"""The share of the memory that this process may have which is for forwards."""
VERSIONS_SHARE = 0.3
"""The share for loaded versions, unless a setting says otherwise. The rest is for requests and Python."""

_CGROUP = Path("/sys/fs/cgroup")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
"""The files with the limit of a container, in the second and in the first version of cgroups."""
_OUT_OF_MEMORY = re.compile(r"Available memory of (\d+) is smaller than requested bytes of (\d+)")
"""How ONNX Runtime says that an operator got no memory within the limit."""
_MIB = 2**20
_LIBC = ctypes.CDLL(None)


def bytes_for_forwards(processes: int = 1) -> int:
    """The limit for all forwards of one of so many processes."""
    return int(_available() * SHARE) // processes


def bytes_for_versions() -> int:
    """The limit for all loaded versions together, where no setting names one."""
    return int(_available() * VERSIONS_SHARE)


def return_to_system() -> None:
    """Gives the system what versions that were dropped have left behind in the heap. Only glibc keeps it."""
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)


def least(physical: int, limits: Iterable[str]) -> int:
    """The smallest of the machine's memory and the limits that are numbers. Others, such as "max", are no limits."""
    return min([physical, *(int(text) for text in limits if text.isdecimal() and int(text))])


def out_of_memory(error: Exception) -> str:
    """What the model needed and what is left. Empty for any other failure."""
    found = _OUT_OF_MEMORY.search(str(error))
    if found is None:
        return ""
    left, needed = (int(number) / _MIB for number in found.groups())
    return f"needs {needed:,.0f} MiB at once for this request, and {left:,.0f} MiB are left"


def _available() -> int:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return least(physical, map(_text, (_CGROUP / name for name in _LIMITS)))


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
