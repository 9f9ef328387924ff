"""The cost of counting one prediction in the gateway, compared with prometheus_client and a label lookup per call."""

import time
from collections.abc import Callable
from pathlib import Path

from headgate.runtime.observability.metric import GATEWAY
from headgate.runtime.observability.metrics import Metrics
from services.gateway.prediction_metrics import OK, PredictionMetrics
from services.gateway.routes import Route
from tests.bench.results import Results, Slice

PREDICTIONS, QUICK_PREDICTIONS = 400_000, 50_000
SLICES = 5
SECONDS = 0.0004
"""The duration of each counted prediction, a usual one."""
WHAT = "counting a prediction"


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Measures both in turns, on metrics with the same labels and buckets."""
    count = QUICK_PREDICTIONS if quick else PREDICTIONS
    arm = PredictionMetrics(Metrics(GATEWAY)).metrics_of(Route("fraud", stable=1)).stable
    counts, seconds = _by_labels(Metrics(GATEWAY))

    def own() -> None:
        arm.answered(OK, SECONDS)

    def peer() -> None:
        counts.labels("fraud", "stable", OK).inc()
        seconds.labels("fraud", "stable").observe(SECONDS)

    slices = [(_cost(own, count), _cost(peer, count)) for _ in range(SLICES)]
    ours = results.add(WHAT, "headgate", [mine for mine, _ in slices])
    other = results.add(WHAT, "prometheus_client labels()", [theirs for _, theirs in slices])
    results.compare(
        "counting, predictions per CPU second", other["us CPU/prediction"] / ours["us CPU/prediction"], 1.5, 2
    )


def _by_labels(metrics: Metrics) -> tuple:
    """The metrics of prometheus_client that Headgate's metrics wrap."""
    return (
        metrics.counter("headgate_predictions_total")._metric,
        metrics.histogram("headgate_prediction_duration_seconds")._metric,
    )


def _cost(once: Callable[[], None], count: int) -> Slice:
    began = time.process_time()
    for _ in range(count):
        once()
    return {"us CPU/prediction": (time.process_time() - began) / count * 1e6}
