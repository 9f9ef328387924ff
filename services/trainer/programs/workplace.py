"""Where the code of a commit runs: its environment variables, its Python, its home, and what it may do with files.

The tests and the training each have one, so what the tests install or write does not reach the training.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from services.trainer.programs.confinement import Confinement
from services.trainer.programs.interpreter import TrainerPackages, new_interpreter, own_folders, package_folders
from services.trainer.programs.orphans import MARK

PASSED_ON = ("LANG", "LC_ALL", "TZ", "SSL_CERT_FILE")
"""The variables that foreign code gets as the trainer has them. Any other may hold a secret."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """The directory of one stage of an attempt, and how foreign code runs in it."""

    directory: Path
    environment: dict[str, str]
    confinement: Confinement


def workplace(
    scratch: Path, stage: str, packages: TrainerPackages, hidden: Iterable[Path], kept: Iterable[Path] = ()
) -> Workplace:
    """Makes the directory of a stage in the attempt's scratch directory.

    `hidden` paths cannot be read there, and `kept` ones cannot be changed.
    """
    directory = scratch / stage
    directory.mkdir()
    programs = new_interpreter(directory / "environment", packages)
    environment = foreign_environment(directory)
    environment["PATH"] = os.pathsep.join([str(programs), str(packages.programs), environment["PATH"]])
    environment["VIRTUAL_ENV"] = str(programs.parent)
    read_only = [sys.prefix, sys.base_prefix, *package_folders(), *own_folders(), *packages.read_only(), *kept]
    confinement = Confinement(
        (str(directory), str(scratch / "checkout")), tuple(map(str, read_only)), tuple(map(str, hidden))
    )
    return Workplace(directory, environment, confinement)


def foreign_environment(directory: Path) -> dict[str, str]:
    """The environment variables of a foreign program: a home of its own, and no setting of Headgate."""
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    home, temporary = directory / "home", directory / "tmp"
    for each in (home, temporary):
        each.mkdir(exist_ok=True)
    return passed_on | {
        "PATH": os.pathsep.join(path for path in search_path() if not is_own_program_folder(path)),
        "HOME": str(home),
        MARK: str(temporary),
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
    }


def search_path() -> list[str]:
    return os.environ.get("PATH", os.defpath).split(os.pathsep)


def is_own_program_folder(path: str) -> bool:
    """Whether the programs in this folder, such as pip, would work on the trainer's own packages."""
    return sys.prefix != sys.base_prefix and Path(path) in (Path(sys.executable).parent, Path(sys.prefix) / "bin")
