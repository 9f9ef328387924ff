"""The measurements as they are recorded: metrics in the order of their names."""

from collections.abc import Iterator

from headgate.v1 import facts_pb2 as facts
from services.evaluator.metrics.measure import Measured
from services.evaluator.metrics.scores import Interval, Method, Scores

METHODS = {
    Method.EXACT_BINOMIAL: facts.INTERVAL_METHOD_EXACT_BINOMIAL,
    Method.BOOTSTRAP: facts.INTERVAL_METHOD_BOOTSTRAP,
}


def report_of(measured: Measured, rows_sha256: str, duration_ms: int) -> facts.EvaluationReport:
    return facts.EvaluationReport(
        rows=measured.rows,
        rows_sha256=rows_sha256,
        metrics=_metrics(measured),
        undefined=_undefined(measured.scores),
        confusion=[
            facts.ConfusionCell(actual=actual, predicted=predicted, count=count)
            for (actual, predicted), count in measured.confusion.items()
        ],
        slices=[
            facts.SliceReport(slice=name, rows=part.rows, metrics=_metrics(part), undefined=_undefined(part.scores))
            for name, part in measured.slices.items()
        ],
        duration_ms=duration_ms,
    )


def _metrics(measured: Measured) -> Iterator[facts.Metric]:
    for name, value in sorted(measured.scores.values.items()):
        interval = measured.intervals.get(name)
        yield facts.Metric(name=name, value=value, interval=_interval(interval) if interval else None)


def _interval(interval: Interval) -> facts.Interval:
    method = METHODS[interval.method]
    return facts.Interval(low=interval.low, high=interval.high, confidence=interval.confidence, method=method)


def _undefined(scores: Scores) -> Iterator[facts.UndefinedMetric]:
    for name, reason in sorted(scores.undefined.items()):
        yield facts.UndefinedMetric(name=name, reason=reason)
