"""How release facts change the state: the twin of release.decide."""

from typing import assert_never

from headgate.domain.fact import ReleaseFact
from headgate.domain.names import release_name
from headgate.domain.state import IllegalFact, ModelState
from headgate.v1 import facts_pb2 as f
from headgate.v1 import resources_pb2 as r

RUNNING = (r.PHASE_PREPARING, r.PHASE_STEPPING, r.PHASE_PROMOTING, r.PHASE_BAKING, r.PHASE_ROLLING_BACK)
"""Phases in which a release holds its environment."""
ACTIVE = (r.PHASE_REQUESTED, *RUNNING)
TERMINAL = (r.PHASE_COMPLETED, r.PHASE_ROLLED_BACK, r.PHASE_SUPERSEDED, r.PHASE_REJECTED)

_LaterFact = (
    f.ReleaseStarted
    | f.CandidateReady
    | f.WeightsSet
    | f.WeightsApplied
    | f.PromotionStarted
    | f.ReleaseCompleted
    | f.ReleasePaused
    | f.ReleaseResumed
    | f.RollbackStarted
    | f.ReleaseRolledBack
    | f.ReleaseRejected
    | f.ReleaseSuperseded
)

_ALLOWED_FROM: dict[type, tuple[r.Phase.ValueType, ...]] = {
    f.ReleaseStarted: (r.PHASE_REQUESTED,),
    f.CandidateReady: (r.PHASE_PREPARING,),
    f.WeightsSet: (r.PHASE_PREPARING, r.PHASE_STEPPING),
    f.WeightsApplied: RUNNING,
    f.PromotionStarted: (r.PHASE_PREPARING, r.PHASE_STEPPING),
    f.ReleaseCompleted: (r.PHASE_BAKING,),
    f.ReleasePaused: ACTIVE,
    f.ReleaseResumed: ACTIVE,
    f.RollbackStarted: (r.PHASE_PREPARING, r.PHASE_STEPPING, r.PHASE_PROMOTING, r.PHASE_BAKING),
    f.ReleaseRolledBack: (r.PHASE_ROLLING_BACK,),
    f.ReleaseRejected: (r.PHASE_REQUESTED,),
    f.ReleaseSuperseded: (r.PHASE_REQUESTED,),
}


def is_active(release: r.Release) -> bool:
    """Whether the release has not ended."""
    return release.phase in ACTIVE


def evolve(state: ModelState, fact: ReleaseFact, record: f.LifecycleRecord) -> r.Version | None:
    """Folds a release fact and answers the version that it may have put in quarantine.

    Raises IllegalFact when the state does not allow the fact.
    """
    if isinstance(fact, f.ReleaseRequested):
        _requested(state, fact, record)
        return None
    release = state.releases.get(fact.release)
    if release is None or release.phase not in _ALLOWED_FROM[type(fact)]:
        raise IllegalFact(f"{type(fact).__name__} for release {fact.release}")
    _fold(state, release, fact, record)
    return state.versions[release.candidate] if isinstance(fact, f.RollbackStarted) else None


def _requested(state: ModelState, fact: f.ReleaseRequested, record: f.LifecycleRecord) -> None:
    version = state.versions.get(fact.candidate)
    if fact.release != len(state.releases) + 1 or version is None:
        raise IllegalFact(f"release {fact.release} of version {fact.candidate}")
    state.releases[fact.release] = r.Release(
        name=release_name(state.name, fact.release),
        release=fact.release,
        environment=fact.environment,
        candidate=fact.candidate,
        strategy=fact.strategy,
        policy=fact.policy,
        policy_sha256=fact.policy_sha256,
        salt=fact.salt,
        phase=r.PHASE_REQUESTED,
        step=-1,
        reason=fact.reason,
        undo_of=fact.undo_of,
        # Facts of before the field was there: without an override the request would have been refused.
        override_quarantine=fact.override_quarantine or version.quarantined,
        requested_at_ms=record.occurred_at_ms,
        phase_since_ms=record.occurred_at_ms,
    )


