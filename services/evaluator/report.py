"""The measurements as they are recorded: metrics in the order of their names."""

from collections.abc import Iterable, Iterator

from headgate.artifacts.findings import Findings
from headgate.evaluation_tables import LEAKAGE
from headgate.v1 import facts_pb2 as facts
from services.evaluator.metrics.measure import Measured
from services.evaluator.metrics.scores import Interval, Method, Scores

COUNTED = "it is counted on these rows, and it estimates nothing about others"
OWN_CODE = "only the repository's own code measures it, and the evaluator runs none of it"
OTHER_ROWS = "only the code of that version measures it, and it did so on other test rows"
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


def add_findings(report: facts.EvaluationReport, findings: Findings) -> None:
    """Adds what the training has measured: the repository's own metrics, and the share of test rows that leaked."""
    metrics = _own_metrics(findings)
    if findings.leaked_rows is not None:
        metrics.append(facts.Metric(name=LEAKAGE, value=findings.leaked_rows / report.rows, no_interval=COUNTED))
    _add(report, metrics)


def add_own_metrics_of_live(report: facts.EvaluationReport, findings: Findings, same_rows: bool) -> None:
    """Adds those of the live version where its code has measured them on the candidate's rows."""
    if same_rows:
        _add(report, _own_metrics(findings))
        return
    for name in sorted(findings.own_metrics):
        report.undefined.add(name=name, reason=OTHER_ROWS)


def _own_metrics(findings: Findings) -> list[facts.Metric]:
    return [facts.Metric(name=name, value=value, no_interval=OWN_CODE) for name, value in findings.own_metrics.items()]


def _add(report: facts.EvaluationReport, added: Iterable[facts.Metric]) -> None:
    metrics = sorted([*report.metrics, *added], key=lambda metric: metric.name)
    del report.metrics[:]
    report.metrics.extend(metrics)


def _metrics(measured: Measured) -> Iterator[facts.Metric]:
    for name, value in sorted(measured.scores.values.items()):
        interval = measured.intervals.get(name)
        reason = measured.without_interval.get(name, "")
        yield facts.Metric(
            name=name, value=value, interval=_interval(interval) if interval else None, no_interval=reason
        )


def _interval(interval: Interval) -> facts.Interval:
    method = METHODS[interval.method]
    return facts.Interval(low=interval.low, high=interval.high, confidence=interval.confidence, method=method)


def _undefined(scores: Scores) -> Iterator[facts.UndefinedMetric]:
    for name, reason in sorted(scores.undefined.items()):
        yield facts.UndefinedMetric(name=name, reason=reason)
