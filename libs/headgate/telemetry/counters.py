"""The list of the evidence counters. Gateways fill them, the telemetry rules check them, the deployer adds them up.

A gateway counts one answer of an arm in the order of COUNTERS. So a counter is never larger than those that bound it.
"""

from collections.abc import Iterator

from headgate.domain.words import counted
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import telemetry_pb2 as telemetry

COUNTERS = (
    "requests",
    "bad_requests",
    "late_requests",
    "keys",
    "new_keys",
    "bad_keys",
    "new_bad_keys",
    "first_bad_keys",
)
"""The counting fields of ArmCounts. A Stratum has each of them for each arm, with the arm's name in front."""

BOUNDS = (
    ("bad_requests", "requests"),
    ("late_requests", "bad_requests"),
    ("keys", "requests"),
    ("new_keys", "keys"),
    ("bad_keys", "keys"),
    ("bad_keys", "bad_requests"),
    ("new_bad_keys", "bad_keys"),
    ("first_bad_keys", "new_bad_keys"),
)
"""Pairs of a counter and one that is never smaller: a bad key is a key, and each key has made a request."""

OF_A_DEVICE = ("requests", "bad_requests", "late_requests")
"""Those that a device reports. The others follow from them, because a device is one key."""

MAX_COUNT = 10**12
"""More than a gateway ever counts. A deployer can add up its 100,000 newest reports without an overflow."""

ARM_NAMES = {telemetry.ARM_STABLE: "stable", telemetry.ARM_CANDIDATE: "candidate"}


def faults_of(arm: telemetry.ArmCounts) -> Iterator[str]:
    """The faults in the counts of one arm. Each names the field, the value and the rule."""
    for counter in COUNTERS:
        count = getattr(arm, counter)
        if not 0 <= count <= MAX_COUNT:
            yield f"{counter} is {count}: it must be 0 to {MAX_COUNT}"
    for counter, bound in BOUNDS:
        if getattr(arm, counter) > getattr(arm, bound):
            yield f"{counter} is {getattr(arm, counter)}: {bound} is only {getattr(arm, bound)}"
    named = len(arm.first_bad_key_hashes)
    if named > arm.first_bad_keys:
        yield f"first_bad_key_hashes has {counted(named, 'key')}: first_bad_keys is only {arm.first_bad_keys}"
    if len(set(arm.first_bad_key_hashes)) < named:
        yield "first_bad_key_hashes has a key twice"


def arm_counts(device: telemetry.DeviceCounts | edge.DeviceTotals) -> telemetry.ArmCounts:
    """What a device has reported, as the counts of an arm without keys."""
    counts = {counter: getattr(device, counter) for counter in OF_A_DEVICE}
    return telemetry.ArmCounts(arm=device.arm, version=device.version, **counts)


def add(stratum: facts.Stratum, arm: telemetry.ArmCounts, times: int = 1) -> None:
    """Adds the counts of one arm to the stratum; with -1 it takes them away.

    Ignores an arm that this version of Headgate does not know.
    """
    for counter in COUNTERS:
        add_to(stratum, arm.arm, counter, times * getattr(arm, counter))


def add_to(stratum: facts.Stratum, arm: int, counter: str, more: int) -> None:
    """Adds a number to one counter of one arm. Ignores an unknown arm."""
    name = ARM_NAMES.get(telemetry.Arm.ValueType(arm))
    if name is not None:
        field = f"{name}_{counter}"
        setattr(stratum, field, getattr(stratum, field) + more)
