"""The build axis of a version: created, testing, training, trained, evaluating, evaluated, failed or cancelled."""

import sys
from typing import assert_never

from headgate.domain.build_fold import AT_WORK, CANCELLABLE, FOLDS, BuildFact, Progress, Report
from headgate.domain.comparison import not_compared_with
from headgate.domain.failed_attempt import labelled_by_stage
from headgate.domain.label import standing
from headgate.domain.names import in_words, model_stream, version_name
from headgate.domain.refusal import ALREADY_EXISTS, IN_USE, Refused, illegal, invalid, not_found, purged
from headgate.domain.release import is_active
from headgate.domain.source import bad_source
from headgate.domain.state import IllegalFact, ModelState
from headgate.domain.updated_data import what_is_built, wrong_updates
from headgate.domain.upload import decide_import, what_is_uploaded
from headgate.domain.versions import is_purged
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

MAX_ATTEMPTS = 3
"""How many attempts a build or an evaluation has. When the worker of the last one is lost, it fails.

An evaluation that compares a version again, with another live version, has as many, and other numbers: 4 to 6.
"""
MAX_LEASE_MS = 10 * 60_000
MAX_MESSAGE = 4_096

BuildCommand = (
    commands.CreateVersion
    | commands.StartTesting
    | commands.ReportCodeTested
    | commands.ReportTrainingStarted
    | commands.ReportTrainingFinished
    | commands.ReportTrainingFailed
    | commands.ReportArtifactSigned
    | commands.StartEvaluation
    | commands.ReportEvaluationFinished
    | commands.ReportEvaluationFailed
    | commands.CancelVersion
)
_ATTEMPT_RULE = "only the current attempt can be reported"


def decide(state: ModelState, command: BuildCommand, at_ms: int) -> BuildFact | Refused | None:
    """The fact that a build command leads to, a refusal, or None when the fact holds already."""
    match command:
        case commands.CreateVersion():
            return _create(state, command)
        case commands.StartTesting():
            return _start_testing(state, command, at_ms)
        case commands.StartEvaluation():
            return _start_evaluation(state, command, at_ms)
        case commands.CancelVersion():
            return _cancel(state, command)
        case (
            commands.ReportCodeTested()
            | commands.ReportTrainingStarted()
            | commands.ReportTrainingFinished()
            | commands.ReportTrainingFailed()
            | commands.ReportArtifactSigned()
            | commands.ReportEvaluationFinished()
            | commands.ReportEvaluationFailed()
        ):
            return _report(state, command.fact, at_ms)
        case _:
            assert_never(command)


def create(state: ModelState, fact: facts.VersionCreated, record: facts.LifecycleRecord) -> resources.Version:
    """Folds the creation of a version and returns it. Raises IllegalFact when its number is not the next one."""
    if fact.version != len(state.versions) + 1:
        raise IllegalFact(f"version {fact.version} after {len(state.versions)}")
    if not state.exists:
        state.model.name = model_stream(state.name)
        state.model.create_time_ms = record.occurred_at_ms
    if not state.model.repository:
        state.model.repository = fact.repository
    state.model.latest_version = fact.version
    what = what_is_uploaded(fact.upload) if fact.HasField("upload") else what_is_built(fact.commit, fact.updated_data)
    state.built.setdefault(fact.repository, {})[what] = fact.version
    if record.actor:
        state.authors[fact.version] = sys.intern(record.actor)
    return state.versions.add(
        name=version_name(state.name, fact.version),
        version=fact.version,
        build=resources.BUILD_STATE_CREATED,
        verdict=resources.VERDICT_STATE_UNDECIDED,
        retention=resources.RETENTION_STATE_KEPT,
        origin=fact.origin,
        repository=fact.repository,
        commit=fact.commit,
        commit_message=fact.commit_message,
        upload=fact.upload if fact.HasField("upload") else None,
        create_time_ms=record.occurred_at_ms,
        update_time_ms=record.occurred_at_ms,
        updated_data=fact.updated_data,
    )


