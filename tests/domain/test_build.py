"""The build axis: claims, leases, takeovers and reports."""

import pytest

from headgate.domain.state import IllegalFact
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from tests.domain.scenario import (
    LEASE_MS,
    REPOSITORY,
    claimed,
    code_tested,
    commit,
    created,
    evaluated,
    evaluating,
    gated_configuration,
    given,
    trained,
    training,
)


def claim(
    attempt: int = 1, worker: str = "trainer-0", seen: int = 0, lease_ms: int = LEASE_MS
) -> commands.StartTesting:
    return commands.StartTesting(
        version=1, attempt=attempt, worker=worker, lease_ms=lease_ms, predecessor_seen_at_ms=seen
    )


def evaluate(attempt: int = 1, worker: str = "evaluator-0") -> commands.StartEvaluation:
    return commands.StartEvaluation(version=1, attempt=attempt, worker=worker, lease_ms=LEASE_MS)


def create(hash_: str, repository: str = REPOSITORY) -> commands.CreateVersion:
    return commands.CreateVersion(repository=repository, commit=hash_)


@pytest.mark.parametrize(
    ("past", "attempt"),
    [
        ([created()], 0),
        ([created(), claimed()], 1),
        ([created(), claimed(), code_tested(), training()], 1),
        ([created(), claimed(), code_tested(), training(), trained()], 1),
        ([created(), claimed(), code_tested(), training(), trained(), evaluating()], 1),
    ],
)
def test_a_version_is_cancelled_while_it_waits_or_is_in_work(past: list, attempt: int) -> None:
    cancel = commands.CancelVersion(version=1, reason="the tests hang")
    cancelled = facts.VersionCancelled(version=1, attempt=attempt, reason="the tests hang")
    now = given(*past)
    now.when(cancel).then(cancelled)
    now.and_given(cancelled)
    version = now.version()
    assert (version.label, version.failure) == ("cancelled", "cancelled by anonymous: the tests hang")
    assert not version.HasField("lease")
    now.when(cancel).then_nothing()
    now.when(claim(attempt + 1, "trainer-1")).then_refused("illegal-transition", "cancelled")
    now.when(evaluate(attempt + 1)).then_refused("illegal-transition", "cancelled")
    lost = facts.TrainingFailed(version=1, attempt=attempt, reason="late")
    now.when(commands.ReportTrainingFailed(fact=lost)).then_refused("illegal-transition", "cancelled")


def test_a_version_whose_build_has_ended_cannot_be_cancelled() -> None:
    cancel = commands.CancelVersion(version=1, reason="too late")
    past = given(created(), claimed(), code_tested(), training(), trained(), evaluating(), evaluated())
    past.when(cancel).then_refused("illegal-transition", "waits for the verdict of its gate")
    failed = facts.TrainingFailed(version=1, attempt=1, reason="r")
    given(created(), claimed(), failed).when(cancel).then_refused("illegal-transition", "fraud: its training failed")
    given(created()).when(commands.CancelVersion(version=2, reason="r")).then_refused("not-found", "version 2 of fraud")


def test_a_cancellation_needs_a_reason() -> None:
    for reason in ("", "  "):
        given(created()).when(commands.CancelVersion(version=1, reason=reason)).then_refused(
            "invalid-argument", "reason"
        )


def test_the_first_version_creates_its_model() -> None:
    past = given()
    past.when(create(commit(1))).then(created(1))
    past.and_given(created(1))
    assert past.state.model.name == "models/fraud"
    assert past.state.model.repository == REPOSITORY
    assert past.version().label == "created"


def test_versions_count_from_one_without_gaps() -> None:
    given(created(1), created(2)).when(create(commit(3))).then(created(3))


def test_a_commit_is_written_in_lower_case() -> None:
    given().when(create("A" * 40)).then(
        facts.VersionCreated(version=1, origin=facts.ORIGIN_COMMIT, repository=REPOSITORY, commit="a" * 40)
    )


@pytest.mark.parametrize("bad", ["", "main", "abc", "g" * 40, "a" * 41, "a" * 39 + "\n"])
def test_a_version_needs_a_full_commit_hash(bad: str) -> None:
    given().when(create(bad)).then_refused("invalid-argument", "commit")


def test_a_version_needs_a_repository() -> None:
    given().when(create(commit(1), "")).then_refused("invalid-argument", "repository")


def test_a_commit_has_one_version_in_each_repository() -> None:
    past = given(created(1))
    past.when(create(commit(1))).then_refused("already-exists", "version 1")
    past.when(create(commit(1), "/elsewhere")).then(
        facts.VersionCreated(version=2, origin=facts.ORIGIN_COMMIT, repository="/elsewhere", commit=commit(1))
    )


