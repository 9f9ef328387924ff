"""What a wait reads like: on pages, in lists, and when the deployer or the trainer cannot be reached."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headgate.cli import columns
from headgate.cli import main as command_line
from headgate.cli.tables import table_text
from headgate.cli.waits import Answer, Pilots, behind, build_wait, in_release, line_wait, release_wait, sentence
from headgate.domain.words import duration_text
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from headgate.v1 import worker_services_pb2 as worker_services
from tests.deployer.world import World
from tests.waiting import until

AT_MS = 1_700_000_000_000
MINUTE_MS = 60_000
CLOSED = "127.0.0.1:1"
NO_ATTEMPTS: Answer[Any] = Answer(worker_services.ListAttemptsResponse())


def attempts(
    *found: worker_services.TrainingAttempt, elsewhere: bool = False
) -> Answer[worker_services.ListAttemptsResponse]:
    return Answer(worker_services.ListAttemptsResponse(attempts=found, busy_elsewhere=elsewhere))


EPOCH = telemetry.EpochMeasured(epoch=3, epochs=40, duration_ms=2_000)

Headgate = Callable[..., tuple[int, str, str]]


def pilot(**fields: Any) -> worker_services.Pilot:
    release = resources.Release(name="models/fraud/releases/2", requested_at_ms=5)
    return worker_services.Pilot(release=release, **fields)


def version(build: str = "CREATED", verdict: str = "UNDECIDED", **fields: Any) -> resources.Version:
    return resources.Version(
        name="models/fraud/versions/3",
        build=resources.BuildState.Value(f"BUILD_STATE_{build}"),
        verdict=resources.VerdictState.Value(f"VERDICT_STATE_{verdict}"),
        retention=resources.RETENTION_STATE_KEPT,
        lease=resources.Lease(worker="trainer-0", claimed_at_ms=AT_MS - 4 * MINUTE_MS),
        **fields,
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ""),
        ({"waiting_for": "a live gateway"}, "a live gateway"),
        (
            {"waiting_for": "the end of the freeze eve", "waiting_until_ms": AT_MS + 9 * MINUTE_MS},
            "the end of the freeze eve, until 2023-11-14 22:22:20 (in 9 min)",
        ),
        (
            {
                "waiting_for": "12 more candidate keys (8 of 20)",
                "deadline_ms": AT_MS + 1_000,
                "at_deadline": "it pauses",
            },
            "12 more candidate keys (8 of 20); it pauses at 2023-11-14 22:13:21 (in 1 s)",
        ),
        (
            {
                "waiting_for": "the shortest time of step 1",
                "waiting_until_ms": AT_MS + 5,
                "deadline_ms": AT_MS + 9,
                "at_deadline": "it pauses",
            },
            "the shortest time of step 1, until 2023-11-14 22:13:20 (in 0 s)",
        ),
        (
            {
                "waiting_for": "12 more candidate keys (8 of 20)",
                "deadline_ms": AT_MS + 1_000,
                "at_deadline": "it pauses",
                "frozen_by": "the end of the freeze eve",
                "frozen_until_ms": AT_MS + 9 * MINUTE_MS,
            },
            "12 more candidate keys (8 of 20); it also waits for the end of the freeze eve, until 2023-11-14 22:22:20"
            " (in 9 min); it pauses at 2023-11-14 22:13:21 (in 1 s)",
        ),
        (
            {
                "waiting_for": "someone to resume it: inconclusive.",
                "deadline_ms": AT_MS,
                "at_deadline": "a newer version may take its place",
            },
            "someone to resume it: inconclusive; a newer version may take its place",
        ),
        (
            {"waiting_for": "the end of the bake", "waiting_until_ms": AT_MS - 1},
            "the end of the bake, until 2023-11-14 22:13:19",
        ),
    ],
)
def test_a_wait_says_until_when_and_what_happens_then(fields: dict[str, Any], expected: str):
    assert sentence(pilot(**fields), AT_MS) == expected


def test_a_release_that_the_deployer_does_not_show_waits_for_the_deployer():
    release = resources.Release(name="models/fraud/releases/2", requested_at_ms=5)
    of_another_log = resources.Release(name="models/fraud/releases/2", requested_at_ms=6)
    found = Answer(Pilots(pilots=[pilot(waiting_for="a live gateway")]))
    assert release_wait(release, found, AT_MS) == "a live gateway"
    assert release_wait(of_another_log, found, AT_MS) == "the deployer to see it"
    assert release_wait(release, Answer(Pilots()), AT_MS) == "the deployer to see it"


def test_a_wait_is_unknown_when_the_deployer_cannot_be_reached():
    problem = "the deployer cannot be reached at here:1"
    assert (
        release_wait(resources.Release(), Answer(Pilots(), problem), AT_MS) == f"something unknown, because {problem}"
    )


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        ("TESTING", "its tests; trainer-0 has worked on it for 4 min"),
        ("TRAINING", "its training; trainer-0 has worked on it for 4 min"),
        ("TRAINED", "the signature of a registry"),
        ("EVALUATING", "its evaluation; trainer-0 has worked on it for 4 min"),
        ("EVALUATED", "the verdict of its gate"),
        ("TESTS_FAILED", ""),
    ],
)
def test_a_version_waits_for_the_work_in_progress(build: str, expected: str):
    assert build_wait(version(build), NO_ATTEMPTS, AT_MS) == expected


@pytest.mark.parametrize(
    ("build", "stage", "last_epoch", "expected"),
    [
        ("TESTING", "CHECKOUT", None, "its tests (now: checkout)"),
        ("TESTING", "PACKAGES", None, "its tests (now: packages)"),
        ("TESTING", "TESTS", None, "its tests"),
        ("TRAINING", "TRAINING", None, "its training (now: before the first epoch ends)"),
        ("TRAINING", "TRAINING", EPOCH, "its training (now: epoch 3 of 40 has ended, about 1 min 14 s left)"),
        ("TRAINING", "EXPORT", EPOCH, "its training (now: export)"),
    ],
)
def test_a_version_that_a_trainer_works_on_names_the_stage(
    build: str, stage: str, last_epoch: telemetry.EpochMeasured | None, expected: str
):
    def at(attempt: int, running: bool = True) -> worker_services.TrainingAttempt:
        number = facts.Stage.Value(f"STAGE_{stage}")
        return worker_services.TrainingAttempt(
            model="fraud", version=3, attempt=attempt, stage=number, running=running, last_epoch=last_epoch
        )

    waiting = version(build, attempt=2)
    assert build_wait(waiting, attempts(at(2)), AT_MS) == f"{expected}; trainer-0 has worked on it for 4 min"
    for of_another_attempt in (at(1), at(2, running=False)):
        shown = build_wait(waiting, attempts(of_another_attempt), AT_MS)
        assert shown == build_wait(waiting, NO_ATTEMPTS, AT_MS)


@pytest.mark.parametrize(
    ("build", "stage", "last_epoch", "kind", "work"),
    [
        ("TESTING", "CHECKOUT", None, "", "its tests (now: checkout{})"),
        ("TESTING", "PACKAGES", None, "", "its tests (now: packages{})"),
        ("TESTING", "TESTS", None, "", "its tests{}"),
        ("TRAINING", "TRAINING", EPOCH, "", "its training (now: epoch 3 of 40 has ended, about 1 min 14 s left){}"),
        ("TRAINING", "TRAINING", None, "onnx", "its training{}"),
    ],
)
def test_a_version_that_a_trainer_works_on_says_when_the_trainer_would_end_it(
    build: str, stage: str, last_epoch: telemetry.EpochMeasured | None, kind: str, work: str
):
    number = facts.Stage.Value(f"STAGE_{stage}")
    attempt = worker_services.TrainingAttempt(
        model="fraud",
        version=3,
        stage=number,
        running=True,
        last_epoch=last_epoch,
        deadline_ms=AT_MS + 9 * MINUTE_MS,
    )
    waiting = version(build)
    waiting.configuration.code.kind = kind
    until = ", at the latest until 2023-11-14 22:22:20"
    since = "; trainer-0 has worked on it for 4 min"
    assert build_wait(waiting, attempts(attempt), AT_MS) == work.format(f"{until} (in 9 min)") + since
    assert build_wait(waiting, attempts(attempt), AT_MS, has_left=False) == work.format(until) + since


def test_a_version_without_epochs_names_none():
    attempt = worker_services.TrainingAttempt(model="fraud", version=3, stage=facts.STAGE_TRAINING, running=True)
    built = version("TRAINING")
    built.configuration.code.kind = "onnx"
    imported = version("TRAINING", upload=facts.Upload())
    for each in (built, imported):
        assert build_wait(each, attempts(attempt), AT_MS) == "its training; trainer-0 has worked on it for 4 min"


def test_a_version_that_nobody_has_claimed_names_what_the_trainer_is_busy_with():
    attempt = worker_services.TrainingAttempt(
        model="fraud", version=2, stage=facts.STAGE_TESTS, running=True, started_at_ms=AT_MS - 4 * MINUTE_MS
    )
    ended = worker_services.TrainingAttempt(model="fraud", version=1)
    busy = attempts(ended, attempt)
    assert build_wait(version(), busy, AT_MS) == "the trainer, which has been busy with fraud/2 for 4 min; now: tests"
    assert build_wait(version(), attempts(ended), AT_MS) == "a trainer to claim it"
    hidden = attempts(ended, elsewhere=True)
    assert (
        build_wait(version(), hidden, AT_MS) == "the trainer, which has been busy with a version that you may not read"
    )
    unknown = build_wait(
        version(), Answer(worker_services.ListAttemptsResponse(), "the trainer cannot be reached at here:1"), AT_MS
    )
    assert unknown == "a trainer; whether one is busy is unknown, because the trainer cannot be reached at here:1"


@pytest.mark.parametrize(
    ("stage", "epoch", "now"),
    [
        ("TESTS", None, "tests"),
        ("TRAINING", None, "training"),
        ("TRAINING", EPOCH, "training, epoch 3 of 40 has ended, about 1 min 14 s left"),
    ],
)
def test_a_version_behind_a_busy_trainer_says_when_its_present_stage_ends_at_the_latest(
    stage: str, epoch: telemetry.EpochMeasured | None, now: str
):
    attempt = worker_services.TrainingAttempt(
        model="fraud",
        version=2,
        stage=facts.Stage.Value(f"STAGE_{stage}"),
        running=True,
        started_at_ms=AT_MS - 4 * MINUTE_MS,
        last_epoch=epoch,
        deadline_ms=AT_MS + 9 * MINUTE_MS,
    )
    busy = (
        f"the trainer, which has been busy with fraud/2 for 4 min; now: {now}, at the latest until 2023-11-14 22:22:20"
    )
    assert build_wait(version(), attempts(attempt), AT_MS) == f"{busy} (in 9 min)"
    assert build_wait(version(), attempts(attempt), AT_MS, has_left=False) == busy


def test_a_release_behind_another_one_says_its_earliest_end_and_what_it_waits_for():
    first = worker_services.Pilot(
        release=resources.Release(name="models/fraud/releases/1", release=1),
        waiting_for="12 more candidate keys (8 of 20)",
        deadline_ms=AT_MS + MINUTE_MS,
        at_deadline="it pauses",
        earliest_end_ms=AT_MS + 9 * MINUTE_MS,
    )
    second = pilot(waiting_for="the end of release 1 (v1, stepping 1/2)", ahead=1)
    found = Answer(Pilots(pilots=[first, second]))
    behind = (
        "the end of release 1 (v1, stepping 1/2), not before 2023-11-14 22:22:20 (in 9 min); release 1 waits for 12"
        " more candidate keys (8 of 20); it pauses at 2023-11-14 22:14:20 (in 1 min)"
    )
    assert release_wait(second.release, found, AT_MS) == behind
    waiting = version("EVALUATED", "PASSED", create_time_ms=7)
    line = worker_services.WaitingVersion(name=waiting.name, waiting_for=second.waiting_for, create_time_ms=7, ahead=1)
    found.found.waiting_versions.append(line)
    assert line_wait(waiting, found, AT_MS) == behind


def test_the_end_of_a_bake_ahead_is_named_once_and_the_reason_of_a_pause_too():
    baking = worker_services.Pilot(
        release=resources.Release(name="models/fraud/releases/1", release=1),
        waiting_for="the end of the bake",
        waiting_until_ms=AT_MS + MINUTE_MS,
        earliest_end_ms=AT_MS + MINUTE_MS,
    )
    second = pilot(waiting_for="the end of release 1 (v1, baking)", ahead=1)
    assert sentence(second, AT_MS, has_left=False, ahead=baking) == (
        "the end of release 1 (v1, baking); release 1 waits for the end of the bake, until 2023-11-14 22:14:20"
    )
    baking.release.paused = True
    second.waiting_for = "the end of release 1 (v1, baking, paused: lunch)"
    baking.earliest_end_ms = baking.waiting_until_ms = 0
    assert sentence(second, AT_MS, ahead=baking) == second.waiting_for


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["fraud/2"], "; fraud/2 waits for a trainer meanwhile"),
        (["fraud/2", "churn/1"], "; fraud/2 and churn/1 wait for a trainer meanwhile"),
        (["a/1", "b/1", "c/1", "d/1"], "; a/1, b/1, c/1 and others wait for a trainer meanwhile"),
    ],
)
def test_a_version_in_training_names_those_that_wait_meanwhile(names: list[str], text: str):
    assert behind(names) == text


def test_a_version_says_how_many_approvals_it_waits_for():
    gate = facts.GateDecided(passed=True, policy=configuration.GatePolicy(approvals=2))
    waiting = version("EVALUATED", "AWAITING_APPROVAL", gate=gate)
    assert build_wait(waiting, NO_ATTEMPTS, AT_MS) == "2 more approvals, each from another person"
    waiting.approvals = 1
    assert build_wait(waiting, NO_ATTEMPTS, AT_MS) == "1 more approval, from another person"


def test_an_archived_version_waits_for_nothing():
    archived = version()
    archived.retention = resources.RETENTION_STATE_ARCHIVED
    assert build_wait(archived, NO_ATTEMPTS, AT_MS) == ""


def test_a_version_in_a_release_waits_for_what_the_release_waits_for():
    release = resources.Release(release=2, phase=resources.PHASE_PREPARING)
    assert in_release(release, "") == "release 2 (preparing)"
    assert in_release(release, "a live gateway") == "release 2 (preparing), which waits for a live gateway"
    release.phase = resources.PHASE_STEPPING
    release.policy.steps.add()
    assert in_release(release, "") == "release 2 (stepping 1/1)"


def test_a_version_whose_release_comes_later_says_what_comes_first():
    waiting = version("EVALUATED", "PASSED", create_time_ms=7)
    shown = worker_services.WaitingVersion(name=waiting.name, waiting_for="the end of release 1", create_time_ms=7)
    assert line_wait(waiting, Answer(Pilots(waiting_versions=[shown])), AT_MS) == "the end of release 1"
    shown.create_time_ms = 8
    assert line_wait(waiting, Answer(Pilots(waiting_versions=[shown])), AT_MS) == ""


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (-5, "0 s"),
        (499, "0 s"),
        (45_000, "45 s"),
        (9 * MINUTE_MS, "9 min"),
        (9 * MINUTE_MS + 5_000, "9 min 5 s"),
        (60 * MINUTE_MS, "1 h"),
        (25 * 60 * MINUTE_MS + 5_000, "1 d 1 h"),
    ],
)
def test_a_duration_is_shown_in_its_two_largest_units(milliseconds: int, text: str):
    assert duration_text(milliseconds) == text


@pytest.mark.parametrize("width", [80, 120, None])
def test_a_list_shows_the_whole_wait_at_every_width(width: int | None):
    wait = "290 more candidate keys (10 of 300); it pauses at 2023-11-14 22:22:20 (in 9 min)"
    release = resources.Release(
        name="models/fraud/releases/2",
        release=2,
        environment="production",
        candidate=2,
        stable=1,
        phase=resources.PHASE_STEPPING,
        policy=configuration.ReleasePolicy(steps=[configuration.Step(weight_bps=500)]),
        weights=[facts.Weight(version=1, weight_bps=9_500), facts.Weight(version=2, weight_bps=500)],
        requested_at_ms=AT_MS,
    )
    shown = columns.with_wait(columns.RELEASES, "PHASE", lambda release: wait)
    text, _ = table_text(shown, [[column.cell(release) for column in shown]], width)
    lines = text.split("\n")
    start = lines[0].index("WAITS FOR")
    assert width is None or max(map(len, lines)) <= width
    end = lines[0].index("WEIGHTS") if "WEIGHTS" in lines[0] else None
    assert " ".join(line[start:end].strip() for line in lines[1:]).strip() == wait


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Version 1 is live, and version 2 is at the first step of a long canary."""
    world = World(tmp_path)
    world.start()
    world.begin_canary()
    yield world
    world.stop()


