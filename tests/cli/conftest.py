"""Fixtures of the command line's tests."""

from collections.abc import Iterator
from functools import cache

import pytest
import typer.main
import typer.testing


@pytest.fixture(scope="session", autouse=True)
def commands_made_once() -> Iterator[None]:
    """A process makes its commands once. The tests run hundreds in one, and that took a third of the CPU time."""
    made = cache(typer.main.get_command)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(typer.main, "get_command", made)
        patched.setattr(typer.testing, "_get_command", made)
        yield
