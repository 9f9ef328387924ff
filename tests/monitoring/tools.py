"""The programs that these tests need beside Python."""

import os
import shutil

import pytest


def tool(name: str) -> str:
    """The path of the program. Without the program the test is skipped, or fails in CI."""
    found = shutil.which(name)
    if found is not None:
        return found
    if os.environ.get("CI"):
        pytest.fail(f"{name} is missing: make test-setup")
    pytest.skip(f"{name} is missing: make test-setup")
