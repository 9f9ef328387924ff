"""How files of keys are written, and the error that names one which cannot be used."""

import os
from pathlib import Path


class KeyUnusable(Exception):
    """A file of keys is missing, or does not hold what it should."""


def create_once(file: Path, data: bytes, mode: int) -> None:
    """Writes the file unless it exists."""
    # Written to another name and then linked. So a reader sees the whole file or none, and the first writer wins.
    temporary = written_beside(file, data, mode)
    try:
        os.link(temporary, file)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def replace(file: Path, data: bytes, mode: int) -> None:
    """Writes the file in the place of the old one, which a reader sees until then."""
    written_beside(file, data, mode).replace(file)


def written_beside(file: Path, data: bytes, mode: int) -> Path:
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{os.urandom(4).hex()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    return temporary
