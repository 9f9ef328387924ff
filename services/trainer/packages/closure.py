"""Whether a lock has everything that its packages need. Pure: it reads what was installed, and runs none of it."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from services.trainer.packages.lock import Lock


@dataclass(frozen=True, slots=True)
class Installed:
    """What an installed package says of itself: the packages that it requires, and the versions of Python."""

    requires: Collection[str]
    python: str = ""


@dataclass(frozen=True, slots=True)
class Needed:
    """A package, and another one that it requires."""

    name: str
    requirement: Requirement


def unmet(lock: Lock, installed: Mapping[str, Installed]) -> Iterator[str]:
    """What does not fit or is not there, a sentence for each. `installed` has the packages by name."""
    pins, python = lock.here(), lock.environment["python_full_version"]
    for name, package in installed.items():
        if name in pins and not runs_on(package, python):
            owner = pins[name]
            where = f"{lock.at(owner.line)}: {owner.name}=={owner.version} is for Python {package.python}"
            yield f"{where}, and the trainer has {python}. Lock a version for it: {lock.lock_it}"
    for needed in needs(lock, {name: package.requires for name, package in installed.items()}):
        pin, wanted = pins.get(canonicalize_name(needed.requirement.name)), needed.requirement
        owner = pins[needed.name]
        where = f"{lock.at(owner.line)}: {owner.name}=={owner.version} needs {wanted.name}{wanted.specifier}"
        if pin is None:
            rule = "Every package stands in it, with its hashes"
            yield f"{where}, which {lock.file} does not have. {rule}: {lock.lock_it}"
        elif not wanted.specifier.contains(pin.version, prereleases=True):
            yield f"{where}, and line {pin.line} has {pin.version}. Lock versions that fit each other: {lock.lock_it}"


def runs_on(package: Installed, python: str) -> bool:
    try:
        return SpecifierSet(package.python).contains(python, prereleases=True)
    except InvalidSpecifier:
        return True


def needs(lock: Lock, requirements: Mapping[str, Collection[str]]) -> Iterator[Needed]:
    """What the installed packages require here, with the extras that the lock and other packages ask for."""
    required = {name: parsed(texts) for name, texts in requirements.items() if name in lock.here()}
    extras = {name: set(pin.extras) for name, pin in lock.here().items()}
    found: dict[tuple[str, str], Needed] = {}
    waiting = list(required)
    while waiting:
        name = waiting.pop()
        for each in required.get(name, ()):
            if not counts(each, extras[name], lock.environment):
                continue
            found[name, str(each)] = Needed(name, each)
            other = canonicalize_name(each.name)
            if other in extras and not each.extras <= extras[other]:
                extras[other] |= each.extras
                waiting.append(other)
    yield from sorted(found.values(), key=lambda needed: (needed.name, str(needed.requirement)))


def counts(requirement: Requirement, extras: Collection[str], environment: Mapping[str, str]) -> bool:
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras))


def parsed(texts: Iterable[str]) -> tuple[Requirement, ...]:
    """Without those that no tool could read."""
    found = []
    for text in texts:
        with suppress(InvalidRequirement):
            found.append(Requirement(text))
    return tuple(found)