def evolve(state: ModelState, fact: Progress, record: facts.LifecycleRecord) -> resources.Version:
    """Folds a later build fact into its version and returns it. Raises IllegalFact when the state forbids it."""
    version = state.versions.get(fact.version)
    allowed_from, fold = FOLDS[type(fact)]
    if version is None or version.build not in allowed_from:
        raise IllegalFact(f"{type(fact).__name__} for version {fact.version}")
    version.update_time_ms = record.occurred_at_ms
    fold(version, fact, record)
    return version


def _create(state: ModelState, command: commands.CreateVersion) -> facts.VersionCreated | Refused:
    if command.HasField("upload"):
        return decide_import(state, command, command.commit_message[:MAX_MESSAGE])
    if wrong := bad_source(command.repository, command.commit):
        return wrong
    commit = command.commit.lower()
    if refused := wrong_updates(command.updated_data):
        return refused
    built = state.built.get(command.repository, {}).get(what_is_built(commit, command.updated_data))
    if built is not None:
        rule = "a commit can have only one version with the same data"
        return Refused(ALREADY_EXISTS, rule, f"commit {commit} is version {built}", "commit")
    return facts.VersionCreated(
        version=len(state.versions) + 1,
        origin=facts.ORIGIN_COMMIT,
        repository=command.repository,
        commit=commit,
        commit_message=command.commit_message[:MAX_MESSAGE],
        updated_data=command.updated_data,
    )


def _start_testing(
    state: ModelState, command: commands.StartTesting, at_ms: int
) -> facts.TestingStarted | Refused | None:
    version = state.versions.get(command.version)
    if version is None:
        return not_found(version_name(state.name, command.version), "version")
    refused = _claim(version, command, at_ms, 1 if version.build == resources.BUILD_STATE_CREATED else 0, AT_WORK)
    if refused is not None:
        return None if refused == _HELD_BY_CALLER else refused
    return facts.TestingStarted(
        version=command.version, attempt=command.attempt, worker=command.worker, lease_ms=command.lease_ms
    )


def _start_evaluation(
    state: ModelState, command: commands.StartEvaluation, at_ms: int
) -> facts.EvaluationStarted | Refused | None:
    version = state.versions.get(command.version)
    if version is None:
        return not_found(version_name(state.name, command.version), "version")
    first = first_evaluation(state, version)
    refused = _claim(version, command, at_ms, first, (resources.BUILD_STATE_EVALUATING,))
    if refused is not None:
        return None if refused == _HELD_BY_CALLER else refused
    return facts.EvaluationStarted(
        version=command.version, attempt=command.attempt, worker=command.worker, lease_ms=command.lease_ms
    )


def _cancel(state: ModelState, command: commands.CancelVersion) -> facts.VersionCancelled | Refused | None:
    version = state.versions.get(command.version)
    if version is None:
        return not_found(version_name(state.name, command.version), "version")
    if is_purged(version):
        return purged(version.name, "a purged version has no build that could be cancelled")
    if version.build == resources.BUILD_STATE_CANCELLED:
        return None
    if version.build not in CANCELLABLE:
        return illegal(standing(version), "only a version that waits for its build or is in it can be cancelled")
    for release in state.releases.values():
        if is_active(release) and release.candidate == version.version:
            rule = "the release of a version is aborted before the version is cancelled"
            return Refused(IN_USE, rule, f"{in_words(version.name)} is part of {in_words(release.name)}")
    if not command.reason.strip():
        return invalid("reason", command.reason, "a cancellation needs its reason")
    return facts.VersionCancelled(version=command.version, attempt=version.attempt, reason=command.reason)


def first_evaluation(state: ModelState, version: resources.Version) -> int:
    """The number of the attempt with which an evaluation of this version must begin; 0 when none is due."""
    if version.build == resources.BUILD_STATE_TRAINED:
        return 1 if is_signed(version) else 0
    if not not_compared_with(state, version):
        return 0
    return version.attempt + MAX_ATTEMPTS - (version.attempt - 1) % MAX_ATTEMPTS


