"""Where the code of a commit runs: its environment variables, its Python, its home, and what it may do with files.

The tests and the training each have one, so what the tests install or write does not reach the training.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from services.trainer.programs.confinement import Confinement
from services.trainer.programs.interpreter import TrainerPackages, new_interpreter, own_folders, package_folders
from services.trainer.programs.jailed import Jailed, Jailing
from services.trainer.programs.orphans import MARK

PASSED_ON = ("LANG", "LC_ALL", "TZ", "SSL_CERT_FILE")
"""The variables that foreign code gets as the trainer has them. Any other may hold a secret."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """The directory of one stage of an attempt, and how foreign code runs in it."""

    directory: Path
    environment: dict[str, str]
    confinement: Confinement | Jailed

    def give(self, *folders: Path) -> None:
        """Gives these folders, or its own, to the code that runs here."""
        if isinstance(self.confinement, Jailed):
            for folder in folders or (self.directory,):
                self.confinement.give(folder)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What lies around the directory of a stage.

    In a jail nothing is there but what is `kept`, which cannot be changed, and what is `writable`. Without one all is
    there but what is `hidden`.
    """

    kept: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    jailing: Jailing | None = None


def workplace(directory: Path, packages: TrainerPackages, around: Surroundings) -> Workplace:
    """Makes the directory of a stage, unless it is there. `give` has to follow when all its files are there."""
    directory.mkdir(exist_ok=True)
    programs = new_interpreter(directory / "environment", packages)
    environment = foreign_environment(directory)
    environment["PATH"] = os.pathsep.join([str(programs), str(packages.programs), environment["PATH"]])
    environment["VIRTUAL_ENV"] = str(programs.parent)
    python = (Path(sys.prefix), Path(sys.base_prefix), *package_folders(), *own_folders(), *packages.read_only())
    return Workplace(directory, environment, _confinement(around, (directory, *around.writable), python))


def _confinement(around: Surroundings, writable: tuple[Path, ...], python: tuple[Path, ...]) -> Confinement | Jailed:
    read_only = (*python, *around.kept)
    if around.jailing is not None:
        return Jailed(around.jailing, read_only, writable)
    return Confinement(tuple(map(str, writable)), tuple(map(str, read_only)), tuple(map(str, around.hidden)))


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
