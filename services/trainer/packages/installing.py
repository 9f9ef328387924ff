"""Builds an environment from a lock with uv: from wheels alone, so that no package's code runs meanwhile.

The operator decides where packages come from: by HEADGATE_PACKAGE_INDEX, by uv's own variables, or by pip's settings.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

from packaging.utils import canonicalize_name

from headgate.runtime.uv_settings import pip_settings, uv_settings
from services.trainer.packages.closure import Installed, unmet
from services.trainer.packages.explanation import explained
from services.trainer.packages.lock import Lock, WrongLock
from services.trainer.packages.uv import uv_program
from services.trainer.programs import processes
from services.trainer.programs.sizes import grown_too_large
from services.trainer.programs.workplace import foreign_environment

PACKAGES = "packages"
"""The folder of an environment from which its code imports."""
GIB = 1024**3
PIP_SECONDS = 60.0
OPERATORS = re.compile(
    r"UV_(DEFAULT_INDEX|INDEX|INDEX_\w+|EXTRA_INDEX_URL|FIND_LINKS|NO_INDEX|OFFLINE|INSECURE_HOST|NATIVE_TLS|SYSTEM_CERTS"
    r"|HTTP_\w+|CONCURRENT_\w+|KEYRING_PROVIDER)|SSL_CERT_(FILE|DIR)|NETRC|(HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy"
)
"""The operator's variables that uv gets: where packages come from, and how they are fetched."""


@dataclass(frozen=True, slots=True)
class Installing:
    """How environments are built. `index` is the address of the package index; empty leaves it to uv and pip."""

    index: str = ""
    seconds: float = 900.0
    max_bytes: int = 16 * GIB

    def install(self, lock: Lock, provided: Collection[str], into: Path, log: Path, stop: threading.Event) -> None:
        """Installs the packages of the lock that are not provided already. Raises WrongLock and Stopped."""
        packages, scratch = into / PACKAGES, into / "build"
        for folder in (packages, scratch):
            folder.mkdir()
        needed = [pin for pin in lock.here().values() if pin.name not in provided]
        if needed:
            (scratch / "requirements.txt").write_text("".join(f"{pin.requirement()}\n" for pin in needed))
            self._run_uv(lock, packages, scratch, log, stop)
        shutil.rmtree(scratch)
        if faults := list(unmet(lock, installed_in(packages))):
            raise WrongLock(faults)

    def _run_uv(self, lock: Lock, packages: Path, scratch: Path, log: Path, stop: threading.Event) -> None:
        """Each package of the lock is installed as it stands there, and no other one. Raises WrongLock and Stopped."""
        command = [
            uv_program(), "pip", "install", "--python", sys.executable, "--target", str(packages), "--no-deps",
            "--require-hashes", "--no-build", "--compile-bytecode", "--no-config", "--no-python-downloads",
            "--no-progress", "--color", "never", "--cache-dir", str(scratch / "cache"),
            "--requirement", str(scratch / "requirements.txt"),
        ]  # fmt: skip
        printed_before = log.stat().st_size
        program = processes.Program(command, scratch, self.variables(scratch), log, append=True)
        program.close_input()
        done = program.wait(self.seconds, stop, grown_too_large(packages.parent, max_bytes=self.max_bytes))
        # What grew after the last look counts too.
        if limit := done.limit_broken or grown_too_large(packages.parent, max_bytes=self.max_bytes)():
            raise WrongLock([f"{lock.file}: its environment {limit}; lock fewer or smaller packages"])
        if done.exit_code != 0:
            with log.open("rb") as lines:
                lines.seek(printed_before)
                printed = lines.read(processes.LOG_TAIL_BYTES).decode(errors="replace")
            raise WrongLock([explained(lock, printed)])

    def variables(self, scratch: Path) -> dict[str, str]:
        """The environment variables of uv."""
        own = {name: value for name, value in os.environ.items() if OPERATORS.fullmatch(name)}
        if self.index:
            own["UV_DEFAULT_INDEX"] = self.index
        return foreign_environment(scratch) | own | uv_settings(pips_settings(), own)


def installed_in(packages: Path) -> dict[str, Installed]:
    """What each package that is installed there says of itself, by its name."""
    return {
        canonicalize_name(each.name): Installed(each.requires or (), str(each.metadata["Requires-Python"] or ""))
        for each in distributions(path=[str(packages)])
    }


@cache
def pips_settings() -> dict[str, str]:
    """pip's settings on this machine; none where the trainer has no pip, such as in a container."""
    if find_spec("pip") is None:
        return {}
    listing = subprocess.run(
        [sys.executable, "-P", "-m", "pip", "config", "list"], capture_output=True, text=True, timeout=PIP_SECONDS
    )
    return pip_settings(listing.stdout) if listing.returncode == 0 else {}
