"""Small files that survive a power cut: each is written beside its old content, flushed, and then renamed.

A digest in front of the content shows a file that was torn or changed. Then the content before it is read.
"""

import hashlib
import os
from pathlib import Path

HEADER = b"headgate-edge-1 "
DIGEST_CHARACTERS = 64
MAX_BYTES = 64 << 20
BEFORE = ".before"


def write_sealed(file: Path, content: bytes) -> None:
    """Replaces the content. The old one stays beside it. Raises OSError, and then the old one is still there."""
    new = file.with_name(f"{file.name}.new")
    write_flushed(new, HEADER + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    if file.exists():
        os.replace(file, file.with_name(file.name + BEFORE))
    os.replace(new, file)
    flush_folder(file.parent)


def read_sealed(file: Path) -> bytes | None:
    """The content, or the one before it when the newest is damaged or missing; None without a sound one."""
    for each in (file, file.with_name(file.name + BEFORE)):
        try:
            if (content := unsealed(each.read_bytes())) is not None:
                return content
        except OSError:
            continue
    return None


def unsealed(data: bytes) -> bytes | None:
    """The content of the file's bytes; None when they are not as they were written. Pure."""
    start = len(HEADER) + DIGEST_CHARACTERS + 1
    content = data[start:]
    sealed = HEADER + hashlib.sha256(content).hexdigest().encode() + b"\n"
    return content if len(data) <= MAX_BYTES and data[:start] == sealed else None


def write_flushed(file: Path, data: bytes) -> None:
    """Writes a file and waits until the disk has it. Raises OSError."""
    with open(file, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def flush_folder(folder: Path) -> None:
    """Waits until the disk has the names of a folder. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
