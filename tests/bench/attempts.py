"""What trainer and evaluator hold when idle, and by how much that grows over many attempts: memory, files, threads.

Each attempt is a commit of its own, for which the services of `headgate up` start all their processes. One of FULL is
tested, trained, exported, evaluated and judged; the tests of the others fail, so that 200 take minutes. While one
version is evaluated the next one is trained.
"""

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from examples.driver import Facts, Running
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from tests.bench import processes
from tests.bench.results import Results

Held = Mapping[str, dict[str, float]]
"""Of each service: its resident memory, its open files and its threads."""
STOPS, QUICK_STOPS = (20, 100, 200), (3, 6)
"""The services are looked at after so many attempts, while they have no work."""
FULL = 4
WARM_ATTEMPTS = 2 * FULL
"""What a service loads and keeps after its first attempts is no growth."""
MOST_IDLE_MIB, MOST_GROWTH_MIB = 90, 10
SERVICES = ("evaluator", "trainer")
ATTEMPT_SECONDS = 180.0
MIB, FILES, THREADS = "MiB", "open files", "threads"
MODEL, AUTHOR = "small", ("-c", "user.name=Bench", "-c", "user.email=bench@example.org", "-c", "commit.gpgsign=false")
CODE = """
import torch
from torch import nn

ROWS = torch.randn(300, 4, generator=torch.Generator().manual_seed(1))


def network(context):
    return nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())


def datasets(context):
    return {split: (ROWS, (ROWS[:, 0] > 0).float()) for split in ("train", "validation", "test")}
"""
DECLARATION = f"""
[model]
name = "{MODEL}"
task = "binary"
[code]
module = "small"
tests = "python check.py"
[train]
loss = "bce"
optimizer = "sgd"
learning_rate = 0.1
epochs = 1
batch_size = 64
seed = 7
[evaluate]
metrics = ["accuracy"]
[gate]
accuracy = {{ min = 1.0 }}
"""
"""No attempt passes the gate, so that no release follows."""


OUTCOME = "outcome"
CHECK = f"raise SystemExit(open('{OUTCOME}').read() or None)"
"""The tests of a commit: they pass where the file is empty."""
FAILS = "the tests of this commit fail"


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    stops = QUICK_STOPS if quick else STOPS
    with tempfile.TemporaryDirectory(dir=cache) as folder, Running(Path(folder)) as running:
        pids = running.pids()
        idle = _held(pids)
        repository = _repository(Path(folder) / MODEL)
        history = Facts(running.stubs, f"models/{MODEL}", lambda record: None)
        try:
            _attempts(running, history, repository, WARM_ATTEMPTS)
            warm, done = _held(pids), 0
            later: list[tuple[int, Held]] = []
            for stop in stops:
                _attempts(running, history, repository, stop - done)
                later.append((stop, _held(pids)))
                done = stop
        finally:
            history.close()
        if running.pids() != pids:
            raise AssertionError("a service was started again, so the measurement means nothing")
    for service in SERVICES:
        results.rows.append(("before any attempt", service, idle[service]))
        results.rows.append((f"warm, by {WARM_ATTEMPTS} attempts", service, warm[service]))
        results.rows.extend((f"after {stop} more", service, held[service]) for stop, held in later)
        _compare(results, service, [each[service] for each in (idle, warm, *(held for _, held in later))], stops[-1])


def _compare(results: Results, service: str, held: Sequence[Mapping[str, float]], attempts: int) -> None:
    """`held` before any attempt, when warm, and then."""
    warm, ended = held[1], held[-1]
    worst, growth = max(each[MIB] for each in held), ended[MIB] - warm[MIB]
    results.compare(f"{service}: {MOST_IDLE_MIB} MiB over its own", MOST_IDLE_MIB / worst, 1, 1.2)
    what = f"{service}: {MOST_GROWTH_MIB} MiB over its growth in {attempts} attempts"
    results.compare(what, MOST_GROWTH_MIB / max(growth, 0.1), 1, 2)
    results.compare(f"{service}: {FILES} when warm over those at the end", warm[FILES] / ended[FILES], 0.9, 1)


def _held(pids: Mapping[str, int]) -> Held:
    return {
        service: {
            MIB: processes.resident_mib([pids[service]]),
            FILES: processes.open_files(pids[service]),
            THREADS: processes.threads(pids[service]),
        }
        for service in SERVICES
    }


def _repository(folder: Path) -> Path:
    folder.mkdir()
    (folder / "small.py").write_text(CODE)
    (folder / "check.py").write_text(CHECK)
    (folder / "headgate.toml").write_text(DECLARATION)
    _git(folder, "init", "-q", "-b", "main")
    _git(folder, "add", "-A")
    return folder


def _attempts(running: Running, history: Facts, repository: Path, number: int) -> None:
    """So many more commits, each to its end. Raises UnexpectedResult."""
    outcomes = ["" if attempt % FULL == 0 else FAILS for attempt in range(number)]
    created = [(_created(running, repository, outcome), outcome) for outcome in outcomes]
    for version, outcome in created:
        ends = _is_judged if outcome == "" else _is_failed
        history.wait(partial(ends, version), f"version {version}", ATTEMPT_SECONDS)


def _created(running: Running, repository: Path, outcome: str) -> int:
    """The version of one more commit."""
    (repository / OUTCOME).write_text(outcome)
    _git(repository, "add", "-A")
    _git(repository, "commit", "-q", "--allow-empty", "-m", "Once more")
    commit = _git(repository, "rev-parse", "HEAD").strip()
    request = registry_service.CreateVersionRequest(
        parent=f"models/{MODEL}", repository=str(repository), commit=commit, request_id=commit
    )
    return running.stubs.registry.CreateVersion(request, timeout=ATTEMPT_SECONDS).version


def _is_judged(version: int, record: facts.LifecycleRecord) -> bool:
    return record.gate_decided.version == version


def _is_failed(version: int, record: facts.LifecycleRecord) -> bool:
    return record.code_tested.version == version and not record.code_tested.passed


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", folder, *AUTHOR, *arguments], check=True, capture_output=True, text=True).stdout
