"""A thousand versions of one model, one after the other in a release and then live: what is left of them in memory."""

import gc
import os
import threading
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from services.gateway.memory import return_to_system
from tests.bench import processes
from tests.bench.results import Results
from tests.gateway.harness import GatewayHarness, canary, infer_request, running_gateway

SWAPS, QUICK_SWAPS = 1_000, 100
FIRST_LOOK = 100
WIDTH, HIDDEN = 64, 4_096
"""Weights of 2 MiB: a thousand versions that stayed would show as 2 GiB."""
REQUESTS = 10
WHAT = "hot swaps"


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Resident memory, threads and open files after the first swaps and after all of them."""
    swaps = QUICK_SWAPS if quick else SWAPS
    first_look = swaps // 10 if quick else FIRST_LOOK
    model = network()
    with running_gateway(_EveryVersion(model)) as gateway:
        gateway.serve(live=1)
        early: dict[str, float] = {}
        for swap in range(1, swaps + 1):
            _swap(gateway, swap)
            if swap in (first_look, swaps):
                figures = _figures()
                early = early or figures
                results.rows.append((WHAT, f"after {swap}", figures))
    grown = figures["MiB resident"] - early["MiB resident"]
    sizes = f"{grown:.1f} MiB more after {swaps} than after {first_look}, of {len(model) / 2**20:.1f} MiB a version"
    results.notes.append(f"hot swaps: {sizes}")
    results.compare(
        "hot swaps: memory after the first and after all", early["MiB resident"] / figures["MiB resident"], 0.9, 1
    )


class _EveryVersion(dict[tuple[str, int], bytes]):
    """The same network for every version."""

    def __init__(self, network: bytes) -> None:
        self._network = network

    def __missing__(self, key: tuple[str, int]) -> bytes:
        return self._network


def _swap(gateway: GatewayHarness, number: int) -> None:
    """A release of the next version: half of the requests, then all of them."""
    stable, candidate, request = number, number + 1, np.ones((1, WIDTH), np.float32)
    gateway.serve(
        live=stable, release=canary(5_000, epoch=2 * number, stable=stable, candidate=candidate, number=number)
    )
    for n in range(REQUESTS):
        gateway.infer(infer_request(request, key=f"k{n}"))
    gateway.serve(live=candidate)
    for n in range(REQUESTS):  # also of a size that was never measured, so in a thread of its own
        gateway.infer(infer_request(np.ones((1 + 4 * (n % 2), WIDTH), np.float32)))


def _figures() -> dict[str, float]:
    gc.collect()
    return_to_system()
    pid = os.getpid()
    return {
        "MiB resident": processes.resident_mib([pid]),
        "threads": threading.active_count(),
        "open files": processes.open_files(pid),
    }


def network() -> bytes:
    weights = {"w1": (WIDTH, HIDDEN), "w2": (HIDDEN, WIDTH)}
    chance = np.random.default_rng(7)
    constants = [
        numpy_helper.from_array(chance.standard_normal(shape).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"]),
        helper.make_node("Relu", ["h"], ["a"]),
        helper.make_node("MatMul", ["a", "w2"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in ("x", "y"))
    graph = helper.make_graph(nodes, "network", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()
