"""Measures the registry in turns with MLflow's server: creating and getting versions, with 1 and with 8 clients.

Each server is called by its own Python client, over gRPC or by MLflow's client. The registry is pinned to one CPU core,
as `headgate up` runs it. A second MLflow server is pinned to one core too, and is called by plain HTTP requests without
its client. No user calls it so, but it is the fastest that it can be. The ratios to it are in the notes.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.startup import create_declared
from tests.bench import processes
from tests.bench.results import Results, Slice
from tests.kafka_broker import BrokerUnavailable, KafkaBroker

SLICES, QUICK_SLICES = 5, 2
SLICE_SECONDS, QUICK_SLICE_SECONDS = 2.0, 0.8
WARM_UP_SECONDS = 0.3
CLIENTS = 8
MODELS = tuple(f"model-{number}" for number in range(CLIENTS))
CLIENT = Path(__file__).with_name("registry_client.py")
MAX_MIB = 80.0
VERSIONS_HELD, QUICK_VERSIONS_HELD = 20_000, 2_000
"""Versions in the fold when the memory of a registry in use is measured."""
OPERATIONS = (("create", 1), ("create", CLIENTS), ("get", 1), ("get", CLIENTS))


@dataclass(frozen=True, slots=True)
class Side:
    """A server and its clients. `others` are processes that it needs, such as a broker."""

    name: str
    pid: int
    clients: "Sequence[subprocess.Popen[str]]"
    others: Sequence[int] = ()

    def slice(self, operation: str, clients: int, seconds: float) -> Slice:
        pids = [*processes.tree(self.pid), *self.others]
        wall, cpu = time.perf_counter(), processes.cpu_s(pids)
        took = _run(self.clients[:clients], operation, seconds)
        wall, cpu = time.perf_counter() - wall, processes.cpu_s(pids) - cpu
        hundredths = quantiles(took, n=100)
        return {
            "ops/s": len(took) / wall,
            "p50 ms": hundredths[49] / 1e3,
            "p99 ms": hundredths[98] / 1e3,
            "us CPU/op": cpu / len(took) * 1e6,
        }


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Measures on the embedded log."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=cache)))
        pid, port = start_service(stack, "registry", folder, f"sqlite://{folder}/log.db")
        ours = Side("headgate sqlite", pid, start_clients(stack, "headgate", port))
        _compare_with_mlflow(results, stack, folder, peer_python, ours, quick, least=10)


def measure_kafka(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Measures on a real broker, compared also with kafka-python alone, which sends a record and reads it back."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=cache)))
        try:
            broker = stack.enter_context(KafkaBroker())
        except BrokerUnavailable as error:
            results.notes.append(f"not measured on Kafka: {error}")
            return
        url = _with_topics(broker)
        jvm = processes.children_running("kafka.Kafka")
        pid, port = start_service(stack, "registry", folder, url)
        ours = Side("headgate kafka", pid, start_clients(stack, "headgate", port), jvm)
        broker_port = int(broker.address.rpartition(":")[2])
        # Nothing else writes to this topic.
        (sender,) = start_clients(stack, "kafka", broker_port, [topics.TELEMETRY])
        bare = Side("kafka-python send, tail", sender.pid, [sender], jvm)
        found = alternate(results, "acknowledged write, 1 client", [ours, bare], "create", 1, *length(quick))
        ratio = found[bare.name]["p50 ms"] / found[ours.name]["p50 ms"]
        results.compare("create over Kafka, p50, of a bare send's", ratio, 0.33, 0.5)
        _compare_with_mlflow(results, stack, folder, peer_python, ours, quick, least=8)


def _compare_with_mlflow(
    results: Results, stack: ExitStack, folder: Path, peer_python: Path, ours: Side, quick: bool, least: float
) -> None:
    peer, bare = start_mlflow(stack, folder, peer_python)
    results.versions["mlflow"] = mlflow_version(peer_python)
    sides = [ours, peer, bare]
    found = {}
    for operation, clients in OPERATIONS:
        what = f"{operation}, {clients} client{'s' if clients > 1 else ''}"
        found[operation, clients] = alternate(results, what, sides, operation, clients, *length(quick))
    for side in (ours, peer):
        memory = {"resident MiB": processes.resident_mib(processes.tree(side.pid))}
        results.rows.append(("memory, after the load", side.name, memory))
    create, get = found["create", CLIENTS], found["get", 1]
    more = {name: create[ours.name]["ops/s"] / create[name]["ops/s"] for name in (peer.name, bare.name)}
    sooner = {name: get[name]["p50 ms"] / get[ours.name]["p50 ms"] for name in (peer.name, bare.name)}
    results.compare(f"{ours.name}: create, {CLIENTS} clients, ops/s", more[peer.name], least, 20)
    results.compare(f"{ours.name}: get, 1 client, p50", sooner[peer.name], 10, 10)
    create_ratio, get_ratio = more[bare.name], sooner[bare.name]
    results.notes.append(f"{ours.name} beside {bare.name}: create {create_ratio:.2f}x, get {get_ratio:.2f}x")


def measure_memory(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Measures the memory of a registry with many versions, and of a deployer that has read the same log."""
    versions = QUICK_VERSIONS_HELD if quick else VERSIONS_HELD
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=cache)))
        _measure_memory_on(results, stack, "sqlite", f"sqlite://{folder}/log.db", folder, versions)
        try:
            broker = stack.enter_context(KafkaBroker())
        except BrokerUnavailable as error:
            results.notes.append(f"memory not measured on Kafka: {error}")
            return
        _measure_memory_on(results, stack, "kafka", _with_topics(broker), folder, versions)


