"""How facts of the build axis are folded into their version, and in which build states each may come."""

from collections.abc import Callable, Mapping
from typing import Any, assert_never, get_args

from headgate.domain.failed_attempt import failed_state
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

MAX_LOG_TAIL = 16_384

Report = (
    facts.CodeTested
    | facts.TrainingStarted
    | facts.TrainingFinished
    | facts.TrainingFailed
    | facts.ArtifactSigned
    | facts.EvaluationFinished
    | facts.EvaluationFailed
)
Progress = facts.TestingStarted | facts.EvaluationStarted | facts.VersionCancelled | Report
BuildFact = facts.VersionCreated | Progress

EVALUABLE = (resources.BUILD_STATE_TRAINED, resources.BUILD_STATE_EVALUATING, resources.BUILD_STATE_EVALUATED)
AT_WORK = (resources.BUILD_STATE_TESTING, resources.BUILD_STATE_TRAINING)
BEFORE_VERDICT = (resources.BUILD_STATE_TRAINED, resources.BUILD_STATE_EVALUATING)
CANCELLABLE = (resources.BUILD_STATE_CREATED, *AT_WORK, *BEFORE_VERDICT)


def _testing_started(version: resources.Version, fact: facts.TestingStarted, record: facts.LifecycleRecord) -> None:
    version.build = resources.BUILD_STATE_TESTING
    _lease(version, fact, record)
    version.ClearField("configuration")


def _code_tested(version: resources.Version, fact: facts.CodeTested, record: facts.LifecycleRecord) -> None:
    _keep_log(version, fact)
    if fact.passed:
        version.configuration.CopyFrom(fact.configuration)
    else:
        reason = fact.reason or f"tests ended with {fact.exit_code}"
        _failed(version, resources.BUILD_STATE_TESTS_FAILED, reason, fact.log_tail)


def _training_started(version: resources.Version, fact: facts.TrainingStarted, record: facts.LifecycleRecord) -> None:
    version.build = resources.BUILD_STATE_TRAINING


def _training_finished(version: resources.Version, fact: facts.TrainingFinished, record: facts.LifecycleRecord) -> None:
    _keep_log(version, fact)
    version.build = resources.BUILD_STATE_TRAINED
    version.artifact.CopyFrom(fact.artifact)
    version.ClearField("lease")


def _artifact_signed(version: resources.Version, fact: facts.ArtifactSigned, record: facts.LifecycleRecord) -> None:
    artifact = version.artifact
    artifact.manifest_sha256, artifact.signed_by = fact.manifest_sha256, fact.signed_by
    artifact.signed_at_ms = fact.signed_at_ms


def _training_failed(version: resources.Version, fact: facts.TrainingFailed, record: facts.LifecycleRecord) -> None:
    _keep_log(version, fact)
    _failed(version, failed_state(version, fact), fact.reason, fact.log_tail)


def _evaluation_started(
    version: resources.Version, fact: facts.EvaluationStarted, record: facts.LifecycleRecord
) -> None:
    if version.build == resources.BUILD_STATE_EVALUATED:
        _forget_verdict(version)
    version.build = resources.BUILD_STATE_EVALUATING
    _lease(version, fact, record)


def _forget_verdict(version: resources.Version) -> None:
    """The version is compared again, so its gate is decided again and approvals are asked for again."""
    version.verdict = resources.VERDICT_STATE_UNDECIDED
    version.approvals = 0
    del version.approved_by[:]
    del version.proven_approvals[:]
    version.ClearField("gate")


def _evaluation_finished(
    version: resources.Version, fact: facts.EvaluationFinished, record: facts.LifecycleRecord
) -> None:
    version.build = resources.BUILD_STATE_EVALUATED
    version.report.CopyFrom(fact.report)
    version.baseline_version = fact.baseline_version
    version.baseline_report.CopyFrom(fact.baseline_report)
    version.baseline_failure = fact.baseline_failure
    version.signature_change = fact.signature_change
    version.ClearField("lease")


def _evaluation_failed(version: resources.Version, fact: facts.EvaluationFailed, record: facts.LifecycleRecord) -> None:
    _failed(version, resources.BUILD_STATE_EVALUATION_FAILED, fact.reason, fact.log_tail)


def _cancelled(version: resources.Version, fact: facts.VersionCancelled, record: facts.LifecycleRecord) -> None:
    reason = f"cancelled by {record.actor or 'anonymous'}: {fact.reason}"
    _failed(version, resources.BUILD_STATE_CANCELLED, reason, "")


def _keep_log(
    version: resources.Version, fact: facts.CodeTested | facts.TrainingFinished | facts.TrainingFailed
) -> None:
    if isinstance(fact, facts.CodeTested) and fact.HasField("packages_log"):
        version.logs.append(fact.packages_log)
    if fact.HasField("log"):
        version.logs.append(fact.log)


def _lease(
    version: resources.Version, fact: facts.TestingStarted | facts.EvaluationStarted, record: facts.LifecycleRecord
) -> None:
    version.attempt = fact.attempt
    lease = version.lease
    lease.worker, lease.claimed_at_ms, lease.lease_ms = fact.worker, record.occurred_at_ms, fact.lease_ms


def _failed(version: resources.Version, build: resources.BuildState.ValueType, reason: str, log_tail: str) -> None:
    version.build = build
    version.failure = reason
    version.failure_log_tail = log_tail[-MAX_LOG_TAIL:]
    version.ClearField("lease")


_Fold = Callable[[resources.Version, Any, facts.LifecycleRecord], None]
_Row = tuple[tuple[resources.BuildState.ValueType, ...], _Fold]


def _row_of(fact: Progress) -> _Row:  # noqa: C901 - a closed match reads as a table
    """The build states that allow a fact of this kind, and the function that folds it."""
    match fact:
        case facts.TestingStarted():
            return (resources.BUILD_STATE_CREATED, *AT_WORK), _testing_started
        case facts.CodeTested():
            return (resources.BUILD_STATE_TESTING,), _code_tested
        case facts.TrainingStarted():
            return (resources.BUILD_STATE_TESTING,), _training_started
        case facts.TrainingFinished():
            return (resources.BUILD_STATE_TRAINING,), _training_finished
        case facts.TrainingFailed():
            return AT_WORK, _training_failed
        case facts.ArtifactSigned():
            return (resources.BUILD_STATE_TRAINED,), _artifact_signed
        case facts.EvaluationStarted():
            return EVALUABLE, _evaluation_started
        case facts.EvaluationFinished():
            return (resources.BUILD_STATE_EVALUATING,), _evaluation_finished
        case facts.EvaluationFailed():
            return (resources.BUILD_STATE_EVALUATING,), _evaluation_failed
        case facts.VersionCancelled():
            return CANCELLABLE, _cancelled
        case _:
            assert_never(fact)


FOLDS: Mapping[type, _Row] = {kind: _row_of(kind()) for kind in get_args(Progress)}
"""The result of the match for each kind of fact. A replay would spend much of its time on the match itself."""
