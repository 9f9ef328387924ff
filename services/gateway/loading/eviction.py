"""Decides which loaded versions give way to one that has to be loaded, so that all fit their memory. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum

VersionKey = tuple[str, int]

RECENT_SECONDS = 60.0
"""A live version that has answered within this time does not give way to a candidate."""
SESSION_BYTES = 128 * 1024
"""What a session takes beside its weights. A network of a few operators was measured at 93 KiB."""


class Role(IntEnum):
    """What a version does in its route. The smaller ones are loaded first."""

    BESIDE_CANDIDATE = 0
    """The stable version of a running release."""
    FULL_CANDIDATE = 1
    """A candidate that has all traffic."""
    LIVE = 2
    """The stable version of a model without a release."""
    CANDIDATE = 3

    @property
    def may_sleep(self) -> bool:
        """Whether a request may have to wait for its load. What a release is about to use has to be loaded before."""
        return self in (Role.BESIDE_CANDIDATE, Role.LIVE)


class Standing(IntEnum):
    """How much a loaded version is needed. The smaller ones give way first."""

    IDLE = 0
    """Live, and no request has come for it lately."""
    CANDIDATE = 1
    STABLE = 2
    """Answers requests, or has to be there when a release goes on or back."""
    HIGHEST = 3
    """Above every loaded version."""


@dataclass(frozen=True, slots=True)
class Held:
    """A loaded version. `used_at` is when it last answered, or was last loaded for a request; 0 for never."""

    key: VersionKey
    role: Role
    size_bytes: int
    used_at: float
    is_busy: bool
    """Whether requests run or wait for it."""


def session_bytes(model_bytes: int) -> int:
    """The memory of a loaded version whose ONNX file has so many bytes: nearly all of them are its weights."""
    return SESSION_BYTES + model_bytes


def giving_way(
    needed_bytes: int, role: Role, is_asked: bool, held: Iterable[Held], now: float
) -> Collection[VersionKey] | None:
    """The versions to drop so that `needed_bytes` more are free: none when it is 0 or less. None when that cannot be.

    The newcomer has this role, and `is_asked` says whether requests wait for it. A version that is busy stays. Who has
    answered least recently goes first. No version is dropped without need, so what is dropped does not fit again at
    once.
    """
    rank = _rank(role, is_asked)
    if needed_bytes <= 0:
        return []
    if rank is Standing.IDLE:
        return None
    ranked = sorted((_standing(each, now), each.used_at, each.key, each) for each in held if not each.is_busy)
    chosen: list[Held] = []
    freed = 0
    for standing, _, _, each in ranked:
        if freed >= needed_bytes or standing >= rank:
            break
        chosen.append(each)
        freed += each.size_bytes
    if freed < needed_bytes:
        return None
    for each in reversed(chosen.copy()):
        if freed - each.size_bytes >= needed_bytes:
            chosen.remove(each)
            freed -= each.size_bytes
    return [each.key for each in chosen]


def _standing(held: Held, now: float) -> Standing:
    if held.role is Role.CANDIDATE:
        return Standing.CANDIDATE
    is_recent = bool(held.used_at) and now - held.used_at <= RECENT_SECONDS
    return Standing.IDLE if held.role is Role.LIVE and not is_recent else Standing.STABLE


def _rank(role: Role, is_asked: bool) -> Standing:
    """Versions below this standing give way to the newcomer."""
    match role:
        case Role.CANDIDATE:
            return Standing.CANDIDATE
        case Role.LIVE:
            return Standing.HIGHEST if is_asked else Standing.IDLE
        case Role.BESIDE_CANDIDATE | Role.FULL_CANDIDATE:
            return Standing.HIGHEST if is_asked else Standing.STABLE
