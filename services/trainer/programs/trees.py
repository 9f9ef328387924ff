"""Walks and removes folders that foreign code has filled. They may be of any depth, so nothing recurses."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

MAX_DEPTH = 200
"""Of folders in each other. No path of a folder is then too long for the system."""
OPENED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class TooDeep(Exception):
    """Folders lie in each other more than MAX_DEPTH deep."""


def files_in(directory: Path) -> Iterator[os.stat_result]:
    """What lies below the directory and is no folder. What vanishes or cannot be read meanwhile is left out.

    Raises TooDeep.
    """
    waiting = [(str(directory), 0)]
    while waiting:
        folder, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise TooDeep
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, depth + 1))
                    else:
                        yield os.lstat(entry.path)
        except OSError:
            continue


def remove_tree(directory: Path) -> None:
    """Removes the directory with all in it, however deep. No foreign code runs in it. Raises OSError."""
    top = os.open(directory, OPENED)
    try:
        number = 0
        while found := os.listdir(top):
            for name in found:
                number = _emptied(top, name, number)
    finally:
        os.close(top)
    directory.rmdir()


def _emptied(top: int, name: str, number: int) -> int:
    """Removes what has this name in the top folder. The folders in it move up to there, under the next numbers."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=top)
        return number
    os.chmod(name, stat.S_IRWXU, dir_fd=top)
    folder = os.open(name, OPENED, dir_fd=top)
    try:
        for each in os.listdir(folder):
            if stat.S_ISDIR(os.stat(each, dir_fd=folder, follow_symlinks=False).st_mode):
                os.chmod(each, stat.S_IRWXU, dir_fd=folder)
                number = _moved_up(top, folder, each, number)
            else:
                os.unlink(each, dir_fd=folder)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=top)
    return number


def _moved_up(top: int, folder: int, name: str, number: int) -> int:
    while True:
        number += 1
        try:
            os.stat(str(number), dir_fd=top, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(name, str(number), src_dir_fd=folder, dst_dir_fd=top)
            return number
