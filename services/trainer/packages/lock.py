"""What a commit locks: packages with versions and hashes, each at a line of a file. A fault names its line."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packaging.markers import Marker, default_environment

MAX_LOCK_BYTES = 8 * 1024**2
MAX_PINS = 2000
MAX_FAULTS = 10
"""The most faults that one report names."""


class WrongLock(Exception):
    """The lock cannot be used. The text names each line and what to write instead."""

    def __init__(self, faults: list[str]) -> None:
        more = [f"and {len(faults) - MAX_FAULTS} more faults"] if len(faults) > MAX_FAULTS else []
        super().__init__("\n".join([*faults[:MAX_FAULTS], *more]))


@dataclass(frozen=True, slots=True)
class Pin:
    """One package of the lock at one line. `hashes` are as in `sha256:...`."""

    line: int
    name: str
    """In its normal form: small letters and hyphens."""
    version: str
    hashes: frozenset[str]
    extras: frozenset[str] = frozenset()
    marker: Marker | None = None

    def requirement(self) -> str:
        """This pin as a line that uv and pip read."""
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        marker = f" ; {self.marker}" if self.marker else ""
        return (
            f"{self.name}{extras}=={self.version}{marker} {' '.join(f'--hash={each}' for each in sorted(self.hashes))}"
        )

    def counts(self, environment: Mapping[str, str]) -> bool:
        """Whether the package is for a Python such as this one."""
        return self.marker is None or self.marker.evaluate(dict(environment))


@dataclass(frozen=True, slots=True)
class Lock:
    file: str
    digest: str
    """SHA-256 of the file."""
    pins: tuple[Pin, ...]
    lock_it: str
    """The command that writes the file."""
    environment: Mapping[str, str] = field(default_factory=lambda: environment_of_this_python())
    """Of the Python that the packages are for, as markers name it."""

    def here(self) -> dict[str, Pin]:
        """The packages for this Python, by name."""
        return {pin.name: pin for pin in self.pins if pin.counts(self.environment)}

    def at(self, line: int) -> str:
        return f"{self.file}, line {line}"


def environment_of_this_python() -> dict[str, str]:
    return {name: str(value) for name, value in default_environment().items()}


def content_of(checkout: Path, name: str) -> bytes | None:
    """A file of the commit, no more of it than a lock may have; None when there is none. Raises WrongLock."""
    path = Path(os.path.realpath(checkout / name))
    if not path.is_relative_to(checkout.resolve()):
        raise WrongLock([f"{name} leads out of the repository; commit the file itself"])
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(MAX_LOCK_BYTES + 1)


def text_of(file: str, content: bytes) -> str:
    """Raises WrongLock."""
    if len(content) > MAX_LOCK_BYTES:
        raise WrongLock([f"{file} has more than {MAX_LOCK_BYTES} bytes; lock fewer packages"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WrongLock(
            [f"{file} is not UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8"]
        ) from error


def checked(lock: Lock, faults: list[str]) -> Lock:
    """The lock, when its lines have no faults and it has none as a whole. Raises WrongLock with every fault."""
    if found := [*faults, *conflicts(lock)]:
        raise WrongLock(found)
    if len(lock.pins) > MAX_PINS:
        raise WrongLock([f"{lock.file} has {len(lock.pins)} packages; the limit is {MAX_PINS}. Lock fewer packages"])
    return lock


def conflicts(lock: Lock) -> Iterator[str]:
    """What is wrong with packages that are named twice for this Python."""
    seen: dict[str, Pin] = {}
    for pin in lock.pins:
        if not pin.counts(lock.environment):
            continue
        other = seen.setdefault(pin.name, pin)
        if other.version != pin.version:
            yield (
                f"{lock.at(pin.line)}: {pin.name}=={pin.version}, and line {other.line} has {other.version};"
                " keep one of them"
            )
