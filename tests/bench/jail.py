"""By how much a jail delays an attempt: the time from the start of a program to its end, in a jail and without one."""

import os
import tempfile
import threading
import time
from pathlib import Path

from headgate.jail.bubblewrap import Bubblewrap
from headgate.jail.port import JailLimits
from services.trainer.programs import processes
from services.trainer.programs.interpreter import link_packages
from services.trainer.programs.jailed import Jailing
from services.trainer.programs.workplace import Surroundings, Workplace, workplace
from tests.bench.results import Results

STARTS, QUICK_STARTS = 60, 15
END_SECONDS = 60.0
MOST_ADDED_MS = 50.0


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """The two kinds of start alternate, so that a busy machine slows down both."""
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        scratch = Path(folder)
        packages = link_packages(scratch / "packages")
        jailed = workplace(scratch / "jailed", packages, Surroundings(jailing=Jailing(Bubblewrap(), JailLimits())))
        jailed.give()
        confined = workplace(scratch / "confined", packages, Surroundings())
        slices: dict[str, list[dict[str, float]]] = {"without a jail": [], "in a jail": []}
        for _ in range(QUICK_STARTS if quick else STARTS):
            for who, place in (("without a jail", confined), ("in a jail", jailed)):
                slices[who].append({"ms": milliseconds(place)})
    figures = {who: results.add("start and end of a program", who, taken)["ms"] for who, taken in slices.items()}
    added = figures["in a jail"] - figures["without a jail"]
    results.compare("50 ms over what a jail adds to a program", MOST_ADDED_MS / max(added, 1.0), 1, 1)


def milliseconds(place: Workplace) -> float:
    began = time.monotonic()
    ended = processes.run(
        ["true"], place.directory, place.environment, place.directory.with_suffix(".log"), END_SECONDS,
        threading.Event(), place.confinement,
    )  # fmt: skip
    assert ended.exit_code == os.EX_OK, ended.log_tail
    return (time.monotonic() - began) * 1000
