import pytest

from headgate.log.port import LogUnavailable
from services.gateway import reporter as reporters
from services.gateway.reporter import Reporter
from tests.gateway import networks
from tests.gateway.harness import canary, infer_request, running_gateway, until


class Sink:
    """Keeps reports, or refuses them while `unavailable`."""

    def __init__(self):
        self.unavailable = False
        self.sent = []

    def send(self, key, **measurement):
        if self.unavailable:
            raise LogUnavailable("unavailable")
        self.sent.append((key, *measurement.popitem()))

    def all(self, kind):
        return [value for _, sent_kind, value in self.sent if sent_kind == kind]


@pytest.fixture
def gateway():
    with running_gateway({("fraud", 1): networks.affine(2.0), ("fraud", 2): networks.affine(3.0)}) as gateway:
        gateway.serve(live=1, release=canary(10_000, epoch=4))
        gateway.sink = Sink()
        yield gateway


@pytest.fixture
def reporter(gateway, monkeypatch):
    monkeypatch.setattr(reporters, "REPORT_SECONDS", 0.01)
    addresses = "10.0.0.7:8001", "10.0.0.7:8002"
    reporter = Reporter(gateway.sink, gateway.follower.table.statuses, gateway.evidence, "production", *addresses)
    reporter.start()
    yield reporter
    reporter.leave()


def test_the_status_names_both_addresses_the_loaded_versions_and_the_epoch(gateway, reporter):
    status = until(lambda: gateway.sink.all("gateway_status"))[0]
    assert (status.environment, status.address, status.leaving) == ("production", "10.0.0.7:8001", False)
    assert status.rest_address == "10.0.0.7:8002"
    (route,) = status.routes
    assert (route.model, route.epoch, list(route.ready_versions)) == ("fraud", 4, [1, 2])
    assert gateway.sink.sent[0][0] == "environments/production"


def test_evidence_is_sent_only_when_it_has_changed(gateway, reporter):
    gateway.infer(infer_request([[1, 1, 1]], key="a"))
    until(lambda: gateway.sink.all("evidence"))
    before = len(gateway.sink.all("gateway_status"))
    until(lambda: len(gateway.sink.all("gateway_status")) > before + 3)
    (evidence,) = gateway.sink.all("evidence")
    assert (evidence.model, evidence.release, evidence.epoch, evidence.arms[1].keys) == ("fraud", 1, 4, 1)


def test_counts_that_the_log_did_not_take_are_in_the_next_report(gateway, reporter):
    gateway.sink.unavailable = True
    gateway.infer(infer_request([[1, 1, 1]], key="a"))
    gateway.sink.unavailable = False
    gateway.infer(infer_request([[1, 1, 1]], key="b"))
    until(lambda: [each for each in gateway.sink.all("evidence") if each.arms[1].requests == 2])


def test_the_last_status_of_a_gateway_reports_that_it_is_leaving(gateway, reporter):
    until(lambda: gateway.sink.all("gateway_status"))
    reporter.leave()
    statuses = gateway.sink.all("gateway_status")
    assert [status.leaving for status in statuses[-2:]] == [False, True]
