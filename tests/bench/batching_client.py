"""Callers that never pause, in a process of their own: prints how many answers came in a second, and their times.

Usage: python -m tests.bench.batching_client ADDRESS MODEL CALLERS SECONDS SHAPE...
"""

import asyncio
import json
import sys
import time

import grpc
import numpy as np

from headgate.inference import grpc_predict_v2_pb2_grpc as inference_grpc
from tests.gateway.harness import infer_request


async def main(address: str, model: str, callers: int, seconds: float, shape: tuple[int, ...]) -> dict[str, float]:
    request = infer_request(np.random.default_rng(1).random((1, *shape), dtype=np.float32), model=model)
    times: list[float] = []
    async with grpc.aio.insecure_channel(address) as channel:
        stub = inference_grpc.GRPCInferenceServiceStub(channel)
        await stub.ModelInfer(request)
        began = time.perf_counter()

        async def call() -> None:
            while (asked := time.perf_counter()) < began + seconds:
                await stub.ModelInfer(request)
                times.append(time.perf_counter() - asked)

        await asyncio.gather(*(call() for _ in range(callers)))
        wall = time.perf_counter() - began
    times.sort()
    middle, late = times[len(times) // 2], times[len(times) * 99 // 100]
    return {"rows/s": len(times) / wall, "ms p50": middle * 1e3, "ms p99": late * 1e3}


if __name__ == "__main__":
    address, model, callers, seconds, *shape = sys.argv[1:]
    answered = asyncio.run(main(address, model, int(callers), float(seconds), tuple(map(int, shape))))
    sys.stdout.write(json.dumps(answered))
