"""What is due, for every state a version can be in, and who takes over from whom."""

from collections.abc import Iterable

from headgate.domain.build import MAX_ATTEMPTS
from headgate.domain.state import ModelState
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.worker.leases import Claim, Liveness
from services.evaluator.due import LEASE_MS, Assignment, due, is_held
from tests.clocks import liveness
from tests.model_states import with_versions

NOW = 1_000_000
ME = "evaluator-0.boot"
NO_HEARTBEATS = liveness(NOW)


def version(number: int, build: resources.BuildState.ValueType, **fields: object) -> resources.Version:
    return resources.Version(
        name=f"models/fraud/versions/{number}",
        version=number,
        build=build,
        verdict=resources.VERDICT_STATE_UNDECIDED,
        retention=resources.RETENTION_STATE_KEPT,
        artifact=facts.Artifact(manifest_sha256="ab" * 32),
        **fields,  # type: ignore[arg-type]
    )


def evaluating(worker: str, claimed_at_ms: int, attempt: int = 1) -> resources.Version:
    lease = resources.Lease(worker=worker, claimed_at_ms=claimed_at_ms, lease_ms=LEASE_MS)
    return version(1, resources.BUILD_STATE_EVALUATING, attempt=attempt, lease=lease)


def model(*versions: resources.Version, live: int = 0, environment: str = "production") -> ModelState:
    state = with_versions("fraud", *versions)
    if live:
        state.model.live[environment] = live
    return state


def work(state: ModelState, heard: Liveness = NO_HEARTBEATS) -> list[commands.Command | Assignment]:
    return list(due({state.name: state}, ME, heard, NOW))


def only_command(found: Iterable[commands.Command | Assignment]) -> commands.Command:
    (command,) = found
    assert isinstance(command, commands.Command)
    assert command.stream == "models/fraud"
    return command


def only_assignment(found: Iterable[commands.Command | Assignment]) -> Assignment:
    (assignment,) = found
    assert isinstance(assignment, Assignment)
    return assignment


def test_an_evaluation_is_held_until_it_is_cancelled_or_taken_over() -> None:
    claim = Claim("models/fraud", 1, 1)
    held = {
        "mine": evaluating(ME, NOW),
        "cancelled": version(1, resources.BUILD_STATE_CANCELLED, attempt=1),
        "taken over": evaluating("another", NOW, attempt=2),
        "evaluated": version(1, resources.BUILD_STATE_EVALUATED, attempt=1),
    }
    assert [name for name, each in held.items() if is_held({"fraud": model(each)}, ME, claim)] == ["mine"]
    assert not is_held({}, ME, claim)


def test_a_version_without_a_signature_waits_for_it() -> None:
    trained = version(1, resources.BUILD_STATE_TRAINED)
    trained.artifact.manifest_sha256 = ""
    assert work(model(trained)) == []


def test_a_purged_version_has_no_bytes_to_evaluate() -> None:
    for build in (resources.BUILD_STATE_TRAINED, resources.BUILD_STATE_EVALUATING, resources.BUILD_STATE_EVALUATED):
        purged = version(1, build)
        purged.retention = resources.RETENTION_STATE_PURGED
        assert work(model(purged)) == []


def test_a_trained_version_is_claimed() -> None:
    command = only_command(work(model(version(1, resources.BUILD_STATE_TRAINED))))
    assert command.start_evaluation == commands.StartEvaluation(version=1, attempt=1, worker=ME, lease_ms=LEASE_MS)


def test_the_same_claim_has_the_same_id() -> None:
    state = model(version(1, resources.BUILD_STATE_TRAINED))
    assert work(state) == work(state)


def test_only_one_version_is_claimed_at_a_time() -> None:
    trained = [version(number, resources.BUILD_STATE_TRAINED) for number in (1, 2, 3)]
    assert only_command(work(model(*trained))).start_evaluation.version == 1


def test_nothing_is_claimed_while_an_evaluation_is_held() -> None:
    state = model(version(2, resources.BUILD_STATE_TRAINED), evaluating(ME, NOW))
    assert only_assignment(work(state)).version.version == 1


def test_a_version_that_this_worker_holds_is_evaluated() -> None:
    assignment = only_assignment(work(model(evaluating(ME, NOW))))
    assert assignment.baseline is None
    assert assignment.key == "models/fraud/versions/1/evaluations/1"