def _fold(  # noqa: C901 - a closed match reads as a table
    state: ModelState,
    release: r.Release,
    fact: _LaterFact,
    record: f.LifecycleRecord,
) -> None:
    match fact:
        case f.ReleaseStarted():
            release.stable = fact.stable
            release.started_at_ms = record.occurred_at_ms
            _enter(release, r.PHASE_PREPARING, record)
        case f.CandidateReady():
            release.candidate_ready = True
        case f.WeightsSet():
            release.step = fact.step
            release.judgement.CopyFrom(fact.judgement)
            _shift(release, fact, record)
            _enter(release, r.PHASE_STEPPING, record)
        case f.WeightsApplied():
            _applied(release, fact, record)
        case f.PromotionStarted():
            release.judgement.CopyFrom(fact.judgement)
            _shift(release, fact, record)
            _enter(release, r.PHASE_PROMOTING, record)
        case f.ReleaseCompleted():
            state.model.live[release.environment] = release.candidate
            _end(release, r.PHASE_COMPLETED, record)
        case f.ReleasePaused():
            release.paused, release.paused_reason = True, fact.reason
        case f.ReleaseResumed():
            _resume(release, record)
        case f.RollbackStarted():
            _roll_back(state, release, fact, record)
        case f.ReleaseRolledBack():
            _end(release, r.PHASE_ROLLED_BACK, record)
        case f.ReleaseRejected():
            release.reason = fact.reason
            _end(release, r.PHASE_REJECTED, record)
        case f.ReleaseSuperseded():
            _end(release, r.PHASE_SUPERSEDED, record)
        case _:
            assert_never(fact)


def _shift(
    release: r.Release, fact: f.WeightsSet | f.PromotionStarted | f.RollbackStarted, record: f.LifecycleRecord
) -> None:
    del release.weights[:]
    release.weights.extend(fact.weights)
    release.epoch = record.sequence
    release.applied_at_ms = 0


def _applied(release: r.Release, fact: f.WeightsApplied, record: f.LifecycleRecord) -> None:
    if fact.epoch != release.epoch:
        raise IllegalFact(f"epoch {fact.epoch} applied while {release.epoch} is in force")
    release.applied_at_ms = record.occurred_at_ms
    if release.phase == r.PHASE_PROMOTING:
        _enter(release, r.PHASE_BAKING, record)


def _resume(release: r.Release, record: f.LifecycleRecord) -> None:
    release.paused, release.paused_reason = False, ""
    # The step is observed afresh: what happened while nobody looked does not count as time served.
    release.phase_since_ms = record.occurred_at_ms
    if release.phase in (r.PHASE_STEPPING, r.PHASE_BAKING) and release.applied_at_ms:
        release.applied_at_ms = record.occurred_at_ms


def _roll_back(state: ModelState, release: r.Release, fact: f.RollbackStarted, record: f.LifecycleRecord) -> None:
    release.rollback_cause = fact.cause
    release.reason = fact.reason
    release.judgement.CopyFrom(fact.judgement)
    release.paused, release.paused_reason = False, ""
    if fact.cause in (f.ROLLBACK_CAUSE_VERDICT, f.ROLLBACK_CAUSE_REFLEX):
        state.versions[release.candidate].quarantined = True
    _shift(release, fact, record)
    _enter(release, r.PHASE_ROLLING_BACK, record)


def _enter(release: r.Release, phase: r.Phase.ValueType, record: f.LifecycleRecord) -> None:
    release.phase = phase
    release.phase_since_ms = record.occurred_at_ms


def _end(release: r.Release, phase: r.Phase.ValueType, record: f.LifecycleRecord) -> None:
    _enter(release, phase, record)
    release.paused, release.paused_reason = False, ""
    release.ended_at_ms = record.occurred_at_ms
