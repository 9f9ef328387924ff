"""The arm that a tester asks for by a header, where the release's policy allows it. It is never evidence."""

import grpc

from headgate.inference_parameters import ARM_METADATA
from headgate.runtime.errors import RpcRefused
from headgate.telemetry.counters import ARM_NAMES
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.routes import NO_RELEASE, NO_VERSION
from services.gateway.table import Choice, Entry

ARMS = {ARM_NAMES[arm]: arm for arm in (telemetry.ARM_STABLE, telemetry.ARM_CANDIDATE)}


def choice_by_header(entry: Entry, asked: str, silent_seconds: float) -> Choice:
    """The version of this arm, at any weight. Raises RpcRefused, with what the tester can do."""
    arm = ARMS.get(asked)
    if arm is None:
        rule = f"{ARM_METADATA}: expected {' or '.join(ARMS)}, got {asked!r}"
        raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "unknown-arm", rule)
    route, is_candidate = entry.route, arm == telemetry.ARM_CANDIDATE
    if route.release != NO_RELEASE and not route.arm_header:
        rule = f"the policy of release {route.release} of {route.model} has no arm_header = true"
        raise _refused(f"{ARM_METADATA} is not allowed: {rule}; leave the header out, or release with such a policy")
    if is_candidate and entry.is_silent(silent_seconds):
        raise _refused(f"no candidate of {route.model} answers, because this gateway has not read the log for too long")
    number = route.candidate if is_candidate else route.stable
    if number == NO_VERSION:
        raise _refused(f"{route.model} has no {asked} version here now")
    if reason := entry.why_missing(number):
        raise _refused(f"the {asked} version {number} of {route.model} {reason}")
    return Choice(entry.versions.get(number), arm, counted=False)


def _refused(rule: str) -> RpcRefused:
    return RpcRefused(grpc.StatusCode.FAILED_PRECONDITION, "arm-not-available", rule)