def test_a_trainer_claims_a_created_version() -> None:
    past = given(created())
    past.when(claim()).then(claimed())
    past.and_given(claimed())
    assert past.version().lease == resources.Lease(worker="trainer-0", claimed_at_ms=2, lease_ms=LEASE_MS)


def test_the_first_claim_is_attempt_one() -> None:
    given(created()).when(claim(attempt=2)).then_refused("invalid-argument", "next attempt is 1")


@pytest.mark.parametrize("lease_ms", [0, -1, 10 * 60_000 + 1])
def test_a_lease_has_a_limited_length(lease_ms: int) -> None:
    given(created()).when(claim(lease_ms=lease_ms)).then_refused("invalid-argument", "lease_ms")


def test_a_claim_needs_the_name_of_its_worker() -> None:
    given(created()).when(claim(worker="")).then_refused("invalid-argument", "worker")


def test_a_repeated_claim_of_the_holder_changes_nothing() -> None:
    given(created(), claimed()).when(claim()).then_nothing()


def test_another_worker_cannot_claim_a_version_whose_lease_holds() -> None:
    given(created(), claimed()).when(claim(2, "trainer-1"), at_ms=LEASE_MS).then_refused("illegal-transition", "holds")


def test_an_expired_lease_is_taken_over_as_the_next_attempt() -> None:
    past = given(created(), claimed())
    past.when(claim(2, "trainer-1"), at_ms=2 + LEASE_MS).then(claimed(attempt=2, worker="trainer-1"))
    past.when(claim(1, "trainer-1"), at_ms=2 + LEASE_MS).then_refused("invalid-argument", "next attempt is 2")


def test_a_heartbeat_prolongs_the_lease() -> None:
    given(created(), claimed()).when(claim(2, "trainer-1", seen=500), at_ms=2 + LEASE_MS).then_refused(
        "illegal-transition", "holds"
    )


def test_a_restarted_worker_claims_its_own_version_again_at_once() -> None:
    given(created(), claimed()).when(claim(2), at_ms=3).then(claimed(attempt=2))


def test_a_takeover_during_training_starts_with_the_tests_again() -> None:
    past = given(created(), claimed(), code_tested(), training(), claimed(attempt=2))
    assert past.version().build == resources.BUILD_STATE_TESTING
    past.when(commands.ReportTrainingStarted(fact=training(attempt=2))).then_refused("illegal-transition", "tests")


def test_the_current_attempt_can_report() -> None:
    given(created(), claimed()).when(commands.ReportCodeTested(fact=code_tested())).then(code_tested())


def test_a_report_of_a_lost_attempt_is_refused() -> None:
    past = given(created(), claimed(), claimed(attempt=2))
    past.when(commands.ReportCodeTested(fact=code_tested())).then_refused("illegal-transition", "attempt 1")


def test_a_second_report_of_the_same_result_is_refused() -> None:
    past = given(created(), claimed(), code_tested(), training(), trained())
    past.when(commands.ReportTrainingFinished(fact=trained())).then_refused("illegal-transition")


def test_the_tests_of_an_attempt_are_reported_once() -> None:
    past = given(created(), claimed(), code_tested())
    past.when(commands.ReportCodeTested(fact=code_tested())).then_nothing()
    past.when(commands.ReportCodeTested(fact=facts.CodeTested(version=1, attempt=1))).then_refused(
        "illegal-transition", "once"
    )
    past.and_given(claimed(attempt=2)).when(commands.ReportCodeTested(fact=code_tested(attempt=2))).then(
        code_tested(attempt=2)
    )


def test_a_test_report_needs_the_configuration_of_its_model() -> None:
    fact = facts.CodeTested(
        version=1, attempt=1, passed=True, configuration=configuration.ModelConfiguration(model="other")
    )
    given(created(), claimed()).when(commands.ReportCodeTested(fact=fact)).then_refused("invalid-argument", "fraud")


def test_failed_tests_end_the_version() -> None:
    past = given(created(), claimed(), facts.CodeTested(version=1, attempt=1, exit_code=3, log_tail="x" * 20_000))
    assert past.version().label == "tests failed"
    assert past.version().failure == "tests ended with 3"
    assert len(past.version().failure_log_tail) == 16_384
    past.when(claim(2)).then_refused("illegal-transition", "due")


