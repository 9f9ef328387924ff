"""Asks the advisories of the Python package index about every package that the lock files name: `make check` runs it.

A package with a known vulnerability fails the check. Where no advisories can be read, as behind a mirror that has none,
a line says how many packages nobody was asked about, and the check goes on: it must also work without a network.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

LOCKS = ("dev", "uv", "build")
"""The images take their versions from dev.txt, so these are all versions that ship."""
AUDIT_SECONDS = 120.0
SOCKET_SECONDS = 5
ROOT = Path(__file__).resolve().parent.parent


class Audit(NamedTuple):
    asked: int
    unknown: int
    """The packages about which nobody could be asked."""
    vulnerable: tuple[str, ...]
    """A line for each vulnerability: package, version, advisory, and the versions that mend it."""


def read(report: str) -> Audit:
    """Reads the JSON report of pip-audit. Raises ValueError when it is none."""
    packages = json.loads(report)["dependencies"]
    asked = [each for each in packages if "skip_reason" not in each]
    lines = tuple(
        f"{each['name']} {each['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'no version'}"
        for each in asked
        for found in each["vulns"]
    )
    return Audit(len(asked), len(packages) - len(asked), lines)


def ask() -> str:
    """The report of pip-audit, or nothing when it could not ask in time."""
    locks = [f"--requirement={ROOT / 'requirements' / f'{name}.txt'}" for name in LOCKS]
    flags = [
        "--disable-pip",
        "--require-hashes",
        "--format=json",
        "--progress-spinner=off",
        f"--timeout={SOCKET_SECONDS}",
    ]
    command = [sys.executable, "-m", "pip_audit", *flags, *locks]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=AUDIT_SECONDS, check=False).stdout
    except subprocess.TimeoutExpired:
        return ""


def main() -> int:
    """Prints what was found. Returns the exit code: 1 when a package is vulnerable."""
    try:
        found = read(ask())
    except ValueError:
        print("audit: the advisories could not be read, so no package was asked about")
        return 0
    for line in found.vulnerable:
        print(f"audit: {line}", file=sys.stderr)
    if found.unknown:
        print(f"audit: {found.unknown} packages could not be asked about, because the package index has no advisories")
    if found.asked:
        print(f"audit: {found.asked} packages, {len(found.vulnerable)} known vulnerabilities")
    return 1 if found.vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
