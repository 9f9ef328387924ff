"""Gives the names of Headgate's packages back to the repository, which may have packages of these names itself."""

import os
from collections.abc import MutableMapping
from pathlib import Path
from types import ModuleType

import headgate
import services
from services.trainer.job import OWN_PATHS

OWN = (headgate, services)


def give_names_back(
    modules: MutableMapping[str, ModuleType], path: list[str], environment: MutableMapping[str, str]
) -> None:
    """Takes Headgate's packages out of the loaded modules and of the import path.

    What is loaded goes on working, because its functions keep what they have imported. So everything must be loaded.
    """
    for name in [name for name in modules if name.partition(".")[0] in {package.__name__ for package in OWN}]:
        del modules[name]
    own = {Path(folder).resolve().parent for package in OWN for folder in package.__path__}
    handed_over = environment.pop(OWN_PATHS, "").split(os.pathsep)
    path[:] = [each for each in path if each not in handed_over or Path(each).resolve() not in own]
