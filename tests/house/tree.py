"""The files that the house rules check: those that git tracks, and the Python files that people wrote."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED = (ROOT / "libs/headgate/v1", ROOT / "libs/headgate/inference")


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def sources() -> list[Path]:
    """Every hand-written Python file of libs and services, also untracked ones."""
    found = [*ROOT.glob("libs/headgate/**/*.py"), *ROOT.glob("services/**/*.py")]
    return sorted(path for path in found if not any(folder in path.parents for folder in GENERATED))


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
