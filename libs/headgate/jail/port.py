"""What a jail is asked for: a command, what it may read and write, its limits, and whether it may use the network."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

MIB, GIB = 1024**2, 1024**3


@dataclass(frozen=True, slots=True)
class JailLimits:
    """What one jail may use. Time is limited by whoever runs the command."""

    memory_bytes: int = 64 * GIB
    """Of the private memory of one process."""
    processes: int = 512
    """Processes and threads at one time."""
    file_bytes: int = 16 * GIB
    """The largest file."""
    temporary_bytes: int = GIB
    """Of each of /tmp and /dev/shm, which are memory."""
    folder_bytes: int = 32 * GIB
    """Of all files in the writable folders together."""
    cpus: int = 0
    """How many processors its threads share; 0 for all."""


@dataclass(frozen=True, slots=True)
class Confined:
    """A command and what it gets. Paths are the same inside as outside; what is not named is not there."""

    command: Sequence[str]
    directory: Path
    """In which the command starts."""
    environment: Mapping[str, str]
    read_only: Sequence[Path]
    writable: Sequence[Path]
    limits: JailLimits
    has_network: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """The command that enters the jail, and the descriptors that it inherits."""

    command: Sequence[str]
    descriptors: Sequence[int] = ()


class Jail(Protocol):
    """An engine that runs commands apart from the machine."""

    def problem(self) -> str:
        """Why nothing can be run in it here, with what to do; empty when it works."""

    def prepared(self, confined: Confined) -> AbstractContextManager[Prepared]:
        """What starts the command. It holds until the command was started."""

    def give(self, folder: Path) -> None:
        """Makes the code in the jail the owner of the folder and of all that is in it. No foreign code runs in it."""
