"""Runs git in a folder of this machine."""

import subprocess
from pathlib import Path

STATUS = ("status", "--porcelain", "-z", "--no-renames")
"""With -z a name is as it is on disk. Without rename detection each entry is one name."""


class GitFailed(Exception):
    """The last line that git printed; or, when `has_run` is false, why it could not be run to its end."""

    def __init__(self, reason: str, has_run: bool) -> None:
        super().__init__(reason)
        self.has_run = has_run


def run_git(folder: Path, *arguments: str, timeout_seconds: float) -> str:
    """What git prints on stdout. Raises GitFailed."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=timeout_seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitFailed(str(error), has_run=False) from error
    if ended.returncode != 0:
        last = ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"]
        raise GitFailed(last[-1], has_run=True)
    return ended.stdout


def changed_names(status: str) -> list[str]:
    """The files that differ from the last commit, in what git printed for STATUS."""
    return [entry[3:] for entry in status.split("\0") if entry]
