"""Makes torch start where CUDA's libraries are not installed: `python -m services.trainer.without_cuda`.

requirements/trainer-cpu.txt leaves these libraries out, since a CPU calls none of them. The torch of the package index
is linked against them all the same, so each name that the loader misses becomes a link to an empty library of torch's
own. The loader then looks a function up when it is first called, and these functions are never called.
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

ENTRY = "libtorch_python.so"
"""The library that Python loads, which needs all others."""
EMPTY = "libtorch_global_deps.so"
"""A library of torch without functions."""
LAZY = "headgate-without-cuda.pth"
LATE_BINDING = "import os, sys; sys.setdlopenflags(os.RTLD_LAZY)\n"
LOADER_SECONDS = 60.0

MISSING = re.compile(r"^\s*(lib\S+) => not found$", re.MULTILINE)


class NoTorch(Exception):
    """There is no torch whose libraries can be completed; the message says what was looked for."""


def complete(site: Path) -> list[str]:
    """Completes the torch in this site-packages folder; the names that are links now. Raises NoTorch."""
    libraries = site / "torch" / "lib"
    for name in (ENTRY, EMPTY):
        if not (libraries / name).is_file():
            raise NoTorch(f"{libraries / name} is not there: torch is not installed, or not built for Linux")
    missing = sorted(set(MISSING.findall(_dependencies(libraries / ENTRY))))
    for name in missing:
        (libraries / name).symlink_to(EMPTY)
    (site / LAZY).write_text(LATE_BINDING)
    return missing


def _dependencies(library: Path) -> str:
    """What the loader finds for each library that this one needs, a line each."""
    asked = subprocess.run(  # nosec B607
        ["ldd", library], capture_output=True, text=True, timeout=LOADER_SECONDS, check=True
    )
    return asked.stdout


def main() -> int:
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        sys.stderr.write("without_cuda: torch is not installed here\n")
        return 1
    try:
        names = complete(Path(found.origin).parent.parent)
    except NoTorch as error:
        sys.stderr.write(f"without_cuda: {error}\n")
        return 1
    sys.stdout.write(f"without_cuda: torch starts without {', '.join(names) or 'any change'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
