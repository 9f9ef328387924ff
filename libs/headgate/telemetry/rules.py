"""The rules for telemetry records. Many programs can write this topic, and its records steer releases. Pure."""

from collections.abc import Iterator, Sequence

from headgate.domain.names import MODEL_NAME_RULE, NAME_RULE, REPLICA_RULE, is_model_name, is_name, is_replica_name
from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.telemetry import counters
from headgate.v1 import telemetry_pb2 as telemetry

MAX_NAME = 256
MAX_ROUTES = 100_000
MAX_DEVICES = 1_000
"""Devices in one record."""


def flaw_of(record: telemetry.TelemetryRecord) -> str:
    """Field, value and rule of the first fault; empty when there is none. Accepts kinds of newer versions."""
    if flaw := _sender(record):
        return flaw
    match record.WhichOneof("measurement"):
        case "evidence":
            return _evidence(record.evidence)
        case "device_evidence":
            return _device_evidence(record.device_evidence)
        case "gateway_status":
            return _status(record.gateway_status)
        case "work_heartbeat":
            return _count("work_heartbeat.version", record.work_heartbeat.version)
        case "epoch_measured":
            return _count("epoch_measured.epoch", record.epoch_measured.epoch)
        case _:
            return ""


def _sender(record: telemetry.TelemetryRecord) -> str:
    for name, text in (("source", record.source), ("boot_id", record.boot_id)):
        if not 0 < len(text) <= MAX_NAME:
            return f"{name} has {len(text)} characters: it must have 1 to {MAX_NAME}"
    return "" if record.sequence >= 1 else f"sequence is {record.sequence}: it must be at least 1"


def flaw_of_device(device: str, incarnation: str) -> str:
    """What is wrong with the names of a device and of its state; empty when nothing is."""
    if not is_replica_name(device):
        return f"device is {device!r}: it follows the rule for replicas: {REPLICA_RULE}"
    if not 0 < len(incarnation) <= MAX_NAME:
        return f"incarnation has {len(incarnation)} characters: it must have 1 to {MAX_NAME}"
    return ""


def _evidence(evidence: telemetry.Evidence) -> str:
    return next(filter(None, [_subject("evidence", evidence), *_arms(evidence.arms)]), "")


def _subject(name: str, evidence: telemetry.Evidence | telemetry.DeviceEvidence) -> str:
    if not is_name(evidence.environment):
        return f"{name} is about {evidence.model!r} in {evidence.environment!r}: {NAME_RULE}"
    if not is_model_name(evidence.model):
        return f"{name} is about {evidence.model!r} in {evidence.environment!r}: {MODEL_NAME_RULE}"
    if not 0 <= evidence.candidate_weight_bps <= FULL_WEIGHT_BPS:
        return f"{name}.candidate_weight_bps is {evidence.candidate_weight_bps}: it must be 0 to {FULL_WEIGHT_BPS}"
    return _count(f"{name}.release", evidence.release) or _count(f"{name}.epoch", evidence.epoch)


def _device_evidence(evidence: telemetry.DeviceEvidence) -> str:
    if len(evidence.devices) > MAX_DEVICES:
        return f"device_evidence.devices has {len(evidence.devices)} devices: at most {MAX_DEVICES} are allowed"
    return next(filter(None, [_subject("device_evidence", evidence), *_devices(evidence.devices)]), "")


def _devices(devices: Sequence[telemetry.DeviceCounts]) -> Iterator[str]:
    for index, device in enumerate(devices):
        place = f"device_evidence.devices[{index}]"
        if flaw := flaw_of_device(device.device, device.incarnation):
            yield f"{place}.{flaw}"
        yield from (f"{place}.{fault}" for fault in counters.faults_of(counters.arm_counts(device)))


def _arms(arms: Sequence[telemetry.ArmCounts]) -> Iterator[str]:
    seen: set[int] = set()
    for index, arm in enumerate(arms):
        if arm.arm in seen:
            yield f"evidence.arms[{index}].arm is {arm.arm}: this arm is given twice"
        seen.add(arm.arm)
        yield from (f"evidence.arms[{index}].{fault}" for fault in counters.faults_of(arm))


def _status(status: telemetry.GatewayStatus) -> str:
    if not is_name(status.environment):
        return f"gateway_status.environment is {status.environment!r}: {NAME_RULE}"
    if len(status.routes) > MAX_ROUTES:
        return f"gateway_status.routes has {len(status.routes)} routes: at most {MAX_ROUTES} are allowed"
    flaws = (_count("gateway_status.routes.epoch", route.epoch) for route in status.routes)
    return next(filter(None, flaws), "")


def _count(name: str, count: int) -> str:
    return "" if 0 <= count <= counters.MAX_COUNT else f"{name} is {count}: it must be 0 to {counters.MAX_COUNT}"
