"""Says in words why uv refused a lock, at which of its lines, and what to do. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from services.trainer.packages.lock import Lock

MAX_QUOTED_LINES = 4
"""The most lines of uv that a reason quotes."""

PACKAGE = r"`?(?P<name>[A-Za-z0-9][\w.-]*?)(?:\[[^\]]*\])?"
THE_INDEX = "the trainer's package index"


@dataclass(frozen=True, slots=True)
class Fault:
    sign: str
    """What uv prints, as a regular expression. Its group `name` is the package."""
    words: str
    """{name} is the package, {file} the lock and {lock_it} the command that writes the lock."""


FAULTS = (
    Fault(
        rf"Hash mismatch for {PACKAGE}==",
        f"what {THE_INDEX} has of {{name}} has another hash than the lock. Lock it again: {{lock_it}}",
    ),
    Fault(
        rf"{PACKAGE} was not found in",
        f"{THE_INDEX} has no package {{name}}. Check how it is spelled, or ask the trainer's operator for it",
    ),
    Fault(
        rf"there (?:is|are) no versions? of {PACKAGE}==",
        f"{THE_INDEX} does not have this version of {{name}}. Lock one that it has: {{lock_it}}",
    ),
    Fault(
        rf"{PACKAGE}==\S+ has no (?:usable )?wheels? with a matching platform",
        "{name} has no wheel for this system, only for others. Lock a version that has one, or leave the package out",
    ),
    Fault(
        rf"{PACKAGE}==\S+ has no (?:usable )?wheels? with a matching",
        "{name} has no wheel for this Python, only for others. Lock a version that has one: {lock_it}",
    ),
    Fault(
        rf"{PACKAGE}==\S+ has no usable wheels",
        "{name} comes as source only, and no package's code runs while an environment is built."
        " Lock a version that has a wheel: {lock_it}",
    ),
    Fault(
        rf"Python version \(.*?\) does not satisfy Python\S* and {PACKAGE}==",
        "{name} is for other versions of Python. Lock a version for this one: {lock_it}",
    ),
    Fault(r"No space left on device", "the trainer's disk is full. Its operator makes room; then publish again"),
    Fault(
        r"Failed to (?:fetch|download)|error sending request|Failed to read",
        f"{THE_INDEX} does not answer. Its operator sets it with HEADGATE_PACKAGE_INDEX; then publish again",
    ),
)


def explained(lock: Lock, printed: str) -> str:
    """The reason, with its line in the lock where uv names a package of it, and with what uv itself says."""
    flat = " ".join(printed.split())
    for fault in FAULTS:
        if found := re.search(fault.sign, flat):
            name = found.groupdict().get("name") or ""
            place = at(lock, name)
            words = fault.words.format(name=name, file=lock.file, lock_it=lock.lock_it)
            return f"{place}: {words}{quoted(printed)}"
    return f"{lock.file}: the packages cannot be installed{quoted(printed)}"


def at(lock: Lock, name: str) -> str:
    """The lock and the line of this package, if it is one of the lock's."""
    pin = next((pin for pin in lock.pins if pin.name == re.sub(r"[-_.]+", "-", name).lower()), None)
    return f"{lock.at(pin.line)}, {pin.name}=={pin.version}" if pin else lock.file


def quoted(printed: str) -> str:
    lines = list(lines_of_errors(printed))[:MAX_QUOTED_LINES]
    return f" (uv: {' '.join(lines)})" if lines else ""


def lines_of_errors(printed: str) -> Iterator[str]:
    """What uv printed from its first error on, without empty lines."""
    seen = False
    for line in printed.splitlines():
        seen = seen or line.startswith("error:")
        if seen and line.strip():
            yield line.strip()
