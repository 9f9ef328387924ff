"""The evidence counters: the one list that a gateway fills, the telemetry rules check and the deployer adds up.

A gateway counts one answer of an arm in the order of COUNTERS, so a counter is never larger than those that bound it.
"""

from collections.abc import Iterator

from headgate.v1 import facts_pb2 as facts
from headgate.v1 import telemetry_pb2 as telemetry

COUNTERS = ("requests", "bad_requests", "keys", "new_keys", "bad_keys", "new_bad_keys", "first_bad_keys")
"""The fields of ArmCounts that count. Stratum has each of them once for each arm, behind the arm's name."""

BOUNDS = (
    ("bad_requests", "requests"),
    ("keys", "requests"),
    ("new_keys", "keys"),
    ("bad_keys", "keys"),
    ("bad_keys", "bad_requests"),
    ("new_bad_keys", "bad_keys"),
    ("first_bad_keys", "new_bad_keys"),
)
"""A counter, and another one that is never smaller: a bad key is a key, and a key has made a request."""

MAX_COUNT = 10**12
"""More than a gateway counts in its life. A deployer can add up its 100,000 newest reports without an overflow."""

ARM_NAMES = {telemetry.ARM_STABLE: "stable", telemetry.ARM_CANDIDATE: "candidate"}


def faults_of(arm: telemetry.ArmCounts) -> Iterator[str]:
    """What is wrong with the counts of one arm, each as field, value and rule."""
    for counter in COUNTERS:
        count = getattr(arm, counter)
        if not 0 <= count <= MAX_COUNT:
            yield f"{counter} is {count}: it is 0 to {MAX_COUNT}"
    for counter, bound in BOUNDS:
        if getattr(arm, counter) > getattr(arm, bound):
            yield f"{counter} is {getattr(arm, counter)}: there are only {getattr(arm, bound)} {bound}"
    named = len(arm.first_bad_key_hashes)
    if named > arm.first_bad_keys:
        yield f"first_bad_key_hashes has {named}: there are only {arm.first_bad_keys} first_bad_keys"
    if len(set(arm.first_bad_key_hashes)) < named:
        yield "first_bad_key_hashes names a key twice"


def add(stratum: facts.Stratum, arm: telemetry.ArmCounts) -> None:
    """Adds the counts of one arm to its side of the stratum. An arm that this program does not know is left out."""
    for counter in COUNTERS:
        add_to(stratum, arm.arm, counter, getattr(arm, counter))


def add_to(stratum: facts.Stratum, arm: int, counter: str, more: int) -> None:
    """Adds to one counter of one arm."""
    name = ARM_NAMES.get(telemetry.Arm.ValueType(arm))
    if name is not None:
        field = f"{name}_{counter}"
        setattr(stratum, field, getattr(stratum, field) + more)
