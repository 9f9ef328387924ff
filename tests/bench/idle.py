"""What the services of `headgate up` cost while nothing happens: a share of one core, and resident memory."""

import tempfile
import time
from pathlib import Path

from examples.driver import Running
from tests.bench import processes
from tests.bench.results import Results

SETTLE_SECONDS = 10.0
"""After the services are ready: what is done once after a start is not idling."""
SECONDS, QUICK_SECONDS = 60.0, 20.0
MOST_PERCENT = 0.5
MOST_MIB = 90.0


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """On the embedded log, with a process of each service."""
    seconds = QUICK_SECONDS if quick else SECONDS
    with tempfile.TemporaryDirectory(dir=cache) as folder, Running(Path(folder)) as running:
        time.sleep(SETTLE_SECONDS)
        pids = running.pids()
        before, began = {service: processes.cpu_s([pid]) for service, pid in pids.items()}, time.perf_counter()
        time.sleep(seconds)
        wall = time.perf_counter() - began
        for service, pid in sorted(pids.items()):
            percent = (processes.cpu_s([pid]) - before[service]) / wall * 100
            resident_mib = processes.resident_mib([pid])
            results.rows.append(("idle", service, {"% of a core": percent, "MiB": resident_mib}))
            results.compare(f"idle {service}: {MOST_PERCENT} % over its own", MOST_PERCENT / max(percent, 0.01), 1, 2)
            results.compare(f"idle {service}: {MOST_MIB:g} MiB over its own", MOST_MIB / resident_mib, 1, 1)
