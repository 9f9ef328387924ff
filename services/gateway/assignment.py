"""Which arm of a release answers a key: sticky, even over keys, and monotone in the candidate's weight."""

from hashlib import blake2b

from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.v1 import telemetry_pb2 as telemetry

HASH_BITS = 64


def hash_key(salt: str, key: str) -> int:
    """Even over [0, 2**64); another salt gives an independent value."""
    return int.from_bytes(blake2b(f"{salt}\0{key}".encode(), digest_size=HASH_BITS // 8).digest(), "big")


def arm_of_hash(key_hash: int, candidate_bps: int) -> telemetry.Arm.ValueType:
    """Raising the weight only moves keys from stable to candidate, since a key's bucket never changes."""
    bucket = (key_hash * FULL_WEIGHT_BPS) >> HASH_BITS
    return telemetry.ARM_CANDIDATE if bucket < candidate_bps else telemetry.ARM_STABLE


def arm(salt: str, key: str, candidate_bps: int) -> telemetry.Arm.ValueType:
    return arm_of_hash(hash_key(salt, key), candidate_bps)
