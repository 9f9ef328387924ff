"""Rate, outcome and duration of the commands that the registry executes, and its refusals by code."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from headgate.domain.refusal import Refused
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import commands_pb2 as commands

ACCEPTED, HELD, REPEATED, REFUSED, FAILED = "accepted", "held", "repeated", "refused", "failed"
UNKNOWN = "unknown"


class Measured:
    """What became of the command at hand; it failed unless it is said otherwise."""

    outcome = FAILED


class CommandMetrics:
    def __init__(self, metrics: Metrics) -> None:
        self._commands = metrics.counter("headgate_commands_total")
        self._duration = metrics.histogram("headgate_command_duration_seconds")
        self._refusals = metrics.counter("headgate_refusals_total")

    @contextmanager
    def measured(self, command: commands.Command) -> Iterator[Measured]:
        """Counts the command with the outcome that is set inside, also when an exception leaves."""
        measured, started = Measured(), time.perf_counter()
        try:
            yield measured
        finally:
            name = command.WhichOneof("command") or UNKNOWN
            self._commands.labels(name, measured.outcome).inc()
            self._duration.labels(name).observe(time.perf_counter() - started)

    def refused(self, refused: Refused) -> None:
        """A refusal is about to be recorded."""
        self._refusals.labels(refused.code).inc()
