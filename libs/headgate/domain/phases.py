"""The phases of a release, in groups and in words."""

from headgate.domain.names import in_words
from headgate.domain.refusal import Refused, illegal
from headgate.domain.words import word_of
from headgate.v1 import resources_pb2 as resources

RUNNING = (
    resources.PHASE_PREPARING,
    resources.PHASE_STEPPING,
    resources.PHASE_PROMOTING,
    resources.PHASE_BAKING,
    resources.PHASE_ROLLING_BACK,
)
"""Phases in which a release occupies its environment: no other release of the model can begin there."""
ACTIVE = (resources.PHASE_REQUESTED, *RUNNING)
TERMINAL = (
    resources.PHASE_COMPLETED,
    resources.PHASE_ROLLED_BACK,
    resources.PHASE_SUPERSEDED,
    resources.PHASE_REJECTED,
)


def is_active(release: resources.Release) -> bool:
    """Whether the release has not ended."""
    return release.phase in ACTIVE


def phase_name(release: resources.Release) -> str:
    """The phase in words, for example "rolling back"."""
    return word_of(resources.Phase, release.phase)


def phase_with_step(release: resources.Release) -> str:
    """The phase in words, and of a canary its step: "stepping 1/3"."""
    steps = f" {release.step + 1}/{len(release.policy.steps)}" if release.phase == resources.PHASE_STEPPING else ""
    return phase_name(release) + steps


def going_nowhere(release: resources.Release) -> Refused | None:
    """The refusal of a change of a release that has ended or is on its way back; None when it can change."""
    if release.phase in TERMINAL:
        return illegal(f"{in_words(release.name)} is {phase_name(release)}", "a release that has ended cannot change")
    if release.phase == resources.PHASE_ROLLING_BACK:
        return illegal(
            f"{in_words(release.name)} is {phase_name(release)}", "a rollback goes on until stable has all traffic"
        )
    return None
