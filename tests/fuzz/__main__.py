"""`make fuzz` sends mutated requests to both servers of the gateway, and prints what came back.

It ends with 1 when a request was answered with an internal error, raised something, took long, or left memory behind,
and when a good call was not answered meanwhile.
"""

import argparse
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

import uvloop

from tests.bench.rest_material import MODEL, network
from tests.fuzz.grpc_frames import GrpcFrames
from tests.fuzz.grpc_messages import GrpcMessages
from tests.fuzz.rest_requests import RestRequests
from tests.fuzz.target import Target
from tests.gateway import networks
from tests.gateway.harness import running_gateway

SECONDS = 60.0
WARM_UP_ROUNDS = 500
MAX_SECONDS_PER_REQUEST = 5.0
MAX_FAULTS = 10
MAX_SHOWN = 2_000
MAX_GROWTH_MIB = 64
KIB_PER_MIB = 1024


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    deadline = time.monotonic() + arguments.seconds
    with targets() as found:
        faults, statuses = fuzz(found, random.Random(arguments.seed), lambda rounds: time.monotonic() < deadline)
    for name, counted in statuses.items():
        print(f"{name}: {sum(counted.values())} answers by status: {dict(sorted(counted.items()))}")
    print("\n".join(faults) or "no fault was found")
    return 1 if faults else 0


@contextmanager
def targets() -> Iterator[Sequence[Target]]:
    """All targets, over one gateway."""
    versions = {(MODEL, 1): network(), ("mixed", 1): networks.mixed()}
    with running_gateway(versions) as gateway, closing(uvloop.new_event_loop()) as loop:
        for model, _ in versions:
            gateway.serve(model, live=1)
        yield RestRequests(gateway, loop), GrpcMessages(gateway), GrpcFrames(gateway)


def fuzz(
    targets: Sequence[Target], chance: random.Random, goes_on: Callable[[int], bool]
) -> tuple[list[str], dict[str, Counter[str]]]:
    """Sends one request to each target in turn, while `goes_on` says so of the number of rounds.

    Returns the faults, and for each target how often each status was answered.
    """
    faults: list[str] = []
    statuses: dict[str, Counter[str]] = {target.name: Counter() for target in targets}
    rounds, settled_mib = 0, 0.0
    while goes_on(rounds) and len(faults) < MAX_FAULTS:
        for target in targets:
            began = time.monotonic()
            sent = target.send(chance)
            took_seconds = time.monotonic() - began
            statuses[target.name].update(sent.statuses)
            slow = f"took {took_seconds:.1f} s" if took_seconds > MAX_SECONDS_PER_REQUEST else ""
            if fault := sent.fault or slow:
                faults.append(f"{target.name}: {fault} for {sent.sent!r}"[:MAX_SHOWN])
        rounds += 1
        if rounds == WARM_UP_ROUNDS:
            settled_mib = _peak_mib()
    if settled_mib and _peak_mib() - settled_mib > MAX_GROWTH_MIB:
        faults.append(f"the process grew from {settled_mib:.0f} to {_peak_mib():.0f} MiB")
    return faults, statuses


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB


if __name__ == "__main__":
    sys.exit(main())
