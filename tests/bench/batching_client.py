"""Callers that never pause, in a process of their own.

Prints how many answers came in a second, their times, and what the callers themselves cost.

Usage: python -m tests.bench.batching_client PORT MODEL CALLERS SECONDS SHAPE...
"""

import json
import sys
import time

import numpy as np

from tests.bench import grpc_load
from tests.gateway.harness import infer_request

METHOD = "/inference.GRPCInferenceService/ModelInfer"


def main(port: int, model: str, callers: int, seconds: float, shape: tuple[int, ...]) -> dict[str, float]:
    request = infer_request(np.random.default_rng(1).random((1, *shape), dtype=np.float32), model=model)
    began = time.process_time()
    load = grpc_load.run(port, METHOD, request.SerializeToString(), callers, seconds)
    return {
        "rows/s": len(load.seconds) / seconds,
        "ms p50": load.percentile_ms(0.5),
        "ms p99": load.percentile_ms(0.99),
        "us CPU/row of callers": (time.process_time() - began) / len(load.seconds) * 1e6,
    }


if __name__ == "__main__":
    port, model, callers, seconds, *shape = sys.argv[1:]
    sys.stdout.write(json.dumps(main(int(port), model, int(callers), float(seconds), tuple(map(int, shape)))))
