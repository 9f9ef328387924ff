"""The trainer's metrics: how long attempts take and how they end, and the last losses."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headgate.domain.words import word_of
from headgate.runtime.observability.metrics import Metrics, Reading
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import telemetry_pb2 as telemetry

FINISHED, FAILED, LEFT = "finished", "failed", "left"
LOSS = "headgate_training_loss"


class AttemptOutcome:
    """How an attempt ends: `left` when there is no report of it."""

    label = LEFT
    failed_stage: facts.Stage.ValueType | None = None

    def set_from(self, report: commands.Command | None) -> None:
        if report is None:
            return
        if report.HasField("report_training_finished"):
            self.label = FINISHED
            return
        failed = report.report_training_failed.fact
        self.label = FAILED
        self.failed_stage = failed.stage if report.HasField("report_training_failed") else facts.STAGE_TESTS


class TrainerMetrics:
    def __init__(self, metrics: Metrics, last_epochs: Callable[[], list[telemetry.EpochMeasured]]) -> None:
        self._last_epochs = last_epochs
        self._duration = metrics.histogram("headgate_training_duration_seconds")
        self._failed = metrics.counter("headgate_failed_attempts_total")
        metrics.read_at_scrape([LOSS], self._losses)

    @contextmanager
    def attempt(self) -> Iterator[AttemptOutcome]:
        """Measures how long the block takes, under the outcome that is set in it."""
        outcome, started = AttemptOutcome(), time.perf_counter()
        try:
            yield outcome
        finally:
            self._duration.labels(outcome.label).observe(time.perf_counter() - started)
            if outcome.failed_stage is not None:
                self._failed.labels(word_of(facts.Stage, outcome.failed_stage)).inc()

    def _losses(self) -> Iterator[Reading]:
        for epoch in self._last_epochs():
            yield Reading(LOSS, (epoch.model, "train"), epoch.train_loss)
            yield Reading(LOSS, (epoch.model, "validation"), epoch.validation_loss)
