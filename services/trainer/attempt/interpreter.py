"""Gives foreign code a Python of its own: the trainer's interpreter and packages, without Headgate's.

It is a virtual environment in the attempt's scratch directory. The trainer's packages are on its path but not in it, so
pip installs into the environment, removes nothing outside it, and what was installed ends with the attempt.
"""

import os
import site
import sys
import sysconfig
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, distributions
from importlib.util import find_spec
from pathlib import Path

import headgate
import services

OWN = ("headgate", "services")
"""The packages that a repository must not meet, because it may have some of these names itself."""
SCRIPT = """#!/usr/bin/env python
import sys
from {module} import {first}
if __name__ == "__main__":
    sys.exit({function}())
"""
"""It runs on the interpreter that comes first in PATH: that of the stage."""


@dataclass(frozen=True, slots=True)
class TrainerPackages:
    """The trainer's packages without Headgate's, as links: the folders to import from, and their programs."""

    directory: Path
    views: tuple[Path, ...]
    programs: Path


def link_packages(directory: Path) -> TrainerPackages:
    """Makes the links in this new directory. All interpreters of an attempt share them. Raises OSError."""
    views, programs = tuple(_views(directory)), directory / "bin"
    programs.mkdir()
    for entry in console_scripts():
        _write_script(programs, entry)
    return TrainerPackages(directory, views, programs)


def new_interpreter(environment: Path, packages: TrainerPackages) -> Path:
    """Makes the environment in this new directory, and returns its folder of programs. Raises OSError."""
    venv.EnvBuilder(symlinks=True).create(environment)
    paths = dict.fromkeys(["base", "platbase"], str(environment))
    installed = Path(sysconfig.get_path("purelib", "venv", paths))
    lines = [f"import site; site.addsitedir({str(view)!r})" for view in packages.views]
    (installed / "trainer.pth").write_text("\n".join([*lines, *pip_to_borrow()]) + "\n")
    return environment / "bin"


def _views(directory: Path) -> Iterator[Path]:
    """A folder of links for each folder of the trainer's packages."""
    for number, folder in enumerate(package_folders()):
        view = directory / str(number)
        view.mkdir(parents=True)
        for entry in folder.iterdir():
            if entry.name not in own_entries():
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


@cache
def console_scripts() -> tuple[EntryPoint, ...]:
    """The programs that the trainer's packages bring, and pip."""
    pip = [EntryPoint(name, "pip._internal.cli.main:main", "console_scripts") for name in pip_names()]
    found = [entry for each in distributions() if each.name != "headgate" for entry in each.entry_points]
    return (*(entry for entry in found if entry.group == "console_scripts"), *pip)


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


def own_folders() -> list[Path]:
    """Where Headgate's own packages are."""
    return [Path(path) for package in (headgate, services) for path in package.__path__]


def own_paths() -> str:
    """The import path of Headgate's own packages, as PYTHONPATH wants it."""
    return os.pathsep.join(dict.fromkeys(str(folder.parent) for folder in own_folders()))
