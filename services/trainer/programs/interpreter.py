"""Gives foreign code a Python of its own: the trainer's interpreter and packages, without Headgate's.

It is a virtual environment in the attempt's scratch directory. The trainer's packages are on its path but not in it, so
pip installs into the environment, removes nothing outside it, and what was installed ends with the attempt. The
packages of a commit's lock come first on the path, and those that they replace are left out.
"""

import os
import site
import sys
import sysconfig
import venv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from packaging.utils import canonicalize_name

import headgate
import services

OWN = ("headgate", "services")
"""The packages that a repository must not meet, because it may have some of these names itself."""
MAX_SETS = 16
"""How many sets of programs are remembered."""
SCRIPT = """#!/usr/bin/env python
import sys
from {module} import {first}
if __name__ == "__main__":
    sys.exit({function}())
"""
"""It runs on the interpreter that comes first in PATH: that of the stage."""


@dataclass(frozen=True, slots=True)
class InstalledPackages:
    """What a commit's lock has installed into a folder, and the trainer's packages that it replaces, by name."""

    directory: Path
    replaced: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TrainerPackages:
    """The packages without Headgate's: the folders to import from, and their programs.

    Those of the trainer are links. Those of a lock are where they are kept.
    """

    directory: Path
    views: tuple[Path, ...]
    programs: Path
    installed: InstalledPackages | None = None

    def read_only(self) -> list[Path]:
        return [self.directory, *([self.installed.directory] if self.installed else [])]


def link_packages(directory: Path, installed: InstalledPackages | None = None) -> TrainerPackages:
    """Makes the links in this new directory. All interpreters of an attempt share them. Raises OSError."""
    replaced = installed.replaced if installed else frozenset()
    views, programs = tuple(_views(directory, entries_of(replaced))), directory / "bin"
    programs.mkdir()
    if installed:
        views = (installed.directory, *views)
        for entry in console_scripts_in(installed.directory):
            _write_script(programs, entry)
        _link_programs(installed.directory / "bin", programs)
    for entry in console_scripts(replaced):
        _write_script(programs, entry)
    return TrainerPackages(directory, views, programs, installed)


def new_interpreter(environment: Path, packages: TrainerPackages) -> Path:
    """Makes the environment in this new directory, and returns its folder of programs. Raises OSError."""
    venv.EnvBuilder(symlinks=True).create(environment)
    paths = dict.fromkeys(["base", "platbase"], str(environment))
    installed = Path(sysconfig.get_path("purelib", "venv", paths))
    lines = [f"import site; site.addsitedir({str(view)!r})" for view in packages.views]
    (installed / "trainer.pth").write_text("\n".join([*lines, *pip_to_borrow()]) + "\n")
    return environment / "bin"


def _views(directory: Path, left_out: frozenset[str]) -> Iterator[Path]:
    """A folder of links for each folder of the trainer's packages."""
    for number, folder in enumerate(package_folders()):
        view = directory / str(number)
        view.mkdir(parents=True)
        for entry in folder.iterdir():
            if entry.name not in own_entries() | left_out:
                (view / entry.name).symlink_to(entry)
        yield view


def package_folders() -> list[Path]:
    """Where the trainer's packages are installed."""
    folders = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    return [Path(folder) for folder in dict.fromkeys(folders) if Path(folder).is_dir()]


@cache
def own_entries() -> frozenset[str]:
    """What Headgate's own distribution has put into the folder of packages."""
    try:
        files = distribution("headgate").files or []
    except PackageNotFoundError:
        files = []
    return frozenset([*OWN, *(file.parts[0] for file in files)])


def entries_of(packages: frozenset[str]) -> frozenset[str]:
    """What these packages of the trainer have put into their folder. A folder that others share stays."""
    found = set()
    for each in distributions() if packages else ():
        if canonicalize_name(each.name) in packages:
            for name in {file.parts[0] for file in each.files or []}:
                place = Path(str(each.locate_file(name)))
                if place.is_file() or name.endswith(".dist-info") or (place / "__init__.py").is_file():
                    found.add(name)
    return frozenset(found)


def pip_to_borrow() -> list[str]:
    """Python's own copy of pip, where the trainer has none installed: a container's has none."""
    try:
        distribution("pip")
    except PackageNotFoundError:
        ensurepip = find_spec("ensurepip")  # some distributions leave it out
        if ensurepip is not None and ensurepip.origin is not None:
            bundled = Path(ensurepip.origin).parent / "_bundled"
            return [str(wheel) for wheel in sorted(bundled.glob("pip-*.whl"))[-1:]]
    return []


@lru_cache(maxsize=MAX_SETS)
def console_scripts(left_out: frozenset[str] = frozenset()) -> tuple[EntryPoint, ...]:
    """The programs that the trainer's packages bring, without those of some packages, and pip."""
    pip = [EntryPoint(name, "pip._internal.cli.main:main", "console_scripts") for name in pip_names()]
    left_out |= {"headgate", "pip"}  # a pip that the trainer has may be another one than the borrowed
    return (*scripts_of(each for each in distributions() if canonicalize_name(each.name) not in left_out), *pip)


def console_scripts_in(directory: Path) -> tuple[EntryPoint, ...]:
    return tuple(scripts_of(distributions(path=[str(directory)])))


def scripts_of(packages: Iterable[Distribution]) -> Iterator[EntryPoint]:
    return (entry for each in packages for entry in each.entry_points if entry.group == "console_scripts")


def pip_names() -> list[str]:
    return ["pip", "pip3", f"pip{sys.version_info.major}.{sys.version_info.minor}"]


def _write_script(programs: Path, entry: EntryPoint) -> None:
    script = programs / entry.name
    if Path(entry.name).name != entry.name or script.exists() or not entry.attr:
        return
    text = SCRIPT.format(
        module=entry.module,
        first=entry.attr.partition(".")[0],
        function=entry.attr,
    )
    script.write_text(text)
    script.chmod(0o755)


def _link_programs(installed: Path, programs: Path) -> None:
    """The programs of a lock that are no Python, such as those that a wheel brings compiled.

    The others begin with the path of the trainer's Python, which does not have the packages of the lock.
    """
    for program in installed.iterdir() if installed.is_dir() else ():
        link = programs / program.name
        if program.is_file() and not link.exists() and not _is_script(program):
            link.symlink_to(program)


def _is_script(program: Path) -> bool:
    with program.open("rb") as content:
        return content.read(2) == b"#!"


def own_folders() -> list[Path]:
    """Where Headgate's own packages are."""
    return [Path(path) for package in (headgate, services) for path in package.__path__]


def own_paths() -> str:
    """The import path of Headgate's own packages, as PYTHONPATH wants it."""
    return os.pathsep.join(dict.fromkeys(str(folder.parent) for folder in own_folders()))
