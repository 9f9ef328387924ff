"""What the trainer counts: how long attempts take and how they end, their epochs and the last losses."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headgate.runtime.observability.metrics import Metrics, Reading
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import telemetry_pb2 as telemetry

FINISHED, FAILED, LEFT = "finished", "failed", "left"
LOSS = "headgate_training_loss"


class Ending:
    """How an attempt ends; left unless it comes to a report."""

    outcome = LEFT

    def reported(self, report: commands.Command | None) -> None:
        if report is not None:
            self.outcome = FINISHED if report.HasField("report_training_finished") else FAILED


class Figures:
    def __init__(self, metrics: Metrics, last_epochs: Callable[[], list[telemetry.EpochMeasured]]) -> None:
        self._last_epochs = last_epochs
        self._duration = metrics.histogram("headgate_training_duration_seconds")
        metrics.read_at_scrape([LOSS], self._losses)

    @contextmanager
    def attempt(self) -> Iterator[Ending]:
        """Measures what is done inside."""
        ending, started = Ending(), time.perf_counter()
        try:
            yield ending
        finally:
            self._duration.labels(ending.outcome).observe(time.perf_counter() - started)

    def _losses(self) -> Iterator[Reading]:
        for epoch in self._last_epochs():
            yield Reading(LOSS, (epoch.model, "train"), epoch.train_loss)
            yield Reading(LOSS, (epoch.model, "validation"), epoch.validation_loss)
