"""The base set: the trainer's own packages. They serve a commit without a lock, and lie behind those of a lock."""

import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import services.trainer
from services.trainer.packages.closure import parsed
from services.trainer.packages.lock import Lock, Pin
from services.trainer.packages.requirements import parse_requirements

OWN = "headgate"
TORCH = "torch"
CHILD = ("torch", "numpy", "onnx", "onnxruntime", "onnxscript", "safetensors", "protobuf", "obstore")
"""What Headgate's own code imports in the training process, in the versions that Headgate asks for."""
LOCKS = (
    Path(services.trainer.__file__).parents[2] / "requirements" / "trainer.txt",
    Path(sys.prefix) / "share" / "headgate" / "trainer.txt",
)
"""Where the lock of the base set is: in Headgate's repository, and in an installed Headgate."""


@dataclass(frozen=True, slots=True)
class Base:
    """Name -> version; name -> what it requires, as requirements; and name and version -> the hashes that it has."""

    versions: Mapping[str, str]
    required: Mapping[str, tuple[Requirement, ...]]
    hashes: Mapping[tuple[str, str], frozenset[str]]

    def has(self, pin: Pin) -> bool:
        """Whether it has exactly this package: the same version, of which the lock has the same hash."""
        return self.versions.get(pin.name) == pin.version and self.knows(pin)

    def leaves_out(self, pin: Pin) -> bool:
        """Whether this trainer does without a package of its lock: on a CPU it has not all libraries for a GPU."""
        return pin.name not in self.versions and self.knows(pin)

    def knows(self, pin: Pin) -> bool:
        """Whether Headgate's own lock has the same version with the same hash."""
        return not pin.hashes.isdisjoint(self.hashes.get((pin.name, pin.version), frozenset()))


@cache
def base_set() -> Base:
    """Of the Python that runs the trainer."""
    versions: dict[str, str] = {}
    required: dict[str, tuple[Requirement, ...]] = {}
    for each in distributions():
        name = canonicalize_name(each.name)
        if name not in versions:
            versions[name], required[name] = each.version, requirements_of(each)
    return Base(versions, required, hashes_of_the_base())


def requirements_of(each: Distribution) -> tuple[Requirement, ...]:
    extra = "trainer" if each.name == OWN else ""
    return tuple(
        requirement
        for requirement in parsed(each.requires or ())
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra})
    )


def hashes_of_the_base() -> dict[tuple[str, str], frozenset[str]]:
    lock = next((file for file in LOCKS if file.is_file()), None)
    if lock is None:
        return {}
    return {(pin.name, pin.version): pin.hashes for pin in parse_requirements(lock.read_bytes()).pins}


def provided(lock: Lock, base: Base) -> frozenset[str]:
    """The packages of the lock that need no installation, because they are the base set's own."""
    pins = lock.here()
    names = {name for name, pin in pins.items() if base.has(pin)}
    if TORCH in names:
        names |= {name for name, pin in pins.items() if base.leaves_out(pin)}
    return frozenset(names)


def misfits(lock: Lock, base: Base) -> Iterator[str]:
    """The packages of the lock with which Headgate's code in the training process would not work."""
    pins, named = lock.here(), set()
    for owner, requirement in needed_by_the_child(pins.keys(), base):
        pin = pins.get(canonicalize_name(requirement.name))
        if pin is None or pin.name in named or requirement.specifier.contains(pin.version, prereleases=True):
            continue
        named.add(pin.name)
        who = "Headgate's training process" if owner == OWN else f"{owner} {base.versions[owner]} of the base set"
        yield (
            f"{lock.at(pin.line)}: {who} needs {requirement.name}{requirement.specifier}, and the lock has"
            f" {pin.name}=={pin.version}; lock a version that fits"
        )


def needed_by_the_child(locked: Collection[str], base: Base) -> Iterator[tuple[str, Requirement]]:
    """Each package that requires something -> what it requires; what is locked brings its own."""
    names = set(locked)
    own = [each for each in base.required.get(OWN, ()) if canonicalize_name(each.name) in CHILD]
    yield from ((OWN, each) for each in own)
    waiting, seen = [name for name in CHILD if name not in names], set(names)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for requirement in base.required.get(name, ()):
            yield name, requirement
            waiting.append(canonicalize_name(requirement.name))