def is_signed(of: resources.Version | facts.TrainingFinished) -> bool:
    """Whether the artifact has a signed manifest, without which nobody uses it."""
    return bool(of.artifact.manifest_sha256)


def is_last_attempt(attempt: int) -> bool:
    """Whether the work fails when the worker of this attempt is lost."""
    return attempt % MAX_ATTEMPTS == 0


_HELD_BY_CALLER = Refused("held", "", "")


def _claim(
    version: resources.Version,
    command: commands.StartTesting | commands.StartEvaluation,
    at_ms: int,
    first_attempt: int,
    held: tuple[resources.BuildState.ValueType, ...],
) -> Refused | None:
    if not 0 < command.lease_ms <= MAX_LEASE_MS:
        return invalid("lease_ms", command.lease_ms, f"a lease lasts 1 to {MAX_LEASE_MS} ms")
    if not command.worker:
        return invalid("worker", command.worker, "a claim needs the name of its worker")
    if first_attempt:
        expected = first_attempt
    elif version.build in held:
        if version.lease.worker == command.worker and version.attempt == command.attempt:
            return _HELD_BY_CALLER
        alive_until = max(version.lease.claimed_at_ms, command.predecessor_seen_at_ms) + version.lease.lease_ms
        if at_ms < alive_until and version.lease.worker != command.worker:
            return illegal(
                f"{version.lease.worker} holds {in_words(version.name)}",
                "a lease can be taken over only after it has expired",
            )
        expected = version.attempt + 1
    else:
        return illegal(standing(version), "only work that is due can be claimed")
    if command.attempt != expected:
        return invalid("attempt", command.attempt, f"the next attempt is {expected}")
    return None


def _report(state: ModelState, fact: Report, at_ms: int) -> Report | Refused | None:  # noqa: C901 - one rule after the other
    version = state.versions.get(fact.version)
    if version is None:
        return not_found(version_name(state.name, fact.version), "version")
    if version.build not in FOLDS[type(fact)][0] or version.attempt != fact.attempt:
        return illegal(
            f"{type(fact).__name__} of attempt {fact.attempt}, but {standing(version)}, attempt {version.attempt}",
            _ATTEMPT_RULE,
        )
    if isinstance(fact, facts.CodeTested) and version.HasField("configuration"):
        rule = "the tests of an attempt are reported only once"
        return (
            None
            if fact.configuration == version.configuration
            else illegal(f"{in_words(version.name)} is tested", rule)
        )
    if isinstance(fact, facts.CodeTested) and fact.passed and fact.configuration.model != state.name:
        return invalid(
            "configuration.model", fact.configuration.model, f"headgate.toml must name the model {state.name}"
        )
    if isinstance(fact, facts.TrainingStarted) and not version.HasField("configuration"):
        return illegal(
            f"{in_words(version.name)} has not passed its tests", "training starts only after the tests have passed"
        )
    if isinstance(fact, facts.TrainingFinished) and not (fact.artifact.files or is_signed(fact)):
        return invalid("artifact.files", "", "a trained version needs the files of its artifact")
    if isinstance(fact, facts.TrainingFinished) and is_signed(fact):
        return _signed_by_its_trainer(fact, at_ms)
    if isinstance(fact, facts.ArtifactSigned):
        return _signed(version, fact)
    return labelled_by_stage(fact) if isinstance(fact, facts.TrainingFailed) else fact


def _signed_by_its_trainer(fact: facts.TrainingFinished, at_ms: int) -> facts.TrainingFinished:
    """A trainer of an older version signs by itself. When it did so is not for it to say."""
    known = facts.TrainingFinished()
    known.CopyFrom(fact)
    known.artifact.signed_at_ms = at_ms
    return known


def _signed(version: resources.Version, fact: facts.ArtifactSigned) -> facts.ArtifactSigned | Refused | None:
    if not fact.manifest_sha256 or not fact.signed_by:
        return invalid("manifest_sha256", fact.manifest_sha256, "a signature needs its manifest and its key")
    return None if is_signed(version) else fact
