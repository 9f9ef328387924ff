"""Files that several processes share: who holds one, whether a path still names it, and its digest.

The system releases a lock when the process that holds it ends, by any cause.
"""

import fcntl
import hashlib
import os
from pathlib import Path

PRIVATE = 0o600
"""The mode of a file that only its owner reads."""


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


def replace_file(file: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Puts the content in the place of the file at once: a reader sees all of the old one or of the new one."""
    temporary = file.with_name(f".{file.name}.{os.urandom(4).hex()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        os.fchmod(out.fileno(), mode)  # the umask may have taken something away
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)


def digest_of(file: Path | int) -> str:
    """The SHA-256 of a file, by its path or its descriptor, in hexadecimal. It may be larger than the memory."""
    with open(file, "rb", closefd=not isinstance(file, int)) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
