"""Decides which arm of a release answers a key.

A key stays on its arm, the keys are spread evenly, and a higher weight only moves keys from stable to the candidate.
"""

from hashlib import blake2b

from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.v1 import telemetry_pb2 as telemetry

HASH_BITS = 64


def hash_key(salt: str, key: str) -> int:
    """A hash of the key, spread evenly over 0 to 2**64 - 1. With another salt the value is independent."""
    return int.from_bytes(blake2b(f"{salt}\0{key}".encode(), digest_size=HASH_BITS // 8).digest(), "big")


def arm_of_hash(key_hash: int, candidate_bps: int) -> telemetry.Arm.ValueType:
    """The arm for a key's hash. A key's bucket never changes, so a higher weight only moves keys to the candidate."""
    bucket = (key_hash * FULL_WEIGHT_BPS) >> HASH_BITS
    return telemetry.ARM_CANDIDATE if bucket < candidate_bps else telemetry.ARM_STABLE


def arm(salt: str, key: str, candidate_bps: int) -> telemetry.Arm.ValueType:
    """The arm for a key."""
    return arm_of_hash(hash_key(salt, key), candidate_bps)
