"""What TLS costs: a prediction and a new version, each over plain text and over TLS, in turns.

The registry asks its caller for a certificate and logs its name; the gateway asks nobody. One caller, one connection.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles

from headgate.client.stubs import Stubs
from headgate.client.tls import ClientTls
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.v1 import registry_service_pb2 as registry_service
from tests.bench.registry import length, start_service
from tests.bench.registry_client import commit_of
from tests.bench.rest_material import grpc_request
from tests.bench.results import Results, Slice
from tests.certificates.issued import Issued

PLAIN, TLS = "plain text", "TLS"
WARM_UP_SECONDS = 0.3
MOST_OF_PREDICT, MOST_OF_CREATE = 1.25, 1.15
"""How many times as long the median may take with TLS."""

Call = Callable[[], object]


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Measures both calls."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=cache)))
        issued = Issued(folder / "certificates")
        callers: Mapping[str, ClientTls | None] = {PLAIN: None, TLS: issued.caller("user/bench")}
        predictions = {who: predicting(stack, issued, tls) for who, tls in callers.items()}
        creating = {who: _creating(stack, issued, tls, folder) for who, tls in callers.items()}
        compare_calls(results, "predict, TLS", predictions, MOST_OF_PREDICT, quick)
        compare_calls(results, "create, TLS", creating, MOST_OF_CREATE, quick)


def compare_calls(results: Results, what: str, calls: Mapping[str, Call], most: float, quick: bool) -> None:
    """Has the calls take turns. The median of each may be `most` times that of the first."""
    rounds, seconds = length(quick)
    for call in calls.values():
        _slice(call, WARM_UP_SECONDS)
    turns = [{who: _slice(call, seconds) for who, call in calls.items()} for _ in range(rounds)]
    figures = {who: results.add(what, who, [turn[who] for turn in turns]) for who in calls}
    first, *others = calls
    for other in others:
        ratio = figures[first]["p50 ms"] / figures[other]["p50 ms"]
        results.compare(f"{what if len(others) == 1 else other}: p50 over {first}", ratio, 1 / most, 1)


def _slice(call: Call, seconds: float) -> Slice:
    took, end = [], time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        call()
        took.append(time.perf_counter() - start)
    hundredths = quantiles(took, n=100)
    return {"ops/s": len(took) / sum(took), "p50 ms": hundredths[49] * 1e3, "p99 ms": hundredths[98] * 1e3}


def predicting(stack: ExitStack, issued: Issued, tls: ClientTls | None, token: str = "") -> Call:
    """A call of a gateway in a process of its own. With a `token` that gateway asks for it, over TLS."""
    command = [sys.executable, "-m", "tests.bench.gateway_process"]
    if tls is not None:
        command += [str(issued.pair("gateway")), *(["asks"] if token else [])]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.kill)
    assert process.stdout is not None
    port = process.stdout.readline().split()[1]
    stubs = stack.enter_context(Stubs("", f"127.0.0.1:{port}", tls=tls))
    request = inference.ModelInferRequest.FromString(grpc_request(1))
    metadata = [("authorization", f"Bearer {token}")] if token else None
    return lambda: stubs.inference.ModelInfer(request, metadata=metadata)


def _creating(stack: ExitStack, issued: Issued, tls: ClientTls | None, folder: Path) -> Call:
    own = folder / ("plain" if tls is None else "tls")
    own.mkdir()
    more = {}
    if tls is not None:
        pair = str(issued.pair("registry"))
        more = {"HEADGATE_TLS_CERTIFICATE": pair, "HEADGATE_TLS_KEY": pair}
        more["HEADGATE_TLS_CLIENT_CA"] = str(issued.authority_file)
    _, port = start_service(stack, "registry", own, f"sqlite://{own}/log.db", more)
    stubs = stack.enter_context(Stubs(f"127.0.0.1:{port}", "", tls=tls))
    commits = iter(range(1, 10**9))

    def create() -> object:
        request = registry_service.CreateVersionRequest(
            parent="models/fraud", repository="https://git.example/model.git", commit=commit_of(next(commits))
        )
        return stubs.registry.CreateVersion(request, wait_for_ready=True)

    return create
