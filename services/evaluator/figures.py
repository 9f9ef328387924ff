"""What the evaluator counts: how long evaluations take and how they end, and the gate's verdicts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from headgate.log.port import Record
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts

FINISHED, FAILED, BROKEN = "finished", "failed", "broken"


class Evaluation:
    """One under way; broken unless it comes to a report."""

    outcome = BROKEN

    def reported(self, report: commands.Command) -> None:
        self.outcome = FINISHED if report.HasField("report_evaluation_finished") else FAILED


class Figures:
    def __init__(self, metrics: Metrics) -> None:
        self._duration = metrics.histogram("headgate_evaluation_duration_seconds")
        self._verdicts = metrics.counter("headgate_gate_verdicts_total")

    @contextmanager
    def evaluation(self) -> Iterator[Evaluation]:
        """Measures what is done inside."""
        evaluation, started = Evaluation(), time.perf_counter()
        try:
            yield evaluation
        finally:
            self._duration.labels(evaluation.outcome).observe(time.perf_counter() - started)

    def accepted(self, record: Record, lifecycle: facts.LifecycleRecord) -> None:
        """Listens to the fold once it is live."""
        if lifecycle.HasField("gate_decided"):
            self._verdicts.labels("passed" if lifecycle.gate_decided.passed else "failed").inc()
