"""What the server for devices answers to one that sends something wrong, or follows for a while."""

import grpc
import pytest

from headgate.runtime.errors import RpcRefused
from headgate.runtime.observability.metric import GATEWAY
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import edge_service_pb2_grpc as edge_grpc
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.fleet.devices import Devices
from services.gateway.fleet.report_writer import MAX_WAITING, Claim, ReportWriter
from services.gateway.fleet.servicer import MAX_MODELS, MAX_TOTALS, PART_BYTES
from tests.gateway import networks
from tests.gateway.edge.harness import Log, running_fleet
from tests.gateway.harness import canary
from tests.waiting import PATIENCE_SECONDS

WHO = {"environment": "production", "device": "till-1"}


@pytest.fixture
def fleet(tmp_path):
    with running_fleet(tmp_path) as fleet:
        fleet.build(1, networks.affine(2.0))
        fleet.build(2, networks.embedding(PART_BYTES // 4))
        fleet.route(release=canary(5_000, epoch=7))
        with grpc.insecure_channel(fleet.address) as channel:
            fleet.stub = edge_grpc.EdgeServiceStub(channel)
            yield fleet


def watch(fleet, **fields):
    return fleet.stub.WatchRoutes(edge.WatchRoutesRequest(**(WHO | fields)), timeout=PATIENCE_SECONDS)


def first_routes(fleet, **fields):
    """The first message with the release. One with older routes may come before it."""
    return next(each for each in watch(fleet, **fields) if any(route.release for route in each.routes.routes))


def read(fleet, **fields):
    parts = fleet.stub.ReadArtifact(edge.ReadArtifactRequest(**(WHO | fields)), timeout=PATIENCE_SECONDS)
    return [part.part for part in parts]


def report(fleet, **fields):
    settings = WHO | {"incarnation": "i"} | fields
    return fleet.stub.ReportDevice(edge.ReportDeviceRequest(**settings), timeout=PATIENCE_SECONDS)


def refusal(call):
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return refused.value.code(), refused.value.details()


def test_a_device_that_has_the_routes_gets_signs_of_life_alone(fleet):
    token = first_routes(fleet).resume_token
    watching = watch(fleet, resume_token=token)
    for _ in range(2):
        sign = next(watching)
        assert (sign.HasField("routes"), sign.resume_token) == (False, token)
        assert sign.next_within_ms
    fleet.route(live=1)
    changed = next(each for each in watching if each.HasField("routes"))
    assert [(route.stable, route.candidate) for route in changed.routes.routes] == [(1, 0)]
    watching.cancel()


def test_a_file_comes_whole_or_from_an_offset_on(fleet):
    file = fleet.fold.models["fraud"].versions[2].artifact.files[0]
    first_routes(fleet)
    whole = read(fleet, sha256=file.sha256)
    assert len(whole) > 2
    assert len(b"".join(whole)) == file.size_bytes
    assert b"".join(read(fleet, sha256=file.sha256, offset=1_000)) == b"".join(whole)[1_000:]
    assert read(fleet, sha256=file.sha256, offset=file.size_bytes) == [b""]
    code, why = refusal(lambda: read(fleet, sha256=file.sha256, offset=file.size_bytes + 1))
    assert (code, why) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        f"offset is {file.size_bytes + 1}: the file has {file.size_bytes} bytes",
    )


def test_a_file_that_no_route_names_is_not_sent(fleet):
    first_routes(fleet)
    secret = fleet.store.put(b"rows of a test")
    code, why = refusal(lambda: read(fleet, sha256=secret))
    assert (code, why) == (grpc.StatusCode.NOT_FOUND, f"no route of production names the file '{secret}'")


def test_another_environment_and_a_name_that_no_device_has_are_refused(fleet):
    for call in (lambda **fields: next(watch(fleet, **fields)), lambda **fields: report(fleet, **fields)):
        code, why = refusal(lambda call=call: call(environment="staging"))
        assert (code, why) == (grpc.StatusCode.NOT_FOUND, "this gateway serves production, not 'staging'")
        code, why = refusal(lambda call=call: call(device="till 1"))
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert why.startswith("device is 'till 1'")


@pytest.mark.parametrize(
    "fields",
    [{"incarnation": ""}, {"incarnation": "i" * 257}, {"totals": [edge.DeviceTotals()] * (MAX_TOTALS + 1)}],
    ids=["no incarnation", "a long incarnation", "many totals"],
)
def test_a_report_beyond_its_limits_is_refused_as_a_whole(fleet, fields):
    assert refusal(lambda: report(fleet, **fields))[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert fleet.log.records == []


def test_too_many_models_are_refused(fleet):
    models = [f"m{number}" for number in range(MAX_MODELS + 1)]
    assert refusal(lambda: next(watch(fleet, models=models)))[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_false_totals_are_refused_with_the_reason_and_the_others_are_taken(fleet):
    first_routes(fleet)
    false = edge.DeviceTotals(model="fraud", release=1, epoch=7, arm=telemetry.ARM_STABLE, version=1, requests=-1)
    unknown = edge.DeviceTotals(model="churn", release=1, epoch=7, arm=telemetry.ARM_STABLE, version=1, requests=1)
    answers = report(fleet, totals=[false, unknown]).answers
    assert [answer.outcome for answer in answers] == [
        edge.TotalsAnswer.OUTCOME_REFUSED,
        edge.TotalsAnswer.OUTCOME_TRY_LATER,
    ]
    assert answers[0].reason.startswith("requests is -1")


def test_more_devices_than_the_limit_are_refused():
    devices = Devices(Metrics(GATEWAY), max_watches=1)
    with devices.watch(), pytest.raises(RpcRefused, match="which is the most; add gateways"), devices.watch():
        pass
    with devices.watch():
        assert devices.watching == 1


def test_reports_beyond_the_queue_are_refused():
    writer = ReportWriter(None, "production")
    claims = [Claim("till-1", "i", edge.DeviceTotals())] * MAX_WAITING
    writer.put(claims)
    with pytest.raises(RpcRefused, match="too many reports wait here"):
        writer.put(claims[:1])


def test_reports_that_wait_together_are_written_as_one_record():
    log = Log()
    writer = ReportWriter(log, "production", gather_seconds=0.0)
    written = [writer.put([claim(number)]) for number in range(200)]
    writer.start()
    assert [each.result(PATIENCE_SECONDS) for each in written] == [None] * 200
    assert [len(record.device_evidence.devices) for record in log.records] == [200]
    writer.close(PATIENCE_SECONDS)


def claim(number):
    totals = edge.DeviceTotals(model="fraud", release=1, epoch=7, arm=telemetry.ARM_STABLE, version=1, requests=1)
    return Claim(f"till-{number}", "i", totals)
