"""Instruments: only declared metrics can be used, and none has more series than its cap."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headgate.runtime.observability.metric_catalogue import metrics_of
from headgate.runtime.observability.metrics import Metrics, Reading, UndeclaredMetric
from tests.metrics.exposed import text_of

CAP = next(metric.cap_in("gateway") for metric in metrics_of("gateway") if metric.name == "headgate_predictions_total")
OWN_SERIES = CAP * 3 // 4
"""So many models may have a series of their own before places are kept for others."""


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = text_of(metrics)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, frozenset(labels.items())))


def test_a_metric_that_is_not_declared_for_the_service_cannot_be_used() -> None:
    metrics = Metrics("registry")
    with pytest.raises(UndeclaredMetric, match="headgate_made_up_total"):
        metrics.counter("headgate_made_up_total")
    with pytest.raises(UndeclaredMetric, match="headgate_predictions_total"):
        metrics.counter("headgate_predictions_total")
    with pytest.raises(UndeclaredMetric, match="headgate_facts_total"):
        metrics.gauge("headgate_facts_total")
    with pytest.raises(UndeclaredMetric, match="headgate_releases"):
        metrics.read_at_scrape(["headgate_releases"], list)


def test_an_exposition_names_the_build_and_has_no_series_of_creation_times() -> None:
    metrics = Metrics("gateway")
    metrics.counter("headgate_facts_total").labels("ModelCreated").inc()
    text = text_of(metrics)
    assert re.search(r'headgate_build_info\{python="3[^"]*",service="gateway",version="[^"]+"\} 1.0', text)
    assert 'headgate_facts_total{fact="ModelCreated"} 1.0' in text
    assert "_created" not in text
    assert "process_resident_memory_bytes" in text


def test_beyond_the_cap_models_share_a_series_and_nothing_is_lost() -> None:
    metrics = Metrics("gateway")
    family = metrics.counter("headgate_predictions_total")
    for number in range(2_000):
        family.labels(f"m{number}", "stable", "ok").inc()
    found = {labels: count for (name, labels), count in samples(metrics).items() if name.startswith("headgate_pred")}
    assert len(found) <= CAP
    assert sum(found.values()) == 2_000
    assert value(metrics, "headgate_predictions_total", model="m1", arm="stable", outcome="ok") == 1
    assert (
        value(metrics, "headgate_predictions_total", model="_other", arm="stable", outcome="ok") == 2_000 - OWN_SERIES
    )


def test_a_model_with_series_or_in_a_release_gets_its_own_when_places_are_short() -> None:
    metrics = Metrics("gateway")
    family = metrics.counter("headgate_predictions_total")
    for number in range(2_000):
        family.labels(f"m{number}", "stable", "ok").inc()
    family.labels("m1", "stable", "bad").inc()
    family.labels("m1999", "candidate", "bad", has_priority=True).inc()
    family.labels("m1998", "candidate", "bad").inc()
    for model, count in (("m1", None), ("m1999", None), ("_other", 1.0)):
        arm = "stable" if model == "m1" else "candidate"
        assert value(metrics, "headgate_predictions_total", model=model, arm=arm, outcome="bad") == (count or 1.0)


def test_no_order_of_labels_exceeds_the_cap() -> None:
    metrics = Metrics("deployer")
    family = metrics.counter("headgate_release_events_total")
    for number in range(1_000):
        for event in ("a", "b", "c"):
            family.labels(f"e{number}", f"m{number}", event, has_priority=number % 2 == 0).inc()
    found = [count for (name, _), count in samples(metrics).items() if name == "headgate_release_events_total"]
    assert len(found) <= 250
    assert sum(found) == 3_000


def test_a_removed_series_frees_its_place_for_another() -> None:
    metrics = Metrics("gateway")
    family = metrics.counter("headgate_predictions_total")
    for number in range(OWN_SERIES):
        family.labels(f"m{number}", "stable", "ok").inc()
    family.remove(lambda values: values[0] == "m7")
    assert value(metrics, "headgate_predictions_total", model="m7", arm="stable", outcome="ok") is None
    family.labels("new", "stable", "ok").inc(3)
    assert value(metrics, "headgate_predictions_total", model="new", arm="stable", outcome="ok") == 3


def test_a_gauge_is_read_at_the_scrape_and_values_that_are_gone_have_no_series() -> None:
    state = {"fraud": 0.25}
    metrics = Metrics("deployer")
    name = "headgate_release_weight_wanted_ratio"
    metrics.read_at_scrape(
        [name], lambda: [Reading(name, ("production", model, "candidate"), share) for model, share in state.items()]
    )
    labels = {"environment": "production", "model": "fraud", "arm": "candidate"}
    assert value(metrics, name, **labels) == 0.25
    state.clear()
    assert value(metrics, name, **labels) is None


def test_readings_beyond_the_cap_are_combined_as_their_largest_or_their_sum() -> None:
    metrics = Metrics("deployer")
    ratio, active = "headgate_release_weight_wanted_ratio", "headgate_release_active"
    readings = [Reading(ratio, ("production", f"m{n}", "candidate"), n / 1_000) for n in range(1_000)]
    readings += [Reading(active, ("production", f"m{n}", "stepping"), 1.0) for n in range(1_000)]
    metrics.read_at_scrape([ratio, active], lambda: readings)
    found = samples(metrics)
    assert len([name for name, _ in found if name == ratio]) == 76
    assert value(metrics, ratio, environment="production", model="_other", arm="candidate") == 0.999
    assert value(metrics, active, environment="production", model="_other", phase="stepping") == 925


def test_openmetrics_is_sent_to_a_client_that_accepts_it() -> None:
    assert text_of(Metrics("registry"), "application/openmetrics-text; version=1.0.0").endswith("# EOF\n")
    assert "# EOF" not in text_of(Metrics("registry"))
