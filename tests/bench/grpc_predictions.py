"""Predictions over gRPC: requests a second, latency, and the server's CPU time for each, with a canary at 95/5.

The peers, MLServer and NVIDIA Triton (Python backend) serve the same ONNX file. The callers run in this process.
Their time is in no server's figures, but it is taken from the machine.
"""

from contextlib import ExitStack
from pathlib import Path

from tests.bench import grpc_load
from tests.bench.prediction_servers import HEADGATE, MLSERVER, TRITON, Served, running_servers
from tests.bench.processes import cpu_s, tree
from tests.bench.rest_material import grpc_request
from tests.bench.results import Results, Slice

METHOD = "/inference.GRPCInferenceService/ModelInfer"
CALLERS = (1, 8, 64)
ROWS = (1, 32)
SLICES, QUICK_SLICES = 5, 3
SLICE_SECONDS, QUICK_SLICE_SECONDS = 2.0, 0.5
RATIOS = {
    (MLSERVER, 64): {"requests/s": (6.0, 10.0), "p99 ms": (2.0, 2.0)},
    (TRITON, 64): {"requests/s": (2.0, 3.0), "p99 ms": (2.0, 2.0)},
    (TRITON, 8): {"requests/s": (2.0, 2.0)},
    (TRITON, 1): {"p50 ms": (1.0, 1.0)},
}
"""Peer and callers -> how many times better Headgate shall be in each figure, at least and as its goal."""
MORE_IS_BETTER = "requests/s"


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Measures one row and 32, by 1, 8 and 64 callers."""
    slices, seconds = (QUICK_SLICES, QUICK_SLICE_SECONDS) if quick else (SLICES, SLICE_SECONDS)
    with ExitStack() as running:
        servers = running_servers(running, results, cache)
        for rows in ROWS:
            for callers in CALLERS:
                _measure(results, servers, rows, callers, slices, seconds)


def _measure(results: Results, servers: list[Served], rows: int, callers: int, slices: int, seconds: float) -> None:
    what, request = f"gRPC, {rows} rows, {callers} callers", grpc_request(rows)
    for each in servers:
        grpc_load.run(each.grpc_port, METHOD, request, callers, seconds / 2)
    measured = [[_slice(each, request, callers, seconds) for each in servers] for _ in range(slices)]
    figures = {each.who: results.add(what, each.who, [turn[n] for turn in measured]) for n, each in enumerate(servers)}
    for peer in figures:
        for name, (least, goal) in RATIOS.get((peer, callers), {}).items():
            own, other = figures[HEADGATE][name], figures[peer][name]
            ratio = own / other if name == MORE_IS_BETTER else other / own
            results.compare(f"{what}: {name} over {peer}", ratio, least, goal)


def _slice(served: Served, request: bytes, callers: int, seconds: float) -> Slice:
    pids = tree(served.pid)
    before = cpu_s(pids)
    load = grpc_load.run(served.grpc_port, METHOD, request, callers, seconds)
    return load.figures(seconds, cpu_s(pids) - before)