def test_the_baseline_is_the_version_that_is_live_in_the_wanted_environment() -> None:
    mine = evaluating(ME, NOW)
    mine.configuration.release.CopyFrom(configuration.ReleaseWish(environment="staging"))
    live = version(2, resources.BUILD_STATE_EVALUATED, **{})
    live.verdict = resources.VERDICT_STATE_PASSED
    assert only_assignment(work(model(mine, live, live=2, environment="staging"))).baseline == live
    assert only_assignment(work(model(mine, live, live=2, environment="production"))).baseline is None


def test_a_version_without_a_wanted_environment_is_compared_in_production_but_never_with_itself() -> None:
    assert only_assignment(work(model(evaluating(ME, NOW), live=1))).baseline is None


def test_while_nothing_is_live_there_is_no_baseline() -> None:
    older = version(1, resources.BUILD_STATE_EVALUATED, **{})
    older.verdict = resources.VERDICT_STATE_PASSED
    mine = evaluating(ME, NOW)
    mine.version, mine.name = 2, "models/fraud/versions/2"
    assert only_assignment(work(model(older, mine))).baseline is None


def test_an_assignment_does_not_change_with_the_fold() -> None:
    mine = evaluating(ME, NOW)
    assignment = only_assignment(work(model(mine)))
    mine.attempt = 2
    assert assignment.version.attempt == 1


def test_a_version_that_another_worker_holds_is_left_alone_while_its_lease_lasts() -> None:
    assert work(model(evaluating("other", NOW - LEASE_MS + 1))) == []


def test_a_lost_lease_is_taken_over_with_the_next_attempt() -> None:
    command = only_command(work(model(evaluating("other", NOW - LEASE_MS))))
    assert command.start_evaluation.attempt == 2
    assert command.start_evaluation.worker == ME


def test_a_heartbeat_prolongs_a_lease_and_its_time_stands_in_the_claim_that_follows() -> None:
    state = model(evaluating("other", 0))
    claim = Claim("models/fraud", 1, 1)
    assert work(state, liveness(NOW, {claim: NOW - LEASE_MS + 1})) == []
    command = only_command(work(state, liveness(NOW, {claim: NOW - LEASE_MS})))
    assert command.start_evaluation.predecessor_seen_at_ms == NOW - LEASE_MS


def test_an_evaluator_that_has_just_started_waits_one_lease_before_it_takes_a_version_over() -> None:
    assert work(model(evaluating("other", 0)), liveness(NOW, reading_since_ms=NOW - LEASE_MS + 1)) == []


def test_an_attempt_of_this_worker_without_heartbeats_is_claimed_again() -> None:
    assert only_command(work(model(evaluating(ME, 0)))).start_evaluation.attempt == 2


def test_a_version_that_lost_every_evaluator_fails() -> None:
    command = only_command(work(model(evaluating("other", 0, attempt=MAX_ATTEMPTS))))
    fact = command.report_evaluation_failed.fact
    assert (fact.version, fact.attempt) == (1, MAX_ATTEMPTS)
    assert "other" in fact.reason


def test_an_evaluated_version_is_judged_once() -> None:
    evaluated = version(1, resources.BUILD_STATE_EVALUATED)
    assert only_command(work(model(evaluated))).decide_gate.version == 1
    evaluated.verdict = resources.VERDICT_STATE_FAILED
    assert work(model(evaluated)) == []


def outdated(**fields: object) -> resources.Version:
    """Version 2, evaluated while nothing was live."""
    passed = version(2, resources.BUILD_STATE_EVALUATED, attempt=1, **fields)
    passed.configuration.gate.rules.add(metric="auc", max_drop=0.01)
    return passed


def test_a_version_is_evaluated_again_when_another_one_went_live_meanwhile() -> None:
    live = version(1, resources.BUILD_STATE_EVALUATED)
    live.verdict = resources.VERDICT_STATE_PASSED
    command = only_command(work(model(live, outdated(), live=1)))
    assert (command.start_evaluation.version, command.start_evaluation.attempt) == (2, 4)
    assert only_command(work(model(live, outdated(baseline_version=1), live=1))).HasField("decide_gate")


def test_the_verdict_after_another_evaluation_is_a_command_of_its_own() -> None:
    first, second = (version(1, resources.BUILD_STATE_EVALUATED, attempt=attempt) for attempt in (1, 4))
    assert only_command(work(model(first))).command_id != only_command(work(model(second))).command_id


def test_versions_in_other_states_need_no_evaluator() -> None:
    mine = {resources.BUILD_STATE_TRAINED, resources.BUILD_STATE_EVALUATING, resources.BUILD_STATE_EVALUATED}
    for build in resources.BuildState.values():
        if build not in mine:
            assert work(model(version(1, build))) == []
