"""What a trainer should be doing follows from the folded models alone."""

from dataclasses import replace

from headgate.domain import build
from headgate.domain.model import ModelState
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.worker.leases import Claim
from headgate.worker.loop import DueWork, Issue
from services.trainer.due import LEASE_MS, WorkerState, due
from tests.clocks import liveness
from tests.model_states import with_versions

ME = "trainer-0"
IDLE = WorkerState(ME, claimed=frozenset(), running=frozenset())
NOW = 1_000_000


def models(*versions: resources.Version) -> dict[str, ModelState]:
    return {"fraud": with_versions("fraud", *versions)}


def version(
    number: int = 1, state: str = "CREATED", worker: str = "", attempt: int = 0, since: int = NOW
) -> resources.Version:
    found = resources.Version(
        version=number,
        build=resources.BuildState.Value(f"BUILD_STATE_{state}"),
        retention=resources.RETENTION_STATE_KEPT,
        attempt=attempt,
        commit="c" * 40,
        create_time_ms=number,
    )
    if worker:
        found.lease.CopyFrom(resources.Lease(worker=worker, claimed_at_ms=since, lease_ms=LEASE_MS))
    return found


def claim(number: int = 1, attempt: int = 1) -> Claim:
    return Claim("models/fraud", number, attempt)


def pieces(
    state: dict[str, ModelState],
    worker: WorkerState = IDLE,
    heartbeats_ms: dict[Claim, int] | None = None,
    reading_since_ms: int = 0,
) -> list:
    heard = liveness(NOW, heartbeats_ms, reading_since_ms)
    return list(due(state, worker, heard, NOW, lambda _claim, _version: None))


def starts(found: list) -> list[tuple[int, int]]:
    return [
        (piece.command.start_testing.version, piece.command.start_testing.attempt)
        for piece in found
        if isinstance(piece, Issue) and piece.command.HasField("start_testing")
    ]


def test_a_created_version_is_claimed() -> None:
    (piece,) = pieces(models(version()))
    assert isinstance(piece, Issue)
    assert piece.command == commands.Command(
        command_id="models/fraud/versions/1/attempts/1/claimed/trainer-0",
        stream="models/fraud",
        actor="trainer/trainer-0",
        causation_id="models/fraud/versions/1",
        correlation_id="c" * 40,
        start_testing=commands.StartTesting(version=1, attempt=1, worker=ME, lease_ms=LEASE_MS),
    )


def test_the_oldest_version_is_claimed_first_and_no_more_than_there_is_capacity_for() -> None:
    assert starts(pieces(models(version(2), version(1)))) == [(1, 1)]
    assert starts(pieces(models(version(2), version(1)), replace(IDLE, capacity=2))) == [(1, 1), (2, 1)]


def test_every_place_that_is_free_is_used_and_none_twice() -> None:
    waiting = models(version(3), version(1), version(2))
    assert starts(pieces(waiting, replace(IDLE, capacity=2))) == [(1, 1), (2, 1)]
    busy = WorkerState(ME, claimed={claim(1)}, running={claim(1)}, capacity=2)
    assert starts(pieces(models(version(1, "TRAINING", ME, 1), version(2), version(3)), busy)) == [(2, 1)]


def test_of_two_versions_of_the_same_moment_the_first_by_name_is_claimed_first() -> None:
    one, two = version(1), version(2)
    two.create_time_ms = one.create_time_ms
    assert starts(pieces(models(two, one))) == [(1, 1)]


def test_a_worker_without_free_capacity_claims_nothing() -> None:
    busy = WorkerState(ME, claimed={claim()}, running={claim()})
    found = pieces(models(version(1, "TRAINING", ME, 1), version(2)), busy)
    assert [type(piece) for piece in found] == [DueWork]


def test_a_version_this_process_has_claimed_is_run() -> None:
    (piece,) = pieces(models(version(1, "TESTING", ME, 1)), replace(IDLE, claimed={claim()}))
    assert isinstance(piece, DueWork)
    assert piece.key == "models/fraud/versions/1/attempts/1"


def test_a_version_whose_worker_sends_heartbeats_is_left_alone() -> None:
    state = models(version(1, "TRAINING", "trainer-1", 1, since=NOW - LEASE_MS))
    assert pieces(state, heartbeats_ms={claim(): NOW - LEASE_MS + 1}) == []


def test_a_lost_workers_version_is_taken_over_with_the_next_attempt() -> None:
    state = models(version(1, "TRAINING", "trainer-1", 1, since=0))
    (piece,) = pieces(state, heartbeats_ms={claim(): NOW - LEASE_MS})
    assert starts([piece]) == [(1, 2)]
    assert piece.command.start_testing.predecessor_seen_at_ms == NOW - LEASE_MS


def test_a_worker_that_has_just_started_waits_one_lease_before_it_takes_a_version_over() -> None:
    state = models(version(1, "TRAINING", "trainer-1", 1, since=0))
    assert pieces(state, reading_since_ms=NOW - LEASE_MS + 1) == []
    assert starts(pieces(state, reading_since_ms=NOW - LEASE_MS)) == [(1, 2)]


def test_a_restarted_worker_takes_its_own_version_over_at_once() -> None:
    assert starts(pieces(models(version(1, "TESTING", ME, 1)))) == [(1, 2)]


def test_a_running_attempt_is_never_taken_from_itself() -> None:
    busy = WorkerState(ME, claimed={claim()}, running={claim()})
    (piece,) = pieces(models(version(1, "TRAINING", ME, 1, since=0)), busy)
    assert isinstance(piece, DueWork)


def test_an_attempt_that_this_process_has_given_up_is_followed_by_the_next_once_its_lease_has_run_out() -> None:
    gave_up = replace(IDLE, claimed={claim()})
    assert starts(pieces(models(version(1, "TRAINING", ME, 1, since=0)), gave_up)) == [(1, 2)]


def test_the_last_allowed_attempt_is_claimed() -> None:
    state = models(version(1, "TRAINING", "trainer-1", build.MAX_ATTEMPTS - 1, since=0))
    assert starts(pieces(state)) == [(1, build.MAX_ATTEMPTS)]


def test_a_version_whose_last_attempt_is_lost_is_failed() -> None:
    state = models(version(1, "TRAINING", "trainer-1", build.MAX_ATTEMPTS, since=0))
    (piece,) = pieces(state)
    fact = piece.command.report_training_failed.fact
    assert (fact.version, fact.attempt, fact.stage) == (1, build.MAX_ATTEMPTS, facts.STAGE_TRAINING)
    assert "trainer-1" in fact.reason


def test_ended_and_purged_versions_are_no_work() -> None:
    purged = version(4)
    purged.retention = resources.RETENTION_STATE_PURGED
    ended = [version(1, "TRAINED"), version(2, "TESTS_FAILED"), version(3, "TRAINING_FAILED")]
    assert pieces(models(*ended, purged)) == []


def test_the_registry_accepts_what_is_due() -> None:
    state = models(version(1, "TRAINING", "trainer-1", 1, since=0))
    (piece,) = pieces(state)
    fact = build.decide(state["fraud"], piece.command.start_testing, NOW)
    assert isinstance(fact, facts.TestingStarted)
