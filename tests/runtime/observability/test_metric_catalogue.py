"""The rules of the metric catalogue."""

import ast
import re

import pytest

from headgate.runtime.observability.metric import EVERY, MAX_SERIES, REGISTRY, Metric
from headgate.runtime.observability.metric_catalogue import CATALOGUE, metrics_of
from headgate.v1 import access_service_pb2 as access_service
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import release_service_pb2 as release_service
from tests.house.tree import sources

PROCESS_SERIES = 10
"""The series that prometheus_client's process collector adds."""
UNBOUNDED = ("user", "request", "key", "release", "commit", "attempt")


@pytest.mark.parametrize("service", EVERY)
def test_a_service_exposes_at_most_two_thousand_series_even_with_every_cap_reached(service: str) -> None:
    assert sum(metric.most_series_in(service) for metric in metrics_of(service)) + PROCESS_SERIES <= MAX_SERIES


def test_no_metric_is_declared_twice() -> None:
    names = [metric.name for metric in CATALOGUE]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_a_metric_keeps_the_conventions_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"headgate_[a-z][a-z0-9_]*", metric.name)
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    assert (metric.kind == "histogram") == bool(metric.buckets)
    assert metric.kind != "histogram" or metric.name.endswith(("_seconds", "_requests"))  # the unit
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert metric.help.endswith(".")
    assert metric.services


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_labels_are_bounded(metric: Metric) -> None:
    assert not set(metric.labels) & set(UNBOUNDED)
    assert "version" not in metric.labels or metric.name.endswith("_info")
    assert metric.cap > 1 or not metric.labels or metric.name == "headgate_build_info"


def test_the_edges_of_the_prediction_histogram_meet_the_objectives() -> None:
    (histogram,) = (metric for metric in CATALOGUE if metric.name == "headgate_prediction_duration_seconds")
    assert {0.01, 0.025, 0.05, 0.1, 0.25} <= set(histogram.buckets)


def test_every_declared_metric_is_used_by_some_service() -> None:
    texts = {
        node.value
        for path in sources()
        if path.name != "metric_catalogue.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert {metric.name for metric in CATALOGUE} - texts == set()


def test_the_caps_have_room_for_every_fact_every_command_and_every_method() -> None:
    cap = {metric.name: metric.cap_in(REGISTRY) for metric in CATALOGUE}
    fact_kinds = len(facts.LifecycleRecord.DESCRIPTOR.oneofs_by_name["fact"].fields)
    command_kinds = len(commands.Command.DESCRIPTOR.oneofs_by_name["command"].fields)
    grpc_services = (
        access_service.DESCRIPTOR.services_by_name["AccessService"],
        registry_service.DESCRIPTOR.services_by_name["RegistryService"],
        release_service.DESCRIPTOR.services_by_name["ReleaseService"],
    )
    methods = sum(len(each.methods) for each in grpc_services)
    assert fact_kinds < min(cap["headgate_facts_total"], cap["headgate_fact_duration_seconds"])
    assert command_kinds < cap["headgate_command_duration_seconds"]
    assert 2 * command_kinds < cap["headgate_commands_total"]
    assert methods < cap["headgate_rpc_duration_seconds"]
    assert 2 * methods < cap["headgate_rpc_requests_total"]
