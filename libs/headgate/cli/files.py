"""The files that a command line names: what may name one, and how one that cannot be read ends the command."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import typer

from headgate.cli.exit_codes import Exit, code_of_file
from headgate.cli.session import CommandFailed, usage
from headgate.domain.credentials import holds_credentials
from headgate.domain.repository import broken_download_rule
from headgate.shared_files import PRIVATE

STDIN = "-"
MAX_BYTES = 64 * 1024 * 1024
"""The largest file that a command reads as a whole, unless the command has a smaller limit."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def local_path(value: str | Path) -> Path:
    """A path on this machine, for use as a parser of typer. A URL is refused, and not shown: it may hold a password."""
    text = str(value)  # typer gives a default as it is
    if _URL.match(text) or (holds_credentials(text) and not Path(text).exists()):
        raise typer.BadParameter("this is a URL; expected a file or a folder on this machine")
    return Path(text)


def is_url(text: str) -> bool:
    """Whether an argument of `file_or_url` is a URL."""
    return _URL.match(text) is not None


def file_or_url(text: str) -> str:
    """A path on this machine or the URL of a download, for use as a parser of typer. A wrong URL is not shown."""
    if not is_url(text):
        return str(local_path(text))
    if rule := broken_download_rule(text):
        raise typer.BadParameter(f"this is a URL; expected a path on this machine, or {rule}")
    return text


def read_file(file: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a file, or of standard input for `-`.

    Raises CommandFailed: NOT_FOUND when the file does not exist, FAILED when it cannot be read, USAGE when it is a
    folder or larger than `max_bytes`.
    """
    try:
        if str(file) == STDIN:
            content = sys.stdin.buffer.read(max_bytes + 1)
        else:
            with file.open("rb") as opened:
                content = opened.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CommandFailed(f"there is no file {file}", Exit.NOT_FOUND) from error
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}", code_of_file(error)) from error
    if len(content) > max_bytes:
        usage(f"{file} has more than {max_bytes} bytes")
    return content


@contextmanager
def new_file(file: Path) -> Iterator[BinaryIO]:
    """A file to write, which its owner alone may read. It gets its name when it is whole; a failure leaves nothing.

    Raises CommandFailed when there is such a file, or when it cannot be written.
    """
    temporary = file.with_name(f".{file.name}.{os.urandom(4).hex()}")
    try:
        if file.exists():
            usage(f"{file} exists")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.link(temporary, file)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}", code_of_file(error)) from error
    finally:
        temporary.unlink(missing_ok=True)
