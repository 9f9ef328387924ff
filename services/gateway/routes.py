"""What the folded log asks this gateway to serve: one route per model. Pure; it never loads and never measures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headgate.domain import policy as policies
from headgate.domain.model import ModelState
from headgate.domain.names import model_stream
from headgate.domain.release import RUNNING
from headgate.domain.weights import FULL_WEIGHT_BPS
from headgate.v1 import resources_pb2 as resources
from headgate.worker.isolation import Undecidable, isolated

DEFAULT_CANDIDATE_LEASE_MS = policies.DEFAULT.candidate_lease_ms

NO_VERSION = 0
NO_RELEASE = 0
NO_EPOCH = 0


@dataclass(frozen=True, slots=True)
class Route:
    """How one model's requests are to be answered. Version, release and epoch 0 mean none."""

    model: str
    stable: int = NO_VERSION
    candidate: int = NO_VERSION
    candidate_bps: int = 0
    release: int = NO_RELEASE
    epoch: int = NO_EPOCH
    salt: str = ""
    candidate_lease_ms: int = DEFAULT_CANDIDATE_LEASE_MS

    @property
    def wanted(self) -> tuple[int, ...]:
        """Versions to hold ready: both arms, whatever their weight, so that either direction is one switch."""
        return tuple(version for version in (self.stable, self.candidate) if version != NO_VERSION)

    @property
    def weighted(self) -> tuple[int, ...]:
        """Versions that must be ready before this route is in force."""
        stable = self.stable if self.candidate_bps < FULL_WEIGHT_BPS else NO_VERSION
        candidate = self.candidate if self.candidate_bps > 0 else NO_VERSION
        return tuple(version for version in (stable, candidate) if version != NO_VERSION)


def routes(models: Mapping[str, ModelState], environment: str) -> Iterator[Route | Undecidable]:
    """A route for every known model; one without any version when nothing of it may serve here.

    A model whose route cannot be decided, because of an error, is named instead.
    """
    for name, state in models.items():
        yield from isolated(model_stream(name), "", _route, name, state, environment)


def _route(name: str, state: ModelState, environment: str) -> Iterator[Route]:
    release = _active_release(state, environment)
    # Reading a protobuf map by [] would insert the missing key.
    live = state.model.live.get(environment, NO_VERSION)
    if release is None:
        yield Route(model=name, stable=live)
        return
    yield Route(
        model=name,
        stable=release.stable,
        candidate=release.candidate,
        candidate_bps=_weight_of(release.candidate, release),
        release=release.release,
        epoch=release.epoch,
        salt=release.salt,
        candidate_lease_ms=release.policy.candidate_lease_ms or DEFAULT_CANDIDATE_LEASE_MS,
    )


def _active_release(state: ModelState, environment: str) -> resources.Release | None:
    active = (
        release
        for release in state.releases.values()
        if release.environment == environment and release.phase in RUNNING
    )
    return max(active, key=lambda release: release.release, default=None)


def _weight_of(version: int, release: resources.Release) -> int:
    return sum(weight.weight_bps for weight in release.weights if weight.version == version)
