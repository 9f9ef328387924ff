"""Writes files into a new folder, all at once or none."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from headgate.cli.exit_codes import Exit
from headgate.cli.session import CommandFailed


def require_new(folder: Path) -> None:
    """Raises CommandFailed unless the folder can be made."""
    if folder.exists():
        raise CommandFailed(f"{folder} exists: nothing is overwritten, so give a new folder")
    if not folder.absolute().parent.is_dir():
        raise CommandFailed(f"there is no folder {folder.absolute().parent}", Exit.NOT_FOUND)


def write_all(files: Mapping[str, bytes], folder: Path) -> None:
    """Makes the folder with all files at once. A folder that exists is not touched. Raises CommandFailed.

    A name may have one folder in it.
    """
    with _scratch_beside(folder) as scratch:
        for name, content in files.items():
            (scratch / name).parent.mkdir(exist_ok=True)
            with (scratch / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        try:
            # Fails when it exists. Then it takes the place of the empty folder in one step.
            folder.mkdir()
            scratch.rename(folder)
        except FileExistsError as error:
            raise CommandFailed(f"{folder} exists: nothing is overwritten, so give a new folder") from error


@contextmanager
def _scratch_beside(folder: Path) -> Iterator[Path]:
    """A folder on the same file system. What is left of it at the end is removed."""
    outer = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
    scratch = outer / "files"  # with the rights of any new folder: mkdtemp lets nobody else read
    try:
        scratch.mkdir()
        yield scratch
    finally:
        shutil.rmtree(outer, ignore_errors=True)
