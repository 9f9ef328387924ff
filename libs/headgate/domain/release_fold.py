"""Folds release facts into the state. `decide` in release.py chooses these facts."""

from typing import assert_never

from headgate.domain.fact import LaterReleaseFact, ReleaseFact
from headgate.domain.names import release_name
from headgate.domain.phases import ACTIVE, RUNNING
from headgate.domain.state import IllegalFact, ModelState
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

_ALLOWED_FROM: dict[type, tuple[resources.Phase.ValueType, ...]] = {
    facts.ReleaseStarted: (resources.PHASE_REQUESTED,),
    facts.CandidateReady: (resources.PHASE_PREPARING,),
    facts.WeightsSet: (resources.PHASE_PREPARING, resources.PHASE_STEPPING),
    facts.WeightsApplied: RUNNING,
    facts.PromotionStarted: (resources.PHASE_PREPARING, resources.PHASE_STEPPING),
    facts.ReleaseCompleted: (resources.PHASE_BAKING,),
    facts.ReleasePaused: ACTIVE,
    facts.ReleaseResumed: ACTIVE,
    facts.RollbackStarted: (
        resources.PHASE_PREPARING,
        resources.PHASE_STEPPING,
        resources.PHASE_PROMOTING,
        resources.PHASE_BAKING,
    ),
    facts.ReleaseRolledBack: (resources.PHASE_ROLLING_BACK,),
    facts.ReleaseRejected: (resources.PHASE_REQUESTED,),
    facts.ReleaseSuperseded: (resources.PHASE_REQUESTED,),
}

QUARANTINING = (facts.ROLLBACK_CAUSE_VERDICT, facts.ROLLBACK_CAUSE_REFLEX)
"""Causes of a rollback that say something about the candidate, which is quarantined."""


def evolve(state: ModelState, fact: ReleaseFact, record: facts.LifecycleRecord) -> resources.Version | None:
    """Folds a release fact. Returns the version that it may have put in quarantine, if there is one.

    Raises IllegalFact when the state does not allow the fact.
    """
    if isinstance(fact, facts.ReleaseRequested):
        _requested(state, fact, record)
        return None
    release = state.releases.get(fact.release)
    if release is None or release.phase not in _ALLOWED_FROM[type(fact)]:
        raise IllegalFact(f"{type(fact).__name__} for release {fact.release}")
    _fold(state, release, fact, record)
    return state.versions[release.candidate] if isinstance(fact, facts.RollbackStarted) else None


def _requested(state: ModelState, fact: facts.ReleaseRequested, record: facts.LifecycleRecord) -> None:
    version = state.versions.get(fact.candidate)
    if fact.release != len(state.releases) + 1 or version is None:
        raise IllegalFact(f"release {fact.release} of version {fact.candidate}")
    state.releases[fact.release] = resources.Release(
        name=release_name(state.name, fact.release),
        release=fact.release,
        environment=fact.environment,
        candidate=fact.candidate,
        strategy=fact.strategy,
        policy=fact.policy,
        policy_sha256=fact.policy_sha256,
        salt=fact.salt,
        phase=resources.PHASE_REQUESTED,
        step=-1,
        reason=fact.reason,
        undo_of=fact.undo_of,
        # Older facts do not have this field. Without an override their request would have been refused.
        override_quarantine=fact.override_quarantine or version.quarantined,
        requested_at_ms=record.occurred_at_ms,
        phase_since_ms=record.occurred_at_ms,
    )


def _fold(  # noqa: C901 - a closed match reads as a table
    state: ModelState,
    release: resources.Release,
    fact: LaterReleaseFact,
    record: facts.LifecycleRecord,
) -> None:
    match fact:
        case facts.ReleaseStarted():
            release.stable = fact.stable
            release.started_at_ms = record.occurred_at_ms
            _enter(release, resources.PHASE_PREPARING, record)
        case facts.CandidateReady():
            release.candidate_ready = True
        case facts.WeightsSet():
            release.step = fact.step
            release.judgement.CopyFrom(fact.judgement)
            _shift(release, fact, record)
            _enter(release, resources.PHASE_STEPPING, record)
        case facts.WeightsApplied():
            _applied(release, fact, record)
        case facts.PromotionStarted():
            _end_pause(release)
            release.judgement.CopyFrom(fact.judgement)
            _shift(release, fact, record)
            _enter(release, resources.PHASE_PROMOTING, record)
        case facts.ReleaseCompleted():
            state.model.live[release.environment] = release.candidate
            _end(release, resources.PHASE_COMPLETED, record)
        case facts.ReleasePaused():
            release.paused, release.paused_reason = True, fact.reason
            release.superseded_from_ms = fact.superseded_from_ms
            if fact.weights:
                _shift(release, fact, record)
        case facts.ReleaseResumed():
            _resume(release, fact, record)
        case facts.RollbackStarted():
            _roll_back(state, release, fact, record)
        case facts.ReleaseRolledBack():
            _end(release, resources.PHASE_ROLLED_BACK, record)
        case facts.ReleaseRejected():
            release.reason = fact.reason
            _end(release, resources.PHASE_REJECTED, record)
        case facts.ReleaseSuperseded():
            release.reason = fact.reason or release.reason
            _end(release, resources.PHASE_SUPERSEDED, record)
        case _:
            assert_never(fact)


_Shift = facts.WeightsSet | facts.PromotionStarted | facts.RollbackStarted | facts.ReleasePaused | facts.ReleaseResumed


def _shift(
    release: resources.Release,
    fact: _Shift,
    record: facts.LifecycleRecord,
) -> None:
    del release.weights[:]
    release.weights.extend(fact.weights)
    release.epoch = record.sequence
    release.applied_at_ms = 0


def _applied(release: resources.Release, fact: facts.WeightsApplied, record: facts.LifecycleRecord) -> None:
    if fact.epoch != release.epoch:
        raise IllegalFact(f"epoch {fact.epoch} applied while {release.epoch} is the present one")
    release.applied_at_ms = record.occurred_at_ms
    if release.phase == resources.PHASE_PROMOTING:
        _enter(release, resources.PHASE_BAKING, record)


def _resume(release: resources.Release, fact: facts.ReleaseResumed, record: facts.LifecycleRecord) -> None:
    _end_pause(release)
    if fact.weights:
        _shift(release, fact, record)
    # The observation of the step starts again, because the time of the pause does not count.
    release.phase_since_ms = record.occurred_at_ms
    if release.phase in (resources.PHASE_STEPPING, resources.PHASE_BAKING) and release.applied_at_ms:
        release.applied_at_ms = record.occurred_at_ms


def _roll_back(
    state: ModelState, release: resources.Release, fact: facts.RollbackStarted, record: facts.LifecycleRecord
) -> None:
    release.rollback_cause = fact.cause
    release.reason = fact.reason
    release.judgement.CopyFrom(fact.judgement)
    _end_pause(release)
    if fact.cause in QUARANTINING:
        state.versions[release.candidate].quarantined = True
    _shift(release, fact, record)
    _enter(release, resources.PHASE_ROLLING_BACK, record)


def _end_pause(release: resources.Release) -> None:
    release.paused, release.paused_reason, release.superseded_from_ms = False, "", 0


def _enter(release: resources.Release, phase: resources.Phase.ValueType, record: facts.LifecycleRecord) -> None:
    release.phase = phase
    release.phase_since_ms = record.occurred_at_ms


def _end(release: resources.Release, phase: resources.Phase.ValueType, record: facts.LifecycleRecord) -> None:
    _enter(release, phase, record)
    _end_pause(release)
    release.ended_at_ms = record.occurred_at_ms
