"""Micro-batching beside what ONNX Runtime answers at its best batch size, and beside the same gateway without it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

from tests.bench.batching_models import FEATURES, IMAGE, TOKENS, WIDTH, images, transformer, wide
from tests.bench.results import Results, Slice
from tests.gateway.harness import running_gateway

CALLERS = 64
"""While one half of their requests runs, the other half comes and goes: so batches reach half of the callers."""
SECONDS, QUICK_SECONDS = 3.0, 1.0
SLICES, QUICK_SLICES = 5, 2
BATCHES = (1, 4, 8, 16, 32)
NOTE = (
    "batching: ONNX Runtime alone has one core to itself. The gateway's forwards have one too, and share the rest of"
    " the machine with its own work on each call and with the callers, which the CPU time beside them shows"
)
MODELS = {"transformer": (transformer, (TOKENS, WIDTH)), "images": (images, IMAGE), "wide": (wide, (FEATURES,))}


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Alternating slices on one thread of ONNX Runtime each, with callers of one row in a process of their own."""
    results.versions["onnxruntime"] = onnxruntime.__version__
    results.notes.append(NOTE)
    networks = {(name, 1): build() for name, (build, _) in MODELS.items()}
    seconds, slices = (QUICK_SECONDS, QUICK_SLICES) if quick else (SECONDS, SLICES)
    with running_gateway(networks, rows_apart=True) as batching, running_gateway(networks) as alone:
        for name, (_, shape) in MODELS.items():
            for gateway in (batching, alone):
                gateway.serve(name, live=1)
            sides: dict[str, list[Slice]] = {"onnxruntime": [], "headgate": [], "headgate, alone": []}
            for _ in range(slices):
                sides["onnxruntime"].append(_best_batch(networks[name, 1], shape, seconds))
                sides["headgate"].append(_answers(batching.address, name, shape, seconds))
                sides["headgate, alone"].append(_answers(alone.address, name, shape, seconds))
            best, ours, without = (results.add(f"batching {name}", who, each) for who, each in sides.items())
            results.compare(f"batching {name}: of the best batch", ours["rows/s"] / best["rows/s"], 0.9, 1)
            results.compare(f"batching {name}: of itself alone", ours["rows/s"] / without["rows/s"], 1, 1.5)


def _best_batch(model: bytes, shape: tuple[int, ...], seconds: float) -> Slice:
    """The rows in a second of the batch size that answers most of them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    rates, costs = {}, {}
    for batch in BATCHES:
        rows = np.random.default_rng(1).random((batch, *shape), dtype=np.float32)
        session.run(None, {"x": rows})
        began, cpu_began, runs = time.perf_counter(), time.thread_time(), 0
        while time.perf_counter() - began < seconds / len(BATCHES):
            session.run(None, {"x": rows})
            runs += 1
        rates[batch] = runs * batch / (time.perf_counter() - began)
        costs[batch] = (time.thread_time() - cpu_began) / (runs * batch) * 1e6
    best = max(rates, key=rates.__getitem__)
    return {"rows/s": rates[best], "batch": best, "us CPU/row": costs[best], "us CPU/row alone": costs[1]}


def _answers(address: str, model: str, shape: tuple[int, ...], seconds: float) -> Slice:
    port = address.rpartition(":")[2]
    command = [sys.executable, "-m", "tests.bench.batching_client", port, model, str(CALLERS), str(seconds)]
    began = time.process_time()
    done = subprocess.run([*command, *map(str, shape)], capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return {**figures, "us CPU/row": (time.process_time() - began) / (figures["rows/s"] * seconds) * 1e6}
