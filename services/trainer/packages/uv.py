"""Finds uv, which came with the trainer."""

import shutil
import sys
from pathlib import Path

from services.trainer.packages.lock import WrongLock


def uv_program() -> str:
    """Raises WrongLock when there is none: an attempt that needs it then fails, and the trainer goes on."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise WrongLock(["the trainer has no uv, which builds environments: pip install 'headgate[trainer]'"])
    return found
