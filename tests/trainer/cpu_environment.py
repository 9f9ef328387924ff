"""This environment less what requirements/trainer-cpu.txt leaves out."""

import os
import shutil
import sys
import sysconfig
import venv
from importlib.metadata import files
from pathlib import Path

from tests.house.test_locks import pins
from tests.house.tree import ROOT

SITE = Path(sysconfig.get_path("purelib"))


def packages(lock: str) -> set[str]:
    return {head.partition("==")[0] for head in pins(ROOT / "requirements" / f"{lock}.txt")}


def left_out() -> set[Path]:
    """The files of every package that the lock for a CPU lacks, as they are installed here."""
    found = [files(name) or [] for name in packages("trainer") - packages("trainer-cpu")]
    return {Path(str(file)) for names in found for file in names}


def link(source: str, target: str) -> None:
    """Without a copy where the folders share a file system: an environment has gigabytes."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def site_of(environment: Path) -> Path:
    return environment / SITE.relative_to(sys.prefix)


def make(folder: Path) -> Path:
    """Makes the environment in this folder; its Python."""
    venv.create(folder, symlinks=True)
    site = site_of(folder)
    site.rmdir()
    gone = left_out()
    theirs = {file.parent for file in gone}

    def skip(directory: str, names: list[str]) -> set[str]:
        place = Path(directory).relative_to(SITE)
        return {name for name in names if place / name in gone or (name == "__pycache__" and place in theirs)}

    shutil.copytree(SITE, site, copy_function=link, ignore=skip)
    for each in sorted((site / place for place in theirs), reverse=True):
        remove_empty(each, site)
    return folder / "bin" / "python"


def remove_empty(folder: Path, end: Path) -> None:
    """Removes the folder and those above it up to `end`, as far as nothing is in them: an empty one can be imported."""
    while folder != end and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
