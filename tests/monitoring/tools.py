"""Programs that these tests need beside Python."""

import os
import shutil

import pytest


def tool(name: str) -> str:
    """Its path. Without it the test is skipped, in CI it fails."""
    found = shutil.which(name)
    if found is not None:
        return found
    if os.environ.get("CI"):
        pytest.fail(f"{name} is missing: make test-setup")
    pytest.skip(f"{name} is missing: make test-setup")
