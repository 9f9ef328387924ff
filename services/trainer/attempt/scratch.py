"""The folders in which attempts work. Each trainer has a place of its own, and clears there what a killed process left.

A process locks the folder of each of its attempts. The system releases the lock when the process ends, by any cause.
"""

import fcntl
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from headgate.shared_files import try_lock
from services.trainer.programs.orphans import end_orphans
from services.trainer.programs.trees import remove_tree

PREFIX = "attempt-"
UNUSED_SECONDS = 24 * 3600.0

logger = logging.getLogger(__name__)


def scratch_of(work: Path, trainer: str) -> Path:
    """The place of one trainer below the folder that several trainers may share."""
    return work / f"worker-{quote(trainer, safe='')}"


@contextmanager
def scratch_directory(parent: Path) -> Iterator[Path]:
    """A new directory below `parent`, locked by this process; it is removed with everything in it."""
    parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
    with _opened(directory) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield directory
        finally:
            end_orphans(directory)
            try:
                remove_tree(directory)
            except OSError as error:
                what = {"directory": directory.name, "error": str(error)}
                logger.warning("the folder of an attempt cannot be removed", extra=what)


def clear_left_behind(parent: Path, is_left: Callable[[Path], bool] = lambda _: True) -> list[str]:
    """Removes the directories whose process has ended, and returns their names. To be called before attempts begin.

    A directory that cannot be removed is logged and stays until the next start.
    """
    removed = []
    for directory in sorted(parent.glob(f"{PREFIX}*")):
        try:
            if is_left(directory) and _removed_unless_locked(directory):
                removed.append(directory.name)
        except OSError as error:
            what = {"directory": directory.name, "error": str(error)}
            logger.warning("a folder of an ended attempt cannot be removed", extra=what)
    if removed:
        logger.info("folders of ended attempts removed", extra={"folders": len(removed)})
    return removed


def clear_older_folders(work: Path) -> list[str]:
    """Removes the folders that trainers left directly below the working folder, before each had a place of its own.

    Such a trainer locked none, so one that changed within UNUSED_SECONDS may be in use and stays.
    """
    if not work.is_dir():
        return []
    # The file system's own time, which is also that of the folders.
    with tempfile.TemporaryFile(dir=work) as new:
        before = os.stat(new.fileno()).st_mtime - UNUSED_SECONDS
    return clear_left_behind(work, lambda directory: directory.stat().st_mtime < before)


def _removed_unless_locked(directory: Path) -> bool:
    with _opened(directory) as descriptor:
        if not try_lock(descriptor):
            return False
        end_orphans(directory.resolve())
        remove_tree(directory)
        return True


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
