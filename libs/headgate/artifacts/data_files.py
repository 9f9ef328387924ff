"""The data files of a model repository: the digest of a folder, and how a pointer to the data begins."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from headgate.shared_files import digest_of

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""How Git LFS begins the file that it commits in place of the data."""
MAX_FOLDER_FILES = 100_000


class WrongFolder(ValueError):
    """A folder cannot be named by a digest. The message says why."""


def digest_of_folder(folder: Path, names: Iterable[str]) -> str:
    """The SHA-256 of what `sha256sum` prints of the files, by their paths in the folder, sorted by their bytes."""
    lines = hashlib.sha256()
    for name in sorted(map(os.fsencode, names)):
        lines.update(digest_of(folder / os.fsdecode(name)).encode() + b"  " + name + b"\n")
    return lines.hexdigest()


def files_below(folder: Path) -> list[str]:
    """The paths of all files in the folder and below it. Raises WrongFolder for one that a digest cannot name."""
    found: list[str] = []
    for directory, folders, files in os.walk(folder):
        links = [name for name in folders if Path(directory, name).is_symlink()]
        found += (Path(directory, name).relative_to(folder).as_posix() for name in (*files, *links))
        if len(found) > MAX_FOLDER_FILES:
            raise WrongFolder(f"has more than {MAX_FOLDER_FILES} files; pack them into fewer")
    if not found:
        raise WrongFolder("is a folder without files")
    for name in found:
        if (folder / name).is_symlink() or not (folder / name).is_file():
            raise WrongFolder(f"has {name!r}, which is a link or no file")
        if not name.isprintable() or "\\" in name:
            raise WrongFolder(f"has {name!r}, whose name has a control character or a backslash")
    return found
