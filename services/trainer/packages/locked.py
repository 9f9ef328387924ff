"""The packages that a commit locks: found in its checkout, checked, and installed once for all attempts."""

import hashlib
import logging
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from services.trainer.packages.base import TORCH, Base, base_set, misfits, provided
from services.trainer.packages.imports import Import, missing
from services.trainer.packages.installing import PACKAGES, Installing
from services.trainer.packages.kept import Kept
from services.trainer.packages.lock import Lock, WrongLock, content_of
from services.trainer.packages.requirements import COMPILE, FILE, parse_requirements
from services.trainer.packages.uv_lock import FILE as UV_LOCK
from services.trainer.packages.uv_lock import read_uv_lock
from services.trainer.programs.interpreter import InstalledPackages
from services.trainer.programs.processes import OnLimit, untold

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LockedPackages:
    """How the trainer installs the packages of locks, and where it keeps them."""

    kept: Kept
    installing: Installing

    @contextmanager
    def installed(
        self, lock: Lock, log: Path, stop: threading.Event, on_limit: OnLimit = untold
    ) -> Iterator[InstalledPackages]:
        """The packages of the lock, for as long as they are used. Raises WrongLock and Stopped.

        `on_limit` hears of an installation. It hears of none while another trainer installs the same packages.
        """
        base = base_set()
        given = provided(lock, base)
        key = key_of(lock, given)
        log.write_text(f"headgate: {lock.file} has SHA-256 {lock.digest}, its environment is {key}\n")

        def install(into: Path) -> None:
            on_limit(self.installing.seconds)
            self.installing.install(lock, given, into, log, stop)

        with self.kept.use(key, install, stop) as place:
            with log.open("a") as lines:
                lines.write(f"headgate: the trainer's own packages among them: {len(given)} of {len(lock.here())}\n")
            replaced = frozenset(lock.here().keys() & base.versions.keys()) - given
            yield InstalledPackages(place / PACKAGES, replaced)


def find_lock(checkout: Path, scratch: Path, stop: threading.Event) -> Lock | None:
    """The lock of the commit, which is its uv.lock if there is one; None when it has none, or one without packages.

    `scratch` is a new directory for what uv writes. Raises WrongLock and Stopped.
    """
    content = content_of(checkout, UV_LOCK)
    if content is not None:
        lock = read_uv_lock(content, checkout, scratch, stop)
    elif (content := content_of(checkout, FILE)) is not None:
        lock = parse_requirements(content)
    else:
        return None
    return lock if lock.pins else None


def check_lock(lock: Lock, base: Base, imported: Mapping[str, Import]) -> None:
    """Raises WrongLock when the training process could not work with the packages of the lock."""
    faults = list(misfits(lock, base))
    if TORCH in imported and TORCH not in lock.here():
        version = base.versions.get(TORCH, "VERSION")
        faults.append(
            f"{lock.file}: it does not have torch, which {imported[TORCH].place()} imports."
            f" Add torch=={version}, which the trainer has already, and lock again: {lock.lock_it}."
            " Or remove the file: then the trainer's own packages serve"
        )
    if faults:
        raise WrongLock(faults)


def require_all(imported: Mapping[str, Import], folders: Iterable[Path], lock: Lock | None) -> None:
    """Raises WrongLock when the module imports what is in none of the folders."""
    faults = [
        f"{each.place()}: it imports {each.name}, which {_lack(each, lock)}"
        for each in missing(imported.values(), folders)
    ]
    if faults:
        raise WrongLock(faults)


def _lack(each: Import, lock: Lock | None) -> str:
    """Why the package is not there, and what to do."""
    if lock is None:
        return f"the trainer's base set does not have. Lock what the model needs: {COMPILE}"
    excluded = next(
        (pin for pin in lock.pins if pin.name == canonicalize_name(each.name) and not pin.counts(lock.environment)),
        None,
    )
    if excluded is not None:
        has_it = f"{lock.at(excluded.line)} has for another Python only: {excluded.marker} does not hold here"
        return f"{has_it}. Change this condition, and lock again: {lock.lock_it}"
    return f"neither {lock.file} nor the trainer's base set has. Add its package, and lock again: {lock.lock_it}"


def interpreter() -> str:
    """The kind of Python that packages are installed for."""
    return f"{sys.implementation.cache_tag}-{sysconfig.get_platform()}"


def key_of(lock: Lock, given: frozenset[str]) -> str:
    """The digest that names an environment: of its packages, and of the Python that they are for."""
    packages = (pin.requirement() for name, pin in lock.here().items() if name not in given)
    content = "\n".join([interpreter(), *sorted(packages), "", *sorted(given)])
    return hashlib.sha256(content.encode()).hexdigest()
