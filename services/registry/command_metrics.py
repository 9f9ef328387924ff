"""Counts the registry's commands by outcome, measures their duration, and counts refusals by code."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from headgate.domain.refusal import Refused
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import commands_pb2 as commands

ACCEPTED, HELD, REPEATED, REFUSED, FAILED = "accepted", "held", "repeated", "refused", "failed"
UNKNOWN = "unknown"


class Measurement:
    """The outcome of one command. It stays FAILED unless the caller sets another one."""

    outcome = FAILED


class CommandMetrics:
    def __init__(self, metrics: Metrics) -> None:
        self._commands = metrics.counter("headgate_commands_total")
        self._duration = metrics.histogram("headgate_command_duration_seconds")
        self._refusals = metrics.counter("headgate_refusals_total")

    @contextmanager
    def measured(self, command: commands.Command) -> Iterator[Measurement]:
        """Counts and times one command. The caller sets its outcome; after an exception the outcome is FAILED."""
        measurement, started = Measurement(), time.perf_counter()
        try:
            yield measurement
        finally:
            name = command.WhichOneof("command") or UNKNOWN
            self._commands.labels(name, measurement.outcome).inc()
            self._duration.labels(name).observe(time.perf_counter() - started)

    def refused(self, refused: Refused) -> None:
        """Counts a refusal."""
        self._refusals.labels(refused.code).inc()
