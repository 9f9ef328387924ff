"""All services with a thousand models and traffic: every declared metric is exposed, and the series stay bounded."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from headgate.artifacts.store import open_store
from headgate.inference import grpc_predict_v2_pb2_grpc as inference_grpc
from headgate.log import topics
from headgate.log.port import EventLog
from headgate.runtime.observability.edge_metrics import EDGE
from headgate.runtime.observability.metric import EVERY, MAX_SERIES
from headgate.runtime.observability.metric_catalogue import metrics_of
from tests.drain.builds import build
from tests.drain.processes import Installation
from tests.gateway.harness import infer_request
from tests.metrics.exposed import Exposition, exposition
from tests.metrics.fleet import Fleet
from tests.server_process import free_ports
from tests.waiting import until

MODELS = 1_000
IN_RELEASE = 300
"""How many of them have a running canary: more than any metric has series for."""
NAMES = [f"model-{number:04d}" for number in range(MODELS)]
MODELS_AT_ONCE = 100
STOP_SECONDS = 5.0
POLL_SECONDS = 0.5
"""An exposition of a thousand models costs this process a tenth of a second."""
OF_REDIS = {metric.name for metric in metrics_of("registry") if metric.name.startswith("headgate_view")}
OF_REDIS |= {"headgate_rate_limited_total"}
OF_DEVICES = {metric.name for metric in EDGE}
OF_AUTHENTICATION = {"headgate_access_refusals_total"}


class AllServices:
    """All services in this process, over one log."""

    def __init__(self, directory: Path) -> None:
        installation = Installation(directory)
        self.log, self.key = installation.log, installation.key
        self.store = open_store((directory / "artifacts").as_uri())
        self.ports = dict(zip(EVERY, free_ports(len(EVERY)), strict=True))
        self.services = {service: build(service, installation, port) for service, port in self.ports.items()}
        self.stubs = {name: service.start() for name, service in self.services.items()}

    def shown(self, service: str) -> Exposition:
        return exposition(self.ports[service])

    def stop(self) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda service: service.stop(STOP_SECONDS), self.services.values()))
        self.log.close()


@pytest.fixture(scope="module")
def running_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AllServices]:
    """All services have folded the facts live, all versions are loaded, and each model got a few requests."""
    running = AllServices(tmp_path_factory.mktemp("thousand"))
    fleet = Fleet(running.store, running.key)
    append(running.log, fleet)
    facts = sum(running.log.end(topics.LIFECYCLE).values())
    for service in EVERY:
        until(
            lambda: running.shown(service).total("headgate_facts_total") == facts,  # noqa: B023
            f"the fold of {service}",
            pause_seconds=POLL_SECONDS,
        )
    until(
        lambda: running.shown("gateway").value("headgate_versions_loaded") == MODELS + IN_RELEASE,
        "the versions",
        pause_seconds=POLL_SECONDS,
    )
    with grpc.insecure_channel(f"127.0.0.1:{running.stubs['gateway']}") as channel:
        predict(inference_grpc.GRPCInferenceServiceStub(channel))
    until(
        lambda: running.shown("deployer").series_by_name()["headgate_release_weight_observed_ratio"] > 1,
        "the evidence",
        pause_seconds=POLL_SECONDS,
    )
    yield running
    running.stop()


def append(log: EventLog, fleet: Fleet) -> None:
    """Appends all facts of a model in one step, so that no worker finds due work between them."""
    for start in range(0, MODELS, MODELS_AT_ONCE):
        names = NAMES[start : start + MODELS_AT_ONCE]
        messages = [message for name in names for message in fleet.messages(name, in_release=start < IN_RELEASE)]
        log.append_all(messages, timeout_seconds=60.0)


def predict(stub: inference_grpc.GRPCInferenceServiceStub) -> None:
    """Sends four requests to each model: two reach both arms, one answer is not a number, one request is invalid."""
    for start in range(0, MODELS, MODELS_AT_ONCE):
        calls = [
            stub.ModelInfer.future(infer_request(rows, model=name, key=key))
            for name in NAMES[start : start + MODELS_AT_ONCE]
            for key, rows in (("a", [[1, 1, 1]]), ("b", [[1, 1, 1]]), ("c", [[-1, 1, 1]]), ("d", [[1, 1]]))
        ]
        assert sum(call.exception() is not None for call in calls) == MODELS_AT_ONCE


@pytest.mark.parametrize("service", EVERY)
def test_a_thousand_models_make_at_most_two_thousand_series(running_services: AllServices, service: str) -> None:
    shown = running_services.shown(service)
    print(f"{service}: {len(shown.values)} series at {MODELS} models")
    assert len(shown.values) <= MAX_SERIES
    caps = {metric.name: metric.cap_in(service) for metric in metrics_of(service) if metric.kind != "histogram"}
    assert [(name, count) for name, count in shown.series_by_name().items() if count > caps.get(name, MAX_SERIES)] == []


@pytest.mark.parametrize("service", EVERY)
def test_every_metric_declared_for_a_service_is_exposed_by_it(running_services: AllServices, service: str) -> None:
    declared = {metric.name for metric in metrics_of(service)}
    elsewhere = OF_REDIS | OF_DEVICES | OF_AUTHENTICATION
    assert declared - elsewhere - running_services.shown(service).names == set()


def test_no_prediction_is_lost_beyond_the_cap(running_services: AllServices) -> None:
    shown = running_services.shown("gateway")
    for outcome, count in (("ok", 2 * MODELS), ("bad", MODELS), ("refused", MODELS)):
        assert shown.total("headgate_predictions_total", outcome=outcome) == count
    assert shown.total("headgate_predictions_total", model="_other") > 0
    assert shown.total("headgate_prediction_duration_seconds_count") == 3 * MODELS


def test_no_release_is_lost_beyond_the_cap(running_services: AllServices) -> None:
    shown = running_services.shown("deployer")
    assert shown.total("headgate_release_active") == IN_RELEASE
    assert shown.total("headgate_version_live_info") == MODELS
    assert shown.total("headgate_release_events_total", event="ReleaseCompleted") == MODELS
    assert shown.value("headgate_releases", environment="production", phase="completed") == MODELS
    assert shown.value("headgate_releases", environment="production", phase="paused") == IN_RELEASE
