"""Predictions over REST: requests a second, latency, and the server's CPU time for each, with a canary at 95/5.

The peers serve the same ONNX file: MLServer answers JSON, and Triton binary tensors. The callers run in this process:
their time is in no server's figures, but it is taken from the machine.
"""

from contextlib import ExitStack
from pathlib import Path

from tests.bench import http_load
from tests.bench.prediction_servers import HEADGATE, MLSERVER, TRITON, Served, running_servers
from tests.bench.processes import cpu_s, tree
from tests.bench.rest_material import binary_request, json_request
from tests.bench.results import Results, Slice

CALLERS = (1, 8, 64)
ROWS = (1, 32)
SLICES, QUICK_SLICES = 5, 3
SLICE_SECONDS, QUICK_SLICE_SECONDS = 2.0, 0.5
FORMS = {"JSON": (json_request, MLSERVER, 5.0), "binary": (binary_request, TRITON, 1.5)}
"""Form -> what writes a request of so many rows, the peer, and how many times better Headgate shall be."""


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Measures JSON requests beside MLServer, and binary ones beside Triton."""
    slices, seconds = (QUICK_SLICES, QUICK_SLICE_SECONDS) if quick else (SLICES, SLICE_SECONDS)
    with ExitStack() as running:
        servers = running_servers(running, results, cache)
        for form, (request, peer, goal) in FORMS.items():
            asked = [each for each in servers if each.who in (HEADGATE, peer)]
            for rows in ROWS:
                for callers in CALLERS:
                    what = f"REST {form}, {rows} rows, {callers} callers"
                    _measure(results, asked, what, request(rows), callers, slices, seconds, goal)


def _measure(
    results: Results,
    servers: list[Served],
    what: str,
    request: bytes,
    callers: int,
    slices: int,
    seconds: float,
    goal: float,
) -> None:
    for each in servers:
        http_load.run(each.rest_port, request, callers, seconds / 2)
    measured = [[_slice(each, request, callers, seconds) for each in servers] for _ in range(slices)]
    figures = [results.add(what, each.who, [turn[n] for turn in measured]) for n, each in enumerate(servers)]
    if len(figures) > 1:
        for name, better in (("requests/s", 0), ("us CPU/request", 1)):
            ratio = figures[better][name] / figures[1 - better][name]
            results.compare(f"{what}: {name} over {servers[1].who}", ratio, goal, goal)


def _slice(served: Served, request: bytes, callers: int, seconds: float) -> Slice:
    pids = tree(served.pid)
    before = cpu_s(pids)
    load = http_load.run(served.rest_port, request, callers, seconds)
    return load.figures(seconds, cpu_s(pids) - before)
