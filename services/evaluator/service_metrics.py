"""The evaluator's own metrics: how long evaluations take and how they end, and the gate's verdicts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from headgate.log.port import Record
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts

FINISHED, FAILED, BROKEN = "finished", "failed", "broken"


class EvaluationOutcome:
    """How an evaluation ends: `broken` when there is no report of it."""

    label = BROKEN

    def set_from(self, report: commands.Command) -> None:
        self.label = FINISHED if report.HasField("report_evaluation_finished") else FAILED


class EvaluatorMetrics:
    def __init__(self, metrics: Metrics) -> None:
        self._duration = metrics.histogram("headgate_evaluation_duration_seconds")
        self._verdicts = metrics.counter("headgate_gate_verdicts_total")

    @contextmanager
    def evaluation(self) -> Iterator[EvaluationOutcome]:
        """Measures how long the block takes, under the outcome that is set in it."""
        outcome, started = EvaluationOutcome(), time.perf_counter()
        try:
            yield outcome
        finally:
            self._duration.labels(outcome.label).observe(time.perf_counter() - started)

    def on_accepted(self, record: Record, lifecycle: facts.LifecycleRecord) -> None:
        """Counts a new verdict. The fold calls it for each accepted record once it has caught up."""
        if lifecycle.HasField("gate_decided"):
            self._verdicts.labels("passed" if lifecycle.gate_decided.passed else "failed").inc()
