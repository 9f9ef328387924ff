"""The rules for telemetry records: a value at its bound is accepted, and a value one beyond it is a flaw."""

from typing import Any

import pytest

from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.telemetry.counters import MAX_COUNT
from headgate.telemetry.rules import MAX_DEVICES, MAX_NAME, MAX_ROUTES, flaw_of
from headgate.v1 import telemetry_pb2 as telemetry


def record(**fields: Any) -> telemetry.TelemetryRecord:
    settings: dict[str, Any] = {"source": "gateway-0", "boot_id": "boot", "sequence": 1} | fields
    return telemetry.TelemetryRecord(**settings)


def evidence(**fields: Any) -> telemetry.TelemetryRecord:
    settings: dict[str, Any] = {"environment": "production", "model": "fraud"} | fields
    return record(evidence=telemetry.Evidence(**settings))


def status(*epochs: int, environment: str = "production") -> telemetry.TelemetryRecord:
    routes = [telemetry.RouteStatus(epoch=epoch) for epoch in epochs]
    return record(gateway_status=telemetry.GatewayStatus(environment=environment, routes=routes))


@pytest.mark.parametrize(
    "sound",
    [
        record(),
        record(sequence=2**63 - 1),
        record(source="s" * MAX_NAME, boot_id="b"),
        record(source="s", boot_id="b" * MAX_NAME),
        evidence(),
        evidence(candidate_weight_bps=FULL_WEIGHT_BPS, release=2**31 - 1),
        evidence(epoch=MAX_COUNT),
        status(),
        status(0, MAX_COUNT),
        record(work_heartbeat=telemetry.WorkHeartbeat(version=0)),
        record(epoch_measured=telemetry.EpochMeasured(epoch=0)),
    ],
)
def test_a_record_within_its_bounds_has_no_flaw(sound: telemetry.TelemetryRecord) -> None:
    assert flaw_of(sound) == ""


@pytest.mark.parametrize(
    ("flawed", "flaw"),
    [
        (record(sequence=0), "sequence is 0: it must be at least 1"),
        (record(sequence=-1), "sequence is -1: it must be at least 1"),
        (record(source=""), f"source has 0 characters: it must have 1 to {MAX_NAME}"),
        (record(source="s" * (MAX_NAME + 1)), f"source has {MAX_NAME + 1} characters: it must have 1 to {MAX_NAME}"),
        (record(boot_id=""), f"boot_id has 0 characters: it must have 1 to {MAX_NAME}"),
        (evidence(model="Fraud"), "evidence is about 'Fraud' in 'production'"),
        (evidence(environment=""), "evidence is about 'fraud' in ''"),
        (evidence(candidate_weight_bps=-1), f"evidence.candidate_weight_bps is -1: it must be 0 to {FULL_WEIGHT_BPS}"),
        (
            evidence(candidate_weight_bps=FULL_WEIGHT_BPS + 1),
            f"evidence.candidate_weight_bps is {FULL_WEIGHT_BPS + 1}: it must be 0 to {FULL_WEIGHT_BPS}",
        ),
        (evidence(release=-1), f"evidence.release is -1: it must be 0 to {MAX_COUNT}"),
        (evidence(epoch=MAX_COUNT + 1), f"evidence.epoch is {MAX_COUNT + 1}: it must be 0 to {MAX_COUNT}"),
        (status(environment="-"), "gateway_status.environment is '-'"),
        (status(0, -1), f"gateway_status.routes.epoch is -1: it must be 0 to {MAX_COUNT}"),
        (record(work_heartbeat=telemetry.WorkHeartbeat(version=-1)), "work_heartbeat.version is -1"),
        (record(epoch_measured=telemetry.EpochMeasured(epoch=-1)), "epoch_measured.epoch is -1"),
    ],
)
def test_a_flaw_gives_the_field_the_value_and_the_rule(flawed: telemetry.TelemetryRecord, flaw: str) -> None:
    assert flaw_of(flawed).startswith(flaw)


def test_a_gateway_reports_a_limited_number_of_routes() -> None:
    full = status(*[0] * MAX_ROUTES)
    assert flaw_of(full) == ""
    full.gateway_status.routes.add()
    assert flaw_of(full) == f"gateway_status.routes has {MAX_ROUTES + 1} routes: at most {MAX_ROUTES} are allowed"


def test_a_measurement_of_a_newer_version_is_accepted() -> None:
    newer = telemetry.TelemetryRecord.FromString(record().SerializeToString() + b"\xd2\x3e\x02hi")
    assert newer.WhichOneof("measurement") is None
    assert flaw_of(newer) == ""


def devices(*found: telemetry.DeviceCounts, **fields: Any) -> telemetry.TelemetryRecord:
    settings: dict[str, Any] = {"environment": "production", "model": "fraud", "devices": found} | fields
    return record(device_evidence=telemetry.DeviceEvidence(**settings))


def device(**fields: Any) -> telemetry.DeviceCounts:
    settings: dict[str, Any] = {"device": "device-1", "incarnation": "i", "requests": 5} | fields
    return telemetry.DeviceCounts(**settings)


@pytest.mark.parametrize(
    "sound",
    [
        devices(),
        devices(*[device()] * MAX_DEVICES),
        devices(device(requests=MAX_COUNT, bad_requests=MAX_COUNT, late_requests=MAX_COUNT)),
    ],
)
def test_evidence_of_devices_within_its_bounds_has_no_flaw(sound: telemetry.TelemetryRecord) -> None:
    assert flaw_of(sound) == ""


@pytest.mark.parametrize(
    ("flawed", "flaw"),
    [
        (devices(model="Fraud"), "device_evidence is about 'Fraud' in 'production'"),
        (devices(candidate_weight_bps=10_001), "device_evidence.candidate_weight_bps is 10001"),
        (devices(*[device()] * (MAX_DEVICES + 1)), f"device_evidence.devices has {MAX_DEVICES + 1} devices"),
        (devices(device(), device(device="a b")), "device_evidence.devices[1].device is 'a b'"),
        (devices(device(incarnation="")), "device_evidence.devices[0].incarnation has 0 characters"),
        (devices(device(requests=-1)), "device_evidence.devices[0].requests is -1"),
        (devices(device(bad_requests=6)), "device_evidence.devices[0].bad_requests is 6: requests is only 5"),
        (devices(device(late_requests=1)), "device_evidence.devices[0].late_requests is 1: bad_requests is only 0"),
    ],
)
def test_evidence_of_devices_beyond_a_bound_has_a_flaw(flawed: telemetry.TelemetryRecord, flaw: str) -> None:
    assert flaw_of(flawed).startswith(flaw)
