"""The memory of trainer and evaluator: what they hold when idle, and by how much that grows over many attempts.

Each attempt is a commit that is tested, trained, exported, evaluated and judged by the services of `headgate up`.
"""

import subprocess
import tempfile
from pathlib import Path

from examples.driver import Facts, Running
from tests.bench import processes
from tests.bench.results import Results

ATTEMPTS, QUICK_ATTEMPTS = 200, 6
WARM_ATTEMPTS = 4
"""What a service loads and keeps after its first attempts is no growth."""
MOST_IDLE_MIB, MOST_GROWTH_MIB = 90, 10
SERVICES = ("evaluator", "trainer")
ATTEMPT_SECONDS = 180.0
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
tests = "python -c pass"
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


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    attempts = QUICK_ATTEMPTS if quick else ATTEMPTS
    with tempfile.TemporaryDirectory(dir=cache) as folder, Running(Path(folder)) as running:
        pids = running.pids()
        idle = _resident(pids)
        repository = _repository(Path(folder) / MODEL)
        for _ in range(WARM_ATTEMPTS):
            _attempt(running, repository)
        warm = _resident(pids)
        for _ in range(attempts):
            _attempt(running, repository)
        ended = _resident(pids)
        if running.pids() != pids:
            raise AssertionError("a service was started again, so the measurement means nothing")
    for service in SERVICES:
        figures = {"idle MiB": idle[service], "warm MiB": warm[service], "at the end MiB": ended[service]}
        results.rows.append((f"{attempts} attempts", service, figures))
        worst, growth = max(idle[service], ended[service]), ended[service] - warm[service]
        results.compare(f"{service}: {MOST_IDLE_MIB} MiB over its own", MOST_IDLE_MIB / worst, 1, 1.2)
        what = f"{service}: {MOST_GROWTH_MIB} MiB over its growth in {attempts} attempts"
        results.compare(what, MOST_GROWTH_MIB / max(growth, 0.1), 1, 2)


def _resident(pids: dict[str, int]) -> dict[str, float]:
    return {service: processes.resident_mib([pids[service]]) for service in SERVICES}


def _repository(folder: Path) -> Path:
    folder.mkdir()
    (folder / "small.py").write_text(CODE)
    (folder / "headgate.toml").write_text(DECLARATION)
    _git(folder, "init", "-q", "-b", "main")
    _git(folder, "add", "-A")
    return folder


def _attempt(running: Running, repository: Path) -> None:
    """One more commit, to the verdict of its gate. Raises UnexpectedResult."""
    _git(repository, "commit", "-q", "--allow-empty", "-m", "Once more")
    commit = _git(repository, "rev-parse", "HEAD").strip()
    running.command("publish", str(repository))
    facts = Facts(running.stubs, f"models/{MODEL}", lambda record: None)
    try:
        created = facts.wait(lambda each: each.version_created.commit == commit, commit, ATTEMPT_SECONDS)
        number = created.version_created.version
        facts.wait(lambda each: each.gate_decided.version == number, f"version {number}", ATTEMPT_SECONDS)
    finally:
        facts.close()


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", folder, *AUTHOR, *arguments], check=True, capture_output=True, text=True).stdout
