"""Writes what devices have counted to telemetry, the totals of many devices in one record.

A device hears that its totals were taken once the log has them, so none is lost. None is counted twice either, because
readers keep the newest totals of each device.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from headgate.domain.names import model_stream
from headgate.log.port import LogError
from headgate.runtime.errors import RpcRefused
from headgate.telemetry import counters
from headgate.telemetry.rules import MAX_DEVICES
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import telemetry_pb2 as telemetry

GATHER_SECONDS = 0.5
"""How long reports wait for others, so that thousands of devices make few records."""
MAX_WAITING = 20_000
"""Totals that wait to be written. Later ones are refused, and their devices report them again."""
RETRY_SECONDS = 10.0


class Telemetry(Protocol):
    """Sends one measurement, named as its field in TelemetryRecord. Raises LogError when the log does not take it."""

    def send(self, key: str, **measurement: Any) -> object: ...


@dataclass(frozen=True, slots=True)
class Claim:
    """Totals of one device that may be evidence."""

    device: str
    incarnation: str
    totals: edge.DeviceTotals


Waiting = tuple[Sequence[Claim], "Future[None]"]


def records_of(environment: str, claims: Sequence[Claim]) -> Iterator[telemetry.DeviceEvidence]:
    """The claims as records: together what belongs to one epoch, at most MAX_DEVICES in one record. Pure."""
    groups: defaultdict[tuple[str, int, int, int], list[Claim]] = defaultdict(list)
    for claim in claims:
        totals = claim.totals
        groups[totals.model, totals.release, totals.epoch, totals.candidate_weight_bps].append(claim)
    for (model, release, epoch, weight), found in groups.items():
        for start in range(0, len(found), MAX_DEVICES):
            yield telemetry.DeviceEvidence(
                environment=environment,
                model=model,
                release=release,
                epoch=epoch,
                candidate_weight_bps=weight,
                devices=map(_device_counts, found[start : start + MAX_DEVICES]),
            )


class ReportWriter:
    """Writes from a thread of its own."""

    def __init__(self, sink: Telemetry, environment: str, gather_seconds: float = GATHER_SECONDS) -> None:
        self._sink = sink
        self._environment = environment
        self._gather_seconds = gather_seconds
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._waiting: list[Waiting] = []
        self._size = 0
        self._thread = threading.Thread(target=self._run, name="edge-reports", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def put(self, claims: Sequence[Claim]) -> "Future[None]":
        """Writes the claims soon. The result comes once the log has them; it raises RpcRefused when the log fails."""
        written: Future[None] = Future()
        written.set_running_or_notify_cancel()  # only the writer ends it, so a device that went away does not
        if not claims:
            written.set_result(None)
            return written
        with self._changed:
            if self._closing.is_set() or self._size + len(claims) > MAX_WAITING:
                raise _unavailable("too many reports wait here")
            self._waiting.append((claims, written))
            self._size += len(claims)
            self._changed.notify()
        return written

    def close(self, timeout_seconds: float) -> None:
        """Writes what waits, and ends the thread."""
        with self._changed:
            self._closing.set()
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while (waiting := self._next()) is not None:
            refusal = self._write([claim for claims, _ in waiting for claim in claims])
            for _, written in waiting:
                written.set_result(None) if refusal is None else written.set_exception(refusal)

    def _next(self) -> "list[Waiting] | None":
        """The reports to write now. None once nothing comes any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing.is_set())
        self._closing.wait(self._gather_seconds)
        with self._changed:
            waiting, self._waiting, self._size = self._waiting, [], 0
        return None if self._closing.is_set() and not waiting else waiting

    def _write(self, claims: Sequence[Claim]) -> RpcRefused | None:
        """Appends the records. Returns why not all of them are in the log; None when they are."""
        try:
            for record in records_of(self._environment, claims):
                self._sink.send(model_stream(record.model), device_evidence=record)
        except LogError as error:
            return _unavailable(f"the log does not take reports: {error}")
        return None


def _device_counts(claim: Claim) -> telemetry.DeviceCounts:
    totals = claim.totals
    counts = {counter: getattr(totals, counter) for counter in counters.OF_A_DEVICE}
    return telemetry.DeviceCounts(
        device=claim.device, incarnation=claim.incarnation, arm=totals.arm, version=totals.version, **counts
    )


def _unavailable(why: str) -> RpcRefused:
    rule = f"{why}; report again later: nothing is counted twice"
    return RpcRefused(grpc.StatusCode.UNAVAILABLE, "reports-not-taken", rule, retry_after_seconds=RETRY_SECONDS)
