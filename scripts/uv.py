"""Runs uv from this Python environment with the user's pip settings (index, certificates, timeout)."""

import os
import subprocess
import sys
from pathlib import Path

# Headgate itself may not be installed yet.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "libs"))

from headgate.runtime.uv_settings import pip_settings, uv_settings


def main() -> None:
    pip = [sys.executable, "-m", "pip", "config", "list"]
    listing = subprocess.run(pip, capture_output=True, text=True, check=True).stdout
    uv = Path(sys.executable).parent / "uv"
    os.execve(uv, [str(uv), *sys.argv[1:]], {**os.environ, **uv_settings(pip_settings(listing), os.environ)})


if __name__ == "__main__":
    main()