def test_every_command_shows_the_same_wait_and_works_without_the_deployer(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def headgate(deployer: str, *arguments: str) -> str:
        where = ["--registry", f"127.0.0.1:{world.registry_port}", "--deployer", deployer, "--trainer", CLOSED]
        monkeypatch.setattr("sys.argv", ["headgate", *where, *arguments])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        assert ended.value.code == 0
        return capsys.readouterr().out

    wait = "the shortest time of step 1, until "
    screens = (
        ("release", "get", "fraud/2"),
        ("release", "list", "fraud"),
        ("version", "get", "fraud/2"),
        ("version", "list", "fraud"),
        ("version", "list", "-"),
    )
    # The deployer folds what the gateways have said a moment after the registry.
    until(lambda: wait in headgate(f"127.0.0.1:{world.port}", *screens[0]), "the wait of the first step")
    for arguments in screens:
        assert wait in headgate(f"127.0.0.1:{world.port}", *arguments)
        assert f"something unknown, because the deployer cannot be reached at {CLOSED}" in headgate(CLOSED, *arguments)
    data = json.loads(headgate(f"127.0.0.1:{world.port}", "release", "get", "fraud/2", "-o", "json"))
    assert (data["waiting_for"].startswith(wait), data["phase"]) == (True, "PHASE_STEPPING")
    listed = json.loads(headgate(f"127.0.0.1:{world.port}", "release", "list", "fraud", "-o", "json"))
    assert ["waiting_for" in release for release in listed] == [True, False]


def test_a_version_that_is_trained_says_who_waits_behind_it(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    world.train(3)
    world.issue("4", create_version=commands.CreateVersion(repository="/here", commit=f"{4:040x}"))
    world.wait_for(lambda state: 4 in state.versions and state.versions[3].build == resources.BUILD_STATE_TRAINING)
    where = ["--registry", f"127.0.0.1:{world.registry_port}", "--trainer", CLOSED]
    monkeypatch.setattr("sys.argv", ["headgate", *where, "version", "get", "fraud/3", "-o", "json"])
    with pytest.raises(SystemExit):
        command_line.main()
    waiting_for = json.loads(capsys.readouterr().out)["waiting_for"]
    assert waiting_for.startswith("its training (its stage is unknown, because the trainer cannot be reached")
    assert waiting_for.endswith("; fraud/4 waits for a trainer meanwhile")
