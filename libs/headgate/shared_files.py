"""Files that several processes share: who holds one, whether a path still names it, and its digest.

The system releases a lock when the process that holds it ends, by any cause.
"""

import fcntl
import hashlib
import os
from pathlib import Path


def try_lock(descriptor: int, how: int = fcntl.LOCK_EX) -> bool:
    """Whether the open file could be locked at once: for its holder alone, or for all that share it (LOCK_SH)."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_same(path: Path, descriptor: int) -> bool:
    """Whether the path still names the open file. Another process may have deleted or replaced it."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def digest_of(file: Path | int) -> str:
    """The SHA-256 of a file, by its path or its descriptor, in hexadecimal. It may be larger than the memory."""
    with open(file, "rb", closefd=not isinstance(file, int)) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
