"""The CPU time of one plain prediction in the gateway, without the network.

A small network of one row is asked over and over. The rest of a call's cost is gRPC's own.
"""

import time
from pathlib import Path

from services.gateway.inference import Call, Inference
from services.gateway.request import request_of
from tests.bench.results import Results, Slice
from tests.gateway import networks
from tests.gateway.harness import canary, infer_request, running_gateway

PREDICTIONS, QUICK_PREDICTIONS = 20_000, 4_000
SLICES = 7
DEADLINE_SECONDS = 5.0
WHAT = "a plain prediction"


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Measures a model without a release, and one in a canary."""
    count = QUICK_PREDICTIONS if quick else PREDICTIONS
    models = ("fraud", "shop")
    with running_gateway({(model, n): networks.affine() for model in models for n in (1, 2)}) as gateway:
        gateway.serve("fraud", live=1)
        gateway.serve("shop", live=1, release=canary(5_000, epoch=1))
        slices = [[_cost(gateway.inference, model, count) for model in models] for _ in range(SLICES)]
    for place, who in enumerate(("headgate", "headgate, in a canary")):
        results.add(WHAT, who, [each[place] for each in slices])


def _cost(answering: Inference, model: str, count: int) -> Slice:
    requests = [request_of(infer_request(networks.row(), model=model, key=f"k{n}")) for n in range(100)]
    began = time.process_time()
    for n in range(count):
        answering.infer(requests[n % 100], Call(expires_at=time.monotonic() + DEADLINE_SECONDS))
    return {"us CPU/prediction": (time.process_time() - began) / count * 1e6}
