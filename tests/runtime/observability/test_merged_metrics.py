"""One page of metrics for several processes of a service."""

from headgate.runtime.observability.merged_metrics import ACROSS, MergedMetrics
from headgate.runtime.observability.metric import GATEWAY, OTHER
from headgate.runtime.observability.metric_catalogue import metrics_of
from headgate.runtime.observability.metrics import Metrics, Reading
from tests.metrics.exposed import parsed

CALLS, SECONDS, FACTS = "headgate_predictions_total", "headgate_prediction_duration_seconds", "headgate_facts_total"


class Process:
    def __init__(self, calls=0, facts=0, waiting=0, skew=0.0):
        self.metrics = Metrics(GATEWAY)
        self.calls = self.metrics.counter(CALLS).labels("fraud", "stable", "ok")
        self.calls.inc(calls)
        for _ in range(calls):
            self.metrics.histogram(SECONDS).labels("fraud", "stable").observe(0.02)
        self.metrics.counter(FACTS).labels("VersionCreated").inc(facts)
        self.metrics.gauge("headgate_clock_skew_seconds").labels().set(skew)
        self.metrics.read_at_scrape(
            ["headgate_predictions_waiting"], lambda: [Reading("headgate_predictions_waiting", ("fraud",), waiting)]
        )


def merged(*processes):
    """The merged metrics of processes that the test may add and take away."""
    running = list(processes)
    return MergedMetrics(GATEWAY, lambda: [process.metrics.text() for process in running]), running


def shown(metrics):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics"}
    return parsed(b"".join(metrics.application()(environ, lambda *_: lambda _: None)).decode())


def calls(metrics):
    return shown(metrics).total(CALLS, model="fraud")


def test_counts_are_added_up_and_what_each_process_reads_from_the_log_is_not():
    metrics, _ = merged(Process(calls=3, facts=5, waiting=2), Process(calls=4, facts=4, waiting=1, skew=-9.0))
    page = shown(metrics)
    assert page.value(CALLS, model="fraud", arm="stable", outcome="ok") == 7
    assert page.value(SECONDS + "_count", model="fraud", arm="stable") == 7
    assert page.value(SECONDS + "_bucket", model="fraud", arm="stable", le="0.025") == 7
    assert page.value(FACTS, fact="VersionCreated") == 5
    assert page.value("headgate_predictions_waiting", model="fraud") == 3
    assert page.value("headgate_clock_skew_seconds") == -9
    assert page.total("headgate_build_info", service="gateway") == 1


def test_no_count_goes_back_or_doubles_when_processes_end_and_are_started_again():
    first, second = Process(calls=3), Process(calls=4)
    metrics, running = merged(first, second)
    seen = [calls(metrics)]
    for ended in (first, second):
        running.remove(ended)
        metrics.retire(ended.metrics.text)
        seen.append(calls(metrics))
        running.append(Process(calls=1))
        seen.append(calls(metrics))
    assert seen == [7, 7, 8, 8, 9]


def test_more_models_than_one_process_may_show_share_a_series():
    (metric,) = (each for each in metrics_of(GATEWAY) if each.name == CALLS)
    metrics, running = merged(Process(), Process())
    for number, process in enumerate(running):
        for model in range(metric.cap_in(GATEWAY)):
            process.metrics.counter(CALLS).labels(f"m-{number}-{model}", "stable", "ok").inc()
    page = shown(metrics)
    assert page.total(CALLS) == 2 * metric.cap_in(GATEWAY)
    assert page.total(CALLS, model=OTHER) > metric.cap_in(GATEWAY)
    assert page.series_by_name()[CALLS] <= metric.cap_in(GATEWAY)


def test_each_exception_is_a_metric_of_the_gateway_or_of_a_process():
    declared = {metric.name for metric in metrics_of(GATEWAY)}
    assert {name for name in ACROSS if name.startswith("headgate_")} <= declared
    assert {name for name in ACROSS if not name.startswith("headgate_")} <= shown(merged(Process())[0]).names
