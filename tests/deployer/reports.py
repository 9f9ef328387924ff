"""Telemetry records as gateways send them."""

from collections.abc import Iterable

from headgate.v1 import telemetry_pb2 as telemetry


def status(
    source: str = "gateway-0",
    ready: Iterable[int] = (),
    epoch: int = 0,
    failure: tuple[int, str] | None = None,
    leaving: bool = False,
    sequence: int = 1,
    boot_id: str = "boot",
) -> telemetry.TelemetryRecord:
    failures = [telemetry.LoadFailure(version=failure[0], reason=failure[1])] if failure else []
    route = telemetry.RouteStatus(model="fraud", epoch=epoch, ready_versions=ready, failures=failures)
    return telemetry.TelemetryRecord(
        source=source,
        boot_id=boot_id,
        sequence=sequence,
        gateway_status=telemetry.GatewayStatus(environment="production", routes=[route], leaving=leaving),
    )


def evidence(
    candidate: tuple[int, int],
    stable: tuple[int, int],
    epoch: int = 7,
    weight: int = 500,
    source: str = "gateway-0",
    sequence: int = 1,
    boot_id: str = "boot",
    release: int = 1,
    late: tuple[int, int] = (0, 0),
) -> telemetry.TelemetryRecord:
    """Evidence of both arms. Each arm is given as (bad keys, keys); `late` is how many of each arm's bad ones were."""
    arms = [
        telemetry.ArmCounts(
            arm=arm,
            requests=keys,
            bad_requests=bad,
            late_requests=late_requests,
            keys=keys,
            bad_keys=bad,
            new_keys=keys,
            new_bad_keys=bad,
            first_bad_keys=bad,
        )
        for arm, (bad, keys), late_requests in (
            (telemetry.ARM_CANDIDATE, candidate, late[0]),
            (telemetry.ARM_STABLE, stable, late[1]),
        )
    ]
    return telemetry.TelemetryRecord(
        source=source,
        boot_id=boot_id,
        sequence=sequence,
        evidence=telemetry.Evidence(
            environment="production",
            model="fraud",
            release=release,
            epoch=epoch,
            candidate_weight_bps=weight,
            arms=arms,
        ),
    )
