"""When a release completes at the earliest, if every gateway and every caller does its part at once. Pure."""

from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import resources_pb2 as resources
from services.deployer.observation import Observation

HELD_BY_A_FREEZE = (resources.PHASE_REQUESTED, resources.PHASE_PREPARING, resources.PHASE_STEPPING)
"""Phases from which a release moves forward by what a freeze forbids."""


def earliest_end_ms(observation: Observation) -> int:
    """The log's time at which the release completes at the earliest; 0 when that is not known.

    It is not known before the release has begun, and while a person or a rollback decides on its end.
    """
    release, now_ms = observation.release, observation.now_ms
    bake_ms = observation.policy.bake_ms if release.stable else 0
    if release.paused:
        return 0
    match release.phase:
        case resources.PHASE_PREPARING:
            return _moves_on_at(observation, now_ms) + _steps_ms(observation, 0) + bake_ms
        case resources.PHASE_STEPPING:
            return (
                _moves_on_at(observation, _step_ends_at(observation))
                + _steps_ms(observation, release.step + 1)
                + bake_ms
            )
        case resources.PHASE_PROMOTING:
            return now_ms + bake_ms
        case resources.PHASE_BAKING:
            return max(now_ms, release.applied_at_ms + bake_ms)
        case _:
            return 0


def _step_ends_at(observation: Observation) -> int:
    release = observation.release
    begun_ms = release.applied_at_ms or observation.now_ms
    return max(observation.now_ms, begun_ms + observation.policy.steps[release.step].min_duration_ms)


def _moves_on_at(observation: Observation, at_ms: int) -> int:
    """The time, or the end of the freezes where they last longer."""
    return max(at_ms, *(freeze.until_ms for freeze in observation.freezes), at_ms)


def _steps_ms(observation: Observation, first: int) -> int:
    """The shortest time of the steps from this one on; 0 for a release without steps."""
    release = observation.release
    has_steps = release.strategy == configuration.STRATEGY_CANARY and release.stable
    return sum(step.min_duration_ms for step in observation.policy.steps[first:]) if has_steps else 0
