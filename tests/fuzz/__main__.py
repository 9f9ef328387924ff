"""`make fuzz` sends mutated requests to the REST server's parser, decoders and models, and prints what came back.

It ends with 1 when a request was answered with an internal error, raised something, took long, or left memory behind.
"""

import argparse
import random
import re
import resource
import sys
import time
from collections import Counter
from contextlib import closing

import uvloop

from services.gateway.rest.connection import Connection
from services.gateway.rest.handler import Handler
from services.gateway.rest.http_messages import HttpAnswer
from services.gateway.rest.server import Connections
from tests.bench.rest_material import MODEL, binary_request, json_request, network
from tests.fuzz.mutations import mutated
from tests.gateway.harness import running_gateway

SECONDS = 60.0
WARM_UP_REQUESTS = 2_000
MAX_SECONDS_PER_REQUEST = 5.0
MAX_GROWTH_MIB = 64
KIB_PER_MIB = 1024
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class Transport:
    """Keeps what was written."""

    def __init__(self) -> None:
        self.sent = b""

    def write(self, data: bytes) -> None:
        self.sent += data

    def ignore(self) -> None:
        """The test looks at the answers alone."""

    write_eof = close = abort = pause_reading = resume_reading = ignore


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    faults, statuses = fuzz(random.Random(arguments.seed), arguments.seconds)
    print(f"{sum(statuses.values())} answers by status: {dict(sorted(statuses.items()))}")
    print("\n".join(faults) or "no fault was found")
    return 1 if faults else 0


def fuzz(chance: random.Random, seconds: float) -> tuple[list[str], Counter[str]]:
    """The faults that were found within so many seconds, and how often each status was answered."""
    seeds = [make(rows) for make in (json_request, binary_request) for rows in (1, 3)]
    faults: list[str] = []
    statuses: Counter[str] = Counter()
    with running_gateway({(MODEL, 1): network()}) as gateway, closing(uvloop.new_event_loop()) as loop:
        gateway.serve(MODEL, live=1)
        host = Connections(Handler(gateway.inference, gateway.metrics))
        requests, settled_mib = 0, 0.0
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and len(faults) < 10:
            sent = mutated(chance.choice(seeds), chance)
            faults += _problems(host, loop, sent, statuses)
            requests += 1
            if requests == WARM_UP_REQUESTS:
                settled_mib = _peak_mib()
        if settled_mib and _peak_mib() - settled_mib > MAX_GROWTH_MIB:
            faults.append(f"the process grew from {settled_mib:.0f} to {_peak_mib():.0f} MiB")
    return faults, statuses


def _problems(host: Connections, loop: uvloop.Loop, sent: bytes, statuses: Counter[str]) -> list[str]:
    transport = Transport()
    connection = Connection(_Counting(host), loop)
    began = time.monotonic()
    try:
        connection.connection_made(transport)  # type: ignore[arg-type]
        connection.data_received(sent)
        connection.connection_lost(None)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is a fault
        return [f"{type(error).__name__}: {error} on {sent!r}"]
    took_seconds = time.monotonic() - began
    found = [status.decode() for status in STATUS.findall(transport.sent)]
    statuses.update(found)
    problems = [f"answered {status} to {sent!r}" for status in found if status == "500"]
    if took_seconds > MAX_SECONDS_PER_REQUEST:
        problems.append(f"took {took_seconds:.1f} s for {sent!r}")
    return problems


class _Counting:
    """Answers each request at once. A slow version's answer is not waited for: there is no loop that runs."""

    def __init__(self, host: Connections) -> None:
        self._host = host
        self.date, self.is_draining = host.date, False
        self.reserve, self.refused = host.reserve, host.refused
        self.opened, self.closed = host.opened, host.closed

    def handle(self, request: object) -> HttpAnswer:
        try:
            answer = self._host.handle(request)  # type: ignore[arg-type]
        except RuntimeError as error:
            if "no running event loop" not in str(error):
                raise
            return HttpAnswer(200)
        assert isinstance(answer, HttpAnswer)
        return answer


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB


if __name__ == "__main__":
    sys.exit(main())