def _measure_memory_on(results: Results, stack: ExitStack, log: str, url: str, folder: Path, versions: int) -> None:
    registry, port = start_service(stack, "registry", folder, url)
    processes.wait_serving(port)
    _note_memory(results, f"registry {log}", registry, 0)
    clients = start_clients(stack, "headgate", port)
    held = 0
    while held < versions:
        held += len(_run(clients, "create", WARM_UP_SECONDS))
    _note_memory(results, f"registry {log}", registry, held)
    deployer, port = start_service(stack, "deployer", folder, url)
    processes.wait_serving(port)
    _note_memory(results, f"deployer {log}", deployer, held)


def _note_memory(results: Results, who: str, pid: int, versions: int) -> None:
    resident = processes.resident_mib(processes.tree(pid))
    results.rows.append(("memory", who, {"versions": float(versions), "resident MiB": resident}))
    if versions:
        results.compare(f"{who}: {MAX_MIB:g} MiB over resident", MAX_MIB / resident, 1, 1)


def _with_topics(broker: KafkaBroker) -> str:
    """Creates the topics on a new broker. Returns the URL of the log."""
    url = f"kafka://{broker.address}"
    with closing(open_log(url)) as log:
        create_declared(log)
    return url


def length(quick: bool) -> tuple[int, float]:
    """The number of rounds, and the seconds of one slice."""
    return (QUICK_SLICES, QUICK_SLICE_SECONDS) if quick else (SLICES, SLICE_SECONDS)


def alternate(
    results: Results, what: str, sides: Sequence[Side], operation: str, clients: int, rounds: int, seconds: float
) -> dict[str, dict[str, float]]:
    for side in sides:
        side.slice(operation, clients, WARM_UP_SECONDS)
    slices: dict[str, list[Slice]] = {side.name: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            slices[side.name].append(side.slice(operation, clients, seconds))
    return {name: results.add(what, name, some) for name, some in slices.items()}


def start_mlflow(stack: ExitStack, folder: Path, peer_python: Path, names: Sequence[str] = MODELS) -> tuple[Side, Side]:
    """MLflow as its users run and call it, and MLflow at its fastest: on one core and by plain HTTP."""
    pid, port = _mlflow_server(stack, folder / "mlflow", peer_python)
    one_core = ["taskset", "--cpu-list", str(max(os.sched_getaffinity(0)))]
    fast_pid, fast_port = _mlflow_server(stack, folder / "mlflow-fast", peer_python, one_core)
    return (
        Side("mlflow", pid, start_clients(stack, "mlflow", port, names, peer_python)),
        Side("mlflow one core, bare", fast_pid, start_clients(stack, "mlflow-http", fast_port, names)),
    )


def _mlflow_server(
    stack: ExitStack, path: Path, peer_python: Path, prefix: Sequence[str | Path] = ()
) -> tuple[int, int]:
    port = processes.free_port()
    command = [*prefix, peer_python, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{path}.db"]
    command += ["--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    # MLflow's job runners answer no requests and would only take CPU time from its server.
    env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PATH": f"{peer_python.parent}:/usr/bin:/bin"}
    return stack.enter_context(processes.server(command, env, port, path.with_suffix(".log"))), port


def start_service(
    stack: ExitStack, service: str, folder: Path, log: str, more: Mapping[str, str] | None = None
) -> tuple[int, int]:
    """The process and its port. `more` are further settings."""
    port = processes.free_port()
    # As `headgate up` runs a registry. The other services ignore HEADGATE_ONE_CORE.
    env = {"HEADGATE_LOG": log, "HEADGATE_PORT": str(port), "HEADGATE_ONE_CORE": "true", **(more or {})}
    command = [sys.executable, "-m", f"services.{service}"]
    output = folder / f"{service}-{port}.log"
    return stack.enter_context(processes.server(command, env, port, output)), port


def start_clients(
    stack: ExitStack, kind: str, port: int, names: Sequence[str] = MODELS, python: str | Path = sys.executable
) -> "list[subprocess.Popen[str]]":
    # By its path and without its folder: the peer's Python knows neither Headgate nor these tests.
    command = [str(python), "-P", str(CLIENT), kind, str(port)]
    started = []
    for name in names:
        # MLflow's telemetry would change the environment while another thread of its client reads it.
        env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
        client = subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        stack.callback(client.wait)
        stack.callback(client.kill)
        started.append(client)
    for client in started:
        if client.stdout is None or client.stdout.readline() != "ready\n":
            raise RuntimeError(f"a client of {kind} did not start")
    return started


def _run(clients: "Sequence[subprocess.Popen[str]]", operation: str, seconds: float) -> list[int]:
    for client in clients:
        print(operation, seconds, file=client.stdin, flush=True)
    took: list[int] = []
    for client in clients:
        assert client.stdout is not None
        took += json.loads(client.stdout.readline())
    return took


def mlflow_version(python: Path) -> str:
    code = "from importlib.metadata import version; print(version('mlflow'))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
