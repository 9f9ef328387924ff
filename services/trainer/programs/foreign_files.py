"""Opens files in a folder that foreign code can change: never through a link, and never what is no plain file.

The folder itself must be out of the code's reach, as each writable folder of a jail is.
"""

import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_foreign(file: Path) -> BinaryIO | None:
    """The file, to be read; None when it is not there or is no plain file, such as a link or a pipe."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")


def read_foreign(file: Path, max_bytes: int) -> bytes | None:
    """The content; None when `open_foreign` finds no file, or when it is larger."""
    opened = open_foreign(file)
    if opened is None:
        return None
    with opened:
        content = opened.read(max_bytes + 1)
    return content if len(content) <= max_bytes else None


def write_new(file: Path, content: bytes) -> None:
    """Writes a new file there, in the place of what foreign code may have left. Raises OSError."""
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as new:
        os.fchmod(descriptor, 0o644)  # the code in a jail is another user
        new.write(content)
