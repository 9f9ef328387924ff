"""The partition of a key, as all Kafka clients choose it: by murmur2. So every writer uses the same partition."""

import struct
from functools import lru_cache

_SEED = 0x9747B28C
_MIX = 0x5BD1E995
_UINT32 = 0xFFFFFFFF
_KEPT_KEYS = 4096


@lru_cache(maxsize=_KEPT_KEYS)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of `key` out of `partitions`, the same that Kafka's Java client chooses."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """MurmurHash2 as org.apache.kafka.common.utils.Utils computes it, as an unsigned 32-bit number."""
    hashed = _SEED ^ len(data)
    whole = len(data) & ~3
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        word = word * _MIX & _UINT32
        word = (word ^ word >> 24) * _MIX & _UINT32
        hashed = hashed * _MIX & _UINT32 ^ word
    if len(data) > whole:
        hashed = (hashed ^ int.from_bytes(data[whole:], "little")) * _MIX & _UINT32
    hashed = (hashed ^ hashed >> 13) * _MIX & _UINT32
    return hashed ^ hashed >> 15
