"""What a test and the code of a commit tell each other: files in the folder in which that code runs."""

from collections.abc import Iterator
from pathlib import Path

BEGAN, MAY_END = "began", "may-end"
UNTIL_MAY_END = f'[time.sleep(0.05) for _ in range(600) if not os.path.exists("{MAY_END}")]'
WAITS = f'open("{BEGAN}", "w"); import os, sys, time; {UNTIL_MAY_END}'
"""Code that says that it began, and then waits."""


def began(work: Path) -> list[Path]:
    """The files that code has left in attempts below the trainer's folder."""
    return list(_found(work))


def let_end(work: Path) -> None:
    """Ends the wait of all that have begun."""
    for file in _found(work):
        file.with_name(MAY_END).touch()


def _found(work: Path) -> Iterator[Path]:
    return work.glob(f"**/tests/checkout/*/{BEGAN}")


def is_running(text: str) -> bool:
    """Whether some process has this text in its command. One that has ended has no command."""
    return any(text.encode() in _command(process) for process in Path("/proc").glob("[0-9]*"))


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except (ProcessLookupError, FileNotFoundError):
        return b""
