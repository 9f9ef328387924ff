"""How much memory the forwards of this process may use together, so that no request makes the kernel end the gateway.

A request's shape, and sometimes its values, say how much memory a model needs for it.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

SHARE = 0.6
"""The share of the memory that this process may have. The rest is for weights, requests and Python."""

_CGROUP = Path("/sys/fs/cgroup")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
"""The files with the limit of a container, in the second and in the first version of cgroups."""
_OUT_OF_MEMORY = re.compile(r"Available memory of (\d+) is smaller than requested bytes of (\d+)")
"""How ONNX Runtime says that an operator got no memory within the limit."""
_MIB = 2**20


def bytes_for_forwards() -> int:
    """The limit for all forwards together."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(least(physical, map(_text, (_CGROUP / name for name in _LIMITS))) * SHARE)


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


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
