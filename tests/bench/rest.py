"""Predictions over REST: requests a second, latency, and the server's CPU time for each, with a canary at 95/5.

The peer is MLServer's REST with the same ONNX file, when its environment is there (`make .venv-mlserver/.ready`). The
callers run in this process and take a core's time from neither server's figures, but from the machine.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from tests.bench import http_load
from tests.bench.processes import cpu_s, free_port, server, tree
from tests.bench.rest_material import MODEL, binary_request, json_request, network
from tests.bench.results import Results, Slice
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
MLSERVER = ROOT / ".venv-mlserver" / "bin" / "mlserver"
RUNTIME = Path(__file__).with_name("mlserver_runtime.py")

CALLERS = (1, 8, 64)
ROWS = (1, 32)
SLICES, QUICK_SLICES = 5, 3
SLICE_SECONDS, QUICK_SLICE_SECONDS = 2.0, 0.5
LEAST_OVER_MLSERVER, GOAL_OVER_MLSERVER = 5.0, 5.0


class Served(NamedTuple):
    who: str
    port: int
    pid: int
    forms: tuple[str, ...]


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Measures JSON and binary requests, and compares JSON with MLServer's."""
    slices, seconds = (QUICK_SLICES, QUICK_SLICE_SECONDS) if quick else (SLICES, SLICE_SECONDS)
    requests = {"JSON": json_request, "binary": binary_request}
    with ExitStack() as running:
        servers = [running.enter_context(_headgate())]
        if MLSERVER.exists():
            servers.append(running.enter_context(_mlserver(cache)))
        else:
            results.notes.append(f"{MLSERVER.parent.parent.name} is missing, so REST has no peer here")
        for form, request in requests.items():
            for rows in ROWS:
                for callers in CALLERS:
                    asked = [each for each in servers if form in each.forms]
                    _measure(results, asked, form, request(rows), rows, callers, slices, seconds)


def _measure(
    results: Results,
    servers: list[Served],
    form: str,
    request: bytes,
    rows: int,
    callers: int,
    slices: int,
    seconds: float,
) -> None:
    what = f"REST {form}, {rows} rows, {callers} callers"
    for each in servers:
        http_load.run(each.port, request, callers, seconds / 2)
    measured = [[_slice(each, request, callers, seconds) for each in servers] for _ in range(slices)]
    figures = [results.add(what, each.who, [turn[n] for turn in measured]) for n, each in enumerate(servers)]
    if len(figures) > 1:
        for name, better in (("requests/s", 0), ("us CPU/request", 1)):
            ratio = figures[better][name] / figures[1 - better][name]
            results.compare(f"{what}: {name} over MLServer", ratio, LEAST_OVER_MLSERVER, GOAL_OVER_MLSERVER)


def _slice(served: Served, request: bytes, callers: int, seconds: float) -> Slice:
    pids = tree(served.pid)
    before = cpu_s(pids)
    load = http_load.run(served.port, request, callers, seconds)
    count = len(load.seconds)
    return {
        "requests/s": count / seconds,
        "p50 ms": load.percentile_ms(0.5),
        "p99 ms": load.percentile_ms(0.99),
        "us CPU/request": (cpu_s(pids) - before) / count * 1e6,
    }


@contextmanager
def _headgate() -> Iterator[Served]:
    command = [sys.executable, "-m", "tests.bench.rest_process"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Served("headgate", int(process.stdout.readline()), process.pid, ("JSON", "binary"))
        process.stdin.close()


@contextmanager
def _mlserver(cache: Path) -> Iterator[Served]:
    folder = cache / "mlserver"
    folder.mkdir(exist_ok=True)
    ports = {name: free_port() for name in ("http_port", "grpc_port", "metrics_port")}
    (folder / "model.onnx").write_bytes(network())
    (folder / "mlserver_runtime.py").write_text(RUNTIME.read_text())
    settings = {"debug": False, "host": "127.0.0.1", "parallel_workers": 0, **ports}
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {
        "name": MODEL,
        "implementation": "mlserver_runtime.OnnxRuntime",
        "parameters": {"uri": str(folder / "model.onnx")},
    }
    (folder / "model-settings.json").write_text(json.dumps(model))
    with server([MLSERVER, "start", folder], {}, ports["http_port"], cache / "mlserver.log") as pid:
        _await_model(ports["http_port"])
        yield Served("MLServer", ports["http_port"], pid, ("JSON",))


def _await_model(port: int) -> None:
    def is_ready() -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{port}/v2/models/{MODEL}/ready") as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    until(is_ready, "MLServer's model")