@pytest.mark.parametrize(
    ("stage", "label", "sentence"),
    [
        (facts.STAGE_CHECKOUT, "checkout failed", "its checkout failed"),
        (facts.STAGE_CONFIGURATION, "configuration failed", "its headgate.toml is wrong"),
        (facts.STAGE_DATA, "data failed", "its data cannot be used"),
        (facts.STAGE_PACKAGES, "packages failed", "its packages cannot be used"),
        (facts.STAGE_TESTS, "tests failed", "its tests failed"),
        (facts.STAGE_TRAINING, "training failed", "its training failed"),
        (facts.STAGE_EXPORT, "export failed", "its export failed"),
        (facts.STAGE_UNSPECIFIED, "training failed", "its training failed"),
    ],
)
def test_a_failed_attempt_is_labelled_by_its_stage(stage: facts.Stage.ValueType, label: str, sentence: str) -> None:
    reported = facts.TrainingFailed(version=1, attempt=1, stage=stage, reason="r")
    recorded = facts.TrainingFailed(version=1, attempt=1, stage=stage, reason="r", labelled_by_stage=True)
    now = given(created(), claimed())
    now.when(commands.ReportTrainingFailed(fact=reported)).then(recorded)
    now.and_given(recorded)
    assert now.version().label == label
    now.when(claim(2)).then_refused("illegal-transition", sentence)


def test_an_import_that_failed_is_labelled_so_whatever_the_stage() -> None:
    imported = created()
    imported.upload.model_sha256 = "a" * 64
    for stage in (facts.STAGE_DATA, facts.STAGE_TRAINING, facts.STAGE_EXPORT):
        failed = facts.TrainingFailed(version=1, attempt=1, stage=stage, reason="r", labelled_by_stage=True)
        assert given(imported, claimed(), failed).version().label == "import failed"


def test_older_records_keep_the_label_that_they_had() -> None:
    older = facts.TrainingFailed(version=1, attempt=1, stage=facts.STAGE_CHECKOUT, reason="r")
    assert given(created(), claimed(), older).version().label == "training failed"


def test_tests_that_ran_out_of_time_have_failed_and_say_so() -> None:
    late = facts.CodeTested(version=1, attempt=1, exit_code=143, reason="the tests took longer than 600 s")
    shown = given(created(), claimed(), late).version()
    assert (shown.label, shown.failure) == ("tests failed", "the tests took longer than 600 s")


def test_training_starts_only_after_the_tests() -> None:
    given(created(), claimed()).when(commands.ReportTrainingStarted(fact=training())).then_refused("illegal-transition")


def test_a_trained_version_needs_its_artifact() -> None:
    fact = facts.TrainingFinished(version=1, attempt=1)
    past = given(created(), claimed(), code_tested(), training())
    past.when(commands.ReportTrainingFinished(fact=fact)).then_refused("invalid-argument", "the files of its artifact")


def test_an_evaluator_can_claim_a_trained_version() -> None:
    past = given(created(), claimed(), code_tested(), training(), trained())
    assert not past.version().HasField("lease")
    past.when(evaluate()).then(evaluating())


def test_an_evaluation_is_claimed_and_taken_over_like_training() -> None:
    past = given(created(), claimed(), code_tested(), training(), trained(), evaluating())
    past.when(evaluate()).then_nothing()
    past.when(evaluate(2, "evaluator-1"), at_ms=7).then_refused("illegal-transition", "holds")
    past.when(evaluate(2, "evaluator-1"), at_ms=6 + LEASE_MS).then(evaluating(attempt=2, worker="evaluator-1"))


def test_an_evaluation_before_training_is_refused() -> None:
    given(created(), claimed()).when(evaluate()).then_refused("illegal-transition", "due")


def test_an_evaluation_is_recorded_with_the_report_of_the_live_version() -> None:
    fact = evaluated()
    fact.baseline_version = 7
    fact.baseline_failure, fact.signature_change = "too many columns", "one column more"
    past = given(created(), claimed(), code_tested(), training(), trained(), evaluating(), fact)
    assert past.version().label == "evaluated"
    version = past.version()
    assert version.baseline_version == 7
    assert (version.baseline_failure, version.signature_change) == ("too many columns", "one column more")


def test_a_version_that_does_not_exist_is_not_found() -> None:
    given(created()).when(commands.StartTesting(version=9, attempt=1, worker="w", lease_ms=1)).then_refused("not-found")


def test_a_model_that_does_not_exist_is_not_found() -> None:
    given().when(claim()).then_refused("not-found", "model fraud does not exist")


def test_an_illegal_fact_is_not_folded() -> None:
    for history in ([created(2)], [created(), trained()], [created(), training()], [claimed()]):
        with pytest.raises(IllegalFact):
            given(*history)


def test_a_version_keeps_the_configuration_of_its_commit() -> None:
    rule = configuration.GateRule(metric="auc", min=0.9)
    assert given(created(), claimed(), code_tested()).version().configuration == gated_configuration(rule)
