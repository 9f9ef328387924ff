"""The data files of a model repository: their digest, and how a file begins that only points to the data."""

import hashlib
from pathlib import Path

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""How Git LFS begins the file that it commits in place of the data."""


def digest_of(file: Path) -> str:
    """The SHA-256 of the file in hexadecimal. Reads it in parts, so it may be larger than the memory."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
