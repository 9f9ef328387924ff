"""A folder for the Unix socket by which a server reaches itself. Only its user can open it.

A process that was killed leaves its folder behind. The next server of this user removes it: nobody holds its lock.
"""

import os
import shutil
import tempfile
from itertools import islice
from pathlib import Path
from typing import IO

from headgate.shared_files import is_same, try_lock

PREFIX = "headgate-socket-"
SOCKET, LOCK = "own.sock", "lock"
MAX_LOOKED_AT = 1_000
"""Folders that one start looks at."""


class SocketFolder:
    """Exists until `close`."""

    def __init__(self, parent: Path | None = None) -> None:
        """`parent` is the system's folder for temporary files unless it is named. Raises OSError."""
        parent = parent or Path(tempfile.gettempdir())
        _remove_abandoned(parent)
        self._folder, self._lock = _locked_folder(parent)

    @property
    def socket(self) -> Path:
        """The path for the socket."""
        return self._folder / SOCKET

    def close(self) -> None:
        """Removes the folder with the socket. The server has been stopped."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.close()


def _locked_folder(parent: Path) -> tuple[Path, IO[str]]:
    """A new folder and its lock. Another process may take a new folder for one that was left behind: then the next."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        lock = open(folder / LOCK, "a")  # noqa: SIM115  # it is held as long as the server lives
        if try_lock(lock.fileno()) and is_same(folder / LOCK, lock.fileno()):
            return folder, lock
        lock.close()


def _remove_abandoned(parent: Path) -> None:
    """Removes folders of this user whose lock nobody holds. One that has no lock yet is only just being made."""
    for folder in islice(parent.glob(f"{PREFIX}*"), MAX_LOOKED_AT):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            with open(folder / LOCK, "r+") as lock:
                if try_lock(lock.fileno()):
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue
