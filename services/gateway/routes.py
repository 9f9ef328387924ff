"""Decides from the fold what this gateway should serve: one route per model. Pure."""

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
    """Which versions answer a model's requests, and at which weights. Version, release and epoch 0 mean none."""

    model: str
    stable: int = NO_VERSION
    candidate: int = NO_VERSION
    candidate_bps: int = 0
    release: int = NO_RELEASE
    epoch: int = NO_EPOCH
    salt: str = ""
    candidate_lease_ms: int = DEFAULT_CANDIDATE_LEASE_MS
    arm_header: bool = False
    """Whether a tester may choose the arm by a header."""

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions to load: those of both arms, even at weight 0, so that no switch has to wait for a load."""
        return tuple(version for version in (self.stable, self.candidate) if version != NO_VERSION)

    @property
    def weighted_versions(self) -> tuple[int, ...]:
        """The versions with a weight above 0. The route is applied when all of them are loaded."""
        stable = self.stable if self.candidate_bps < FULL_WEIGHT_BPS else NO_VERSION
        candidate = self.candidate if self.candidate_bps > 0 else NO_VERSION
        return tuple(version for version in (stable, candidate) if version != NO_VERSION)


def routes(models: Mapping[str, ModelState], environment: str) -> Iterator[Route | Undecidable]:
    """One route for every model. It has no version when no version of the model may serve in this environment.

    When an error prevents the decision on a model, an Undecidable takes the place of its route.
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
    policy = policies.resolve(release.policy)
    yield Route(
        model=name,
        stable=release.stable,
        candidate=release.candidate,
        candidate_bps=_weight_of(release.candidate, release),
        release=release.release,
        epoch=release.epoch,
        salt=release.salt,
        candidate_lease_ms=policy.candidate_lease_ms,
        arm_header=policy.arm_header,
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
