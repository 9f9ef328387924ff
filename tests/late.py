"""Modules that take seconds to load, and that few tests need.

Each worker of a parallel run reads every test file. A file that imported such a module at its head would make all
workers load it.
"""

import sys
from importlib import import_module
from typing import Any

import pytest

SLOW = {"torch", "sklearn", "scipy"}
LOADED_BY_COLLECTION = pytest.StashKey[set[str]]()
"""Which of the slow modules this process had loaded when it had read all test files."""


def note_loaded(config: pytest.Config) -> None:
    config.stash[LOADED_BY_COLLECTION] = SLOW & sys.modules.keys()


class Late:
    """The module of this name. Its first use loads it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # pytest asks every object of a test file for marks of its own
            raise AttributeError(attribute)
        return getattr(import_module(self._name), attribute)
