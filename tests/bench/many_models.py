"""A gateway with a thousand models: what it holds with memory for all of them, and with memory for a tenth."""

import gc
import os
import time
from pathlib import Path

from headgate.artifacts.layout import MODEL_FILE
from headgate.v1 import facts_pb2 as facts
from services.gateway.loading.eviction import session_bytes
from services.gateway.memory import return_to_system
from tests.bench import processes
from tests.bench.rest_material import WIDTH, network
from tests.bench.results import Results
from tests.gateway.harness import infer_request, running_gateway, until

MODELS, QUICK_MODELS = 1_000, 200
PART = 10
"""The smaller memory has room for one of so many."""
WHAT = "many models"
KIB = 1024


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Each model is asked for once, in turn: with the smaller memory each request has to wait for a load."""
    models = QUICK_MODELS if quick else MODELS
    room = session_bytes(len(network()))
    for who, limit in (
        (f"all {models} fit", models * room),
        (f"{models // PART} of {models} fit", models // PART * room),
    ):
        results.rows.append((WHAT, who, _figures(models, limit)))


def _figures(models: int, limit: int) -> dict[str, float]:
    model, names = network(), [f"m{number:04d}" for number in range(models)]
    artifact = facts.Artifact(files=[facts.ArtifactFile(name=MODEL_FILE, size_bytes=len(model))])
    request = [[0.5] * WIDTH]
    before = _resident_mib()
    with running_gateway({(name, 1): model for name in names}, memory_bytes=limit) as gateway:
        began = time.perf_counter()
        for name in names:
            gateway.fold.set(name, live=1, versions=[{"artifact": artifact}])
        until(lambda: len(gateway.follower.table.entries) == models and gateway.follower.loads_finished(), "all routes")
        ready_seconds, ready_mib = time.perf_counter() - began, _resident_mib() - before
        waits = []
        for name in names:
            asked = time.perf_counter()
            gateway.infer(infer_request(request, model=name))
            waits.append(time.perf_counter() - asked)
        held = gateway.follower.memory().held_bytes
        return {
            "s to ready": ready_seconds,
            "MiB at ready": ready_mib,
            "MiB after one request each": _resident_mib() - before,
            "KiB counted each": held / KIB / models,
            "ms p50": sorted(waits)[models // 2] * 1e3,
            "ms p99": sorted(waits)[models * 99 // 100] * 1e3,
        }


def _resident_mib() -> float:
    gc.collect()
    return_to_system()
    return processes.resident_mib([os.getpid()])
