from typing import Any

import pytest

from headgate.domain.policy import DEFAULT, resolve
from headgate.domain.state import EnvironmentState, ModelState
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from headgate.v1 import worker_services_pb2 as worker_services
from services.deployer.evidence import LIVE_SECONDS, GatewayReports
from services.deployer.pilot import due, pilots
from services.deployer.queue import Rules, versions_in_line
from tests.deployer.reports import evidence, status
from tests.model_states import put_version

NOW_MS = 100_000_000
MINUTE_MS = 60_000
GOOD = ((0, 2_000), (0, 9_000))
BAD = ((60, 2_000), (90, 9_000))
THIN = ((0, 10), (0, 90))
FROZEN = EnvironmentState(
    "production",
    resources.Environment(
        freezes=[resources.Freeze(freeze="eve", reason="holidays", from_ms=NOW_MS - 1, until_ms=NOW_MS + 1)]
    ),
)


def version(number: int, **fields: Any) -> resources.Version:
    settings = {"verdict": resources.VERDICT_STATE_PASSED, "retention": resources.RETENTION_STATE_KEPT} | fields
    requested = configuration.ReleaseWish(environment="production", strategy=configuration.STRATEGY_CANARY)
    return resources.Version(
        name=f"models/fraud/versions/{number}",
        version=number,
        configuration=configuration.ModelConfiguration(release=requested),
        **settings,
    )


def release(number: int = 1, **fields: Any) -> resources.Release:
    settings: dict[str, Any] = {
        "environment": "production",
        "candidate": number + 1,
        "stable": 1,
        "strategy": configuration.STRATEGY_CANARY,
        "step": -1,
        "policy": resolve(None),
        "phase_since_ms": NOW_MS,
    }
    return resources.Release(release=number, name=f"models/fraud/releases/{number}", **(settings | fields))


def stepping(step: int = 0, minutes: float = 11, **fields: Any) -> resources.Release:
    settings = {"step": step, "epoch": 7, "applied_at_ms": int(NOW_MS - minutes * MINUTE_MS)} | fields
    return release(phase=resources.PHASE_STEPPING, **settings)


def baking(minutes: float, **fields: Any) -> resources.Release:
    return release(phase=resources.PHASE_BAKING, epoch=9, applied_at_ms=int(NOW_MS - minutes * MINUTE_MS), **fields)


class Given:
    def __init__(self, *items: resources.Version | resources.Release, live: int = 1) -> None:
        self.state = ModelState("fraud")
        self.state.model.name = "models/fraud"
        if live:
            self.state.model.live["production"] = live
        for item in items:
            if isinstance(item, resources.Version):
                put_version(self.state, item)
            else:
                self.state.releases[item.release] = item
        self.environments: dict[str, EnvironmentState] = {}
        self.now = 1_000.0
        self.reports = GatewayReports(monotonic=lambda: self.now)

    def frozen(self) -> "Given":
        self.environments["production"] = FROZEN
        return self

    def reported(self, *records: telemetry.TelemetryRecord) -> "Given":
        for record in records:
            if record.HasField("evidence"):  # a gateway that counts is live
                self.reports.add(status(record.source, sequence=0))
            self.reports.add(record)
        return self

    def due_commands(self) -> list[commands.Command]:
        found = due({"fraud": self.state}, self.environments, self.reports, NOW_MS)
        return [issue.command for issue in found]

    def then(self, *ids: str) -> list[commands.Command]:
        found = self.due_commands()
        assert [command.command_id.removeprefix("models/fraud/") for command in found] == list(ids)
        assert all(command.stream == "models/fraud" for command in found)
        return found

    def waits_for(self) -> str:
        return self.wait().waiting_for

    def versions_in_line(self) -> list[worker_services.WaitingVersion]:
        return versions_in_line({"fraud": self.state}, Rules(self.environments))

    def in_line(self) -> list[tuple[str, str]]:
        return [(each.name, each.waiting_for) for each in self.versions_in_line()]

    def wait(self) -> worker_services.Pilot:
        self.then()
        *_, pilot = pilots({"fraud": self.state}, self.environments, self.reports, NOW_MS)
        return pilot


# Which versions get a release.


@pytest.mark.parametrize("verdict", ["PASSED", "APPROVED", "WAIVED"])
def test_a_version_with_a_good_verdict_gets_the_release_that_its_configuration_asks_for(verdict: str):
    passed = version(2, verdict=resources.VerdictState.Value(f"VERDICT_STATE_{verdict}"))
    (command,) = Given(passed).then("versions/2/release/production")
    assert command.start_release.strategy == configuration.STRATEGY_CANARY
    assert (command.start_release.candidate, command.start_release.environment) == (2, "production")


@pytest.mark.parametrize(
    "fields",
    [
        {"verdict": resources.VERDICT_STATE_FAILED},
        {"verdict": resources.VERDICT_STATE_AWAITING_APPROVAL},
        {"quarantined": True},
        {"retention": resources.RETENTION_STATE_ARCHIVED},
    ],
)
def test_a_version_that_may_not_serve_gets_no_release(fields: dict[str, Any]):
    Given(version(2, **fields)).then()


def test_a_version_whose_configuration_asks_for_no_release_gets_none():
    unreleased = version(2)
    unreleased.configuration.ClearField("release")
    Given(unreleased).then()


def test_a_version_gets_no_release_when_it_is_live_or_older_than_the_live_one_or_was_released_before():
    Given(version(2), live=2).then()
    Given(version(2), live=3).then()
    Given(version(2), release(phase=resources.PHASE_ROLLED_BACK)).then()


def test_of_several_versions_only_the_newest_gets_a_release():
    Given(version(2), version(3), version(4, quarantined=True), live=0).then("versions/3/release/production")


def test_an_older_version_gets_no_release_while_a_newer_one_is_being_released():
    Given(version(2), version(3), baking(1, candidate=3)).then()


def test_a_version_older_than_the_one_under_way_does_not_ask_even_when_that_one_is_taken_out_of_service():
    Given(version(2), version(3, quarantined=True), baking(1, candidate=3)).then("releases/1/roll-back")


def test_the_second_version_waits_for_the_first_to_be_live_so_that_it_can_be_a_canary():
    first = release(phase=resources.PHASE_PREPARING, candidate=1, stable=0, strategy=configuration.STRATEGY_DIRECT)
    given = Given(version(1), version(2), first, live=0)
    given.then()
    assert given.in_line() == [("models/fraud/versions/2", "the end of release 1 (v1, preparing)")]


def uncompared(number: int, **fields: Any) -> resources.Version:
    """A version whose gate has a max_drop and knew no live version."""
    found = version(number, build=resources.BUILD_STATE_EVALUATED, **fields)
    found.configuration.gate.rules.add(metric="auc", max_drop=0.01)
    return found


def test_a_version_gets_no_release_before_it_is_compared_with_the_live_one():
    given = Given(version(1), uncompared(2))
    given.then()
    assert given.in_line() == [("models/fraud/versions/2", "its comparison with v1, which went live meanwhile")]
    compared = Given(version(1), uncompared(2, baseline_version=1))
    compared.then("versions/2/release/production")
    assert compared.in_line() == []


def test_a_version_gets_no_release_before_the_people_whom_its_environment_asks_for_have_approved_it():
    given = Given(version(1), version(2))
    asked = facts.ApprovalPolicy(roles=[facts.RoleCount(role=facts.ROLE_APPROVER, count=2)])
    given.environments["production"] = EnvironmentState("production", resources.Environment(approvals=asked))
    given.then()
    waits = "approvals by 2 more approvers for production, of whom none has created it"
    assert given.in_line() == [("models/fraud/versions/2", waits)]


def test_an_error_about_one_model_hides_the_versions_in_line_of_no_other_model():
    first = release(phase=resources.PHASE_PREPARING, candidate=1, stable=0)
    well = Given(version(1), version(2), first, live=0)
    broken = Given(version(1))
    broken.state.versions = None  # type: ignore[assignment]
    found = versions_in_line({"broken": broken.state, "fraud": well.state}, Rules({}))
    assert [each.name for each in found] == ["models/fraud/versions/2"]


@pytest.mark.parametrize(
    ("candidate", "awaited"),
    [
        (uncompared(2), "v2's comparison with v1, which went live meanwhile"),
        (uncompared(2, verdict=resources.VERDICT_STATE_UNDECIDED, baseline_version=1), "the verdict of v2's gate"),
        (
            uncompared(2, verdict=resources.VERDICT_STATE_AWAITING_APPROVAL, baseline_version=1),
            "v2's approvals",
        ),
    ],
)
def test_a_requested_release_waits_while_its_candidate_is_compared_again(candidate: resources.Version, awaited: str):
    assert Given(version(1), candidate, release(phase=resources.PHASE_REQUESTED)).waits_for() == awaited


# The queue.


def test_an_undo_goes_before_every_other_requested_release_also_in_a_freeze():
    older, undo, newer = release(2), release(3, candidate=1, stable=0, undo_of=1), release(4)
    for each in (older, undo, newer):
        each.phase = resources.PHASE_REQUESTED
    given = Given(*(version(number) for number in range(1, 6)), older, undo, newer, live=2).frozen()
    first, second = given.then("releases/2/supersede/3", "releases/3/begin")
    assert (first.supersede_release.by, second.begin_release.release) == (3, 3)


def test_of_two_requested_releases_the_later_one_begins_also_when_its_version_is_older():
    """Who asks last has seen what waits already. The one before ends, and its page says what took its place."""
    newer, asked_later = release(2, candidate=3), release(3, candidate=2)
    for each in (newer, asked_later):
        each.phase = resources.PHASE_REQUESTED
    given = Given(version(1), version(2), version(3), newer, asked_later)
    first, second = given.then("releases/2/supersede/3", "releases/3/begin")
    assert (first.supersede_release.by, second.begin_release.release) == (3, 3)


def test_a_running_release_makes_way_for_an_undo():
    undo = release(2, candidate=1, phase=resources.PHASE_REQUESTED, undo_of=9)
    given = Given(version(1), version(2), stepping(0), undo)
    (command,) = given.then("releases/1/roll-back")
    assert command.roll_back_release.cause == facts.ROLLBACK_CAUSE_ABORTED
    assert "release 2 of fraud goes back to v1" in command.roll_back_release.reason


@pytest.mark.parametrize(("from_ms", "makes_way"), [(NOW_MS, True), (NOW_MS + 1, False), (0, False)])
def test_a_paused_release_makes_way_for_a_newer_one_from_the_time_its_pause_names(from_ms: int, makes_way: bool):
    paused = stepping(0, paused=True, paused_reason="no data", superseded_from_ms=from_ms)
    given = Given(version(1), version(2), version(3), paused, release(2, phase=resources.PHASE_REQUESTED))
    if not makes_way:
        given.then()
        return
    (command,) = given.then("releases/1/roll-back")
    assert command.roll_back_release.cause == facts.ROLLBACK_CAUSE_SUPERSEDED


def test_a_paused_release_makes_way_for_no_release_that_is_older_or_paused_itself():
    paused = stepping(0, paused=True, superseded_from_ms=1)
    waiting = release(2, phase=resources.PHASE_REQUESTED, paused=True)
    Given(version(1), version(2), version(3), paused, waiting).then()


@pytest.mark.parametrize(("candidate", "paused", "takes_place"), [(3, True, True), (1, True, False), (3, False, False)])
def test_a_newer_version_behind_a_paused_release_says_when_it_takes_its_place(
    candidate: int, paused: bool, takes_place: bool
):
    running = stepping(0, minutes=1, candidate=2, paused=paused, superseded_from_ms=NOW_MS + 5 if paused else 0)
    waiting = release(2, candidate=candidate, phase=resources.PHASE_REQUESTED)
    given = Given(*map(version, sorted({1, 2, candidate})), running, waiting)
    expected = (NOW_MS + 5, "it takes its place") if takes_place else (0, "")
    assert (given.wait().deadline_ms, given.wait().at_deadline) == expected
    assert given.frozen().wait().deadline_ms == 0


def test_a_paused_release_makes_way_for_no_older_version():
    paused = stepping(0, candidate=3, paused=True, superseded_from_ms=1)
    waiting = release(2, candidate=2, phase=resources.PHASE_REQUESTED)
    Given(version(1), version(2), version(3), paused, waiting).then()


CANNOT_BEGIN = pytest.mark.parametrize(
    ("fields", "is_frozen"),
    [
        ({}, True),
        ({"quarantined": True}, False),
        ({"verdict": resources.VERDICT_STATE_FAILED}, False),
        ({"verdict": resources.VERDICT_STATE_UNDECIDED}, False),
        ({"verdict": resources.VERDICT_STATE_DENIED}, False),
    ],
)
"""A newer version whose release cannot begin, and whether a freeze is the cause."""


@CANNOT_BEGIN
def test_a_paused_release_makes_way_for_no_release_that_cannot_begin(fields: dict[str, Any], is_frozen: bool):
    paused = stepping(0, candidate=2, paused=True, superseded_from_ms=1)
    given = Given(version(1), version(2), version(3, **fields), paused, release(2, phase=resources.PHASE_REQUESTED))
    due_commands = (given.frozen() if is_frozen else given).due_commands()
    assert not [command for command in due_commands if command.roll_back_release.release == 1]


@CANNOT_BEGIN
def test_a_requested_release_that_cannot_begin_supersedes_no_other_one(fields: dict[str, Any], is_frozen: bool):
    requested = [release(number, phase=resources.PHASE_REQUESTED) for number in (1, 2)]
    given = Given(version(1), version(2), version(3, **fields), *requested)
    due_commands = (given.frozen() if is_frozen else given).due_commands()
    assert not [command for command in due_commands if command.HasField("supersede_release")]


def test_a_requested_release_that_is_paused_supersedes_no_other_one():
    paused = release(2, phase=resources.PHASE_REQUESTED, paused=True)
    Given(version(1), version(2), version(3), release(1, phase=resources.PHASE_REQUESTED), paused).then()


def test_a_paused_undo_makes_way_for_no_release_that_a_freeze_holds():
    paused = stepping(0, candidate=1, stable=2, undo_of=9, paused=True, superseded_from_ms=1)
    waiting = release(2, phase=resources.PHASE_REQUESTED)
    Given(version(1), version(2), version(3), paused, waiting, live=2).frozen().then()


def test_a_running_release_makes_way_for_no_newer_release_while_it_is_not_paused():
    given = Given(
        version(1), version(2), version(3), stepping(0, minutes=1), release(2, phase=resources.PHASE_REQUESTED)
    )
    given.then()


def test_the_newest_requested_release_begins_and_the_older_ones_are_superseded():
    requested = [release(number, phase=resources.PHASE_REQUESTED) for number in (1, 2)]
    given = Given(version(1), version(2), version(3), *requested)
    older, newer = given.then("releases/1/supersede/2", "releases/2/begin")
    assert (older.supersede_release.by, newer.begin_release.release) == (2, 2)


def test_a_release_waits_for_the_one_before_it():
    requested = release(2, phase=resources.PHASE_REQUESTED)
    assert Given(baking(1), requested).waits_for() == "the end of release 1 (v2, baking)"
    paused = stepping(paused=True, paused_reason="lunch")
    assert Given(paused, requested).waits_for() == "the end of release 1 (v2, stepping 1/3, paused: lunch)"


def test_no_release_begins_in_a_freeze():
    waiting = Given(release(phase=resources.PHASE_REQUESTED)).frozen().wait()
    assert (waiting.waiting_for, waiting.waiting_until_ms) == ("the end of the freeze eve (holidays)", NOW_MS + 1)


def test_a_requested_release_that_is_paused_waits_for_a_person():
    requested = release(phase=resources.PHASE_REQUESTED, paused=True, paused_reason="lunch")
    assert Given(requested).waits_for() == "someone to resume it: lunch"


# Preparing.


def test_a_candidate_is_ready_when_every_live_gateway_has_it():
    given = Given(release(phase=resources.PHASE_PREPARING)).reported(status("gateway-0", [1, 2]))
    (command,) = given.reported(status("gateway-1", [2])).then("releases/1/candidate-ready")
    assert command.report_candidate_ready.gateways == ["gateway-0", "gateway-1"]


def test_a_release_that_waits_for_a_gateway_says_why_it_could_not_load_the_candidate():
    failing = status("gateway-0", [1], failure=(2, "the artifact has no model.onnx"))
    given = Given(release(phase=resources.PHASE_PREPARING)).reported(failing)
    expected = "gateway-0 to load v2; it failed so far: gateway-0: the artifact has no model.onnx"
    assert given.waits_for() == expected


def test_a_release_waits_while_one_of_two_gateways_has_not_loaded_the_candidate():
    given = Given(release(phase=resources.PHASE_PREPARING)).reported(status("gateway-0", [2]), status("gateway-1", [1]))
    assert given.waits_for() == "gateway-1 to load v2"
    assert (given.wait().deadline_ms, given.wait().at_deadline) == (
        NOW_MS + DEFAULT.prepare_deadline_ms,
        "it rolls back",
    )


def test_a_candidate_that_is_not_loaded_in_time_is_rolled_back_with_the_reason_of_the_gateway():
    late = release(phase=resources.PHASE_PREPARING, phase_since_ms=NOW_MS - DEFAULT.prepare_deadline_ms)
    (command,) = Given(late).reported(status(failure=(2, "bad signature"))).then("releases/1/roll-back")
    assert command.roll_back_release.cause == facts.ROLLBACK_CAUSE_NOT_READY
    assert command.roll_back_release.reason == "not loaded in time by gateway-0; gateway-0: bad signature"


def test_without_a_gateway_the_release_waits_and_pauses_after_the_deadline():
    waiting = Given(release(phase=resources.PHASE_PREPARING)).wait()
    assert (waiting.waiting_for, waiting.at_deadline) == ("a live gateway", "it pauses")
    assert waiting.deadline_ms == NOW_MS + DEFAULT.prepare_deadline_ms
    late = release(phase=resources.PHASE_PREPARING, phase_since_ms=NOW_MS - DEFAULT.prepare_deadline_ms)
    (command,) = Given(late).then(f"releases/1/pause/{late.phase_since_ms}")
    assert command.pause_release.reason == "no gateway was live within 10 min"


@pytest.mark.parametrize(
    ("strategy", "command_id", "reason"),
    [
        (configuration.STRATEGY_CANARY, "releases/1/set-weights/0", ""),
        (configuration.STRATEGY_BLUE_GREEN, "releases/1/promote", "blue-green"),
        (configuration.STRATEGY_DIRECT, "releases/1/promote", "direct"),
    ],
)
def test_a_ready_candidate_enters_traffic_as_its_strategy_says(
    strategy: configuration.Strategy.ValueType, command_id: str, reason: str
):
    ready = release(phase=resources.PHASE_PREPARING, candidate_ready=True, strategy=strategy)
    (command,) = Given(ready).then(command_id)
    assert command.promote_release.reason == reason
    Given(ready).frozen().then()


# Stepping.


def test_weights_are_applied_when_every_live_gateway_serves_them():
    fresh = stepping()
    fresh.applied_at_ms = 0
    given = Given(fresh).reported(status("gateway-0", epoch=7), status("gateway-1", epoch=6))
    assert given.waits_for() == "gateway-1 to apply the weights"
    (command,) = given.reported(status("gateway-1", epoch=7, sequence=2)).then("releases/1/weights-applied/7")
    assert command.report_weights_applied.epoch == 7
    assert Given(fresh).waits_for() == "a live gateway"


def test_a_step_with_enough_time_and_keys_leads_to_the_next_step():
    (command,) = Given(stepping()).reported(evidence(*GOOD)).then("releases/1/set-weights/1")
    assert command.set_weights.judgement.verdict == facts.VERDICT_PASS
    assert len(command.set_weights.judgement.strata) == 1


@pytest.mark.parametrize(("minutes", "counts"), [(9, GOOD), (11, THIN)])
def test_a_step_needs_both_its_time_and_its_keys(minutes: float, counts: Any):
    Given(stepping(minutes=minutes)).reported(evidence(*counts)).then()


def test_a_step_is_complete_at_its_last_millisecond_and_at_its_last_key():
    step = DEFAULT.steps[0]
    just_enough = evidence((0, step.min_keys), (0, 9_000))
    Given(stepping(minutes=step.min_duration_ms / MINUTE_MS)).reported(just_enough).then("releases/1/set-weights/1")
    one_millisecond_early = stepping(applied_at_ms=NOW_MS - step.min_duration_ms + 1)
    waiting = Given(one_millisecond_early).reported(just_enough).wait()
    assert (waiting.waiting_for, waiting.waiting_until_ms) == ("the shortest time of step 1", NOW_MS + 1)
    one_key_less = Given(stepping()).reported(evidence((0, step.min_keys - 1), (0, 9_000)))
    assert one_key_less.waits_for() == "1 more candidate key (299 of 300)"


@pytest.mark.parametrize("min_keys", [0, 1])
def test_a_step_without_a_number_of_keys_still_needs_one(min_keys: int):
    policy = resolve(configuration.ReleasePolicy(steps=[configuration.Step(weight_bps=500, min_keys=min_keys)]))
    policy.steps.add(weight_bps=600)
    unseen = evidence((0, 0), (0, 9_000))
    assert Given(stepping(minutes=1, policy=policy)).reported(unseen).waits_for() == "1 more candidate key (0 of 1)"
    seen = evidence((0, 1), (0, 9_000))
    Given(stepping(minutes=1, policy=policy)).reported(seen).then("releases/1/set-weights/1")


def test_a_step_does_not_end_on_the_counts_of_gateways_that_are_gone():
    given = Given(stepping()).reported(evidence(*GOOD))
    given.reported(status(leaving=True, sequence=2))
    assert given.waits_for() == "a live gateway"


def silent_for(given: Given, seconds: float) -> Given:
    """One gateway was heard last so long ago, while another goes on."""
    given.reported(evidence(*GOOD), status("gateway-1", epoch=9))
    given.now += seconds
    return given.reported(status("gateway-1", epoch=9, sequence=2))


def test_no_step_and_no_bake_ends_while_a_silent_gateway_may_still_serve_the_candidate():
    lease_seconds = DEFAULT.candidate_lease_ms / 1000
    wait = "gateway-0 to report again, or to serve stable only because its lease is over"
    for seconds in (LIVE_SECONDS + 1, lease_seconds):
        assert silent_for(Given(stepping()), seconds).waits_for() == wait
        assert silent_for(Given(baking(60)), seconds).waits_for() == wait
    silent_for(Given(stepping()), LIVE_SECONDS).then("releases/1/set-weights/1")
    silent_for(Given(stepping()), lease_seconds + 1).then("releases/1/set-weights/1")
    silent_for(Given(baking(60)), lease_seconds + 1).then("releases/1/complete")


def test_a_gateway_that_has_left_is_not_silent():
    given = Given(stepping()).reported(evidence(*GOOD), status("gateway-1"))
    given.reported(status(leaving=True, sequence=2)).now += LIVE_SECONDS + 1
    given.reported(status("gateway-1", sequence=2)).then("releases/1/set-weights/1")


def test_keys_of_an_earlier_step_do_not_count_for_the_present_step():
    Given(stepping()).reported(evidence(*GOOD, epoch=5), evidence(*THIN)).then()


def test_the_last_step_needs_the_verdict_pass():
    undecided = ((10, 1_100), (10, 1_100))
    waiting = Given(stepping(2)).reported(evidence(*undecided, weight=5_000)).wait()
    assert waiting.waiting_for == "the judge's verdict"
    assert "Undecided" in waiting.judgement.explanation
    (command,) = Given(stepping(2)).reported(evidence(*GOOD)).then("releases/1/promote")
    assert command.promote_release.judgement.verdict == facts.VERDICT_PASS


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("failing", [stepping(minutes=0.1), baking(1)])
def test_a_failing_candidate_is_rolled_back_at_once_even_when_the_release_is_paused_or_frozen(
    failing: resources.Release, paused: bool, frozen: bool
):
    failing.paused = paused
    given = Given(failing).reported(evidence(*BAD))
    (command,) = (given.frozen() if frozen else given).then("releases/1/roll-back")
    assert command.roll_back_release.cause == facts.ROLLBACK_CAUSE_VERDICT
    assert command.roll_back_release.judgement.verdict == facts.VERDICT_FAIL


def quarantined(release: resources.Release) -> "Given":
    return Given(version(2, quarantined=True), release)


def test_a_candidate_in_quarantine_is_rolled_back():
    for active in (release(phase=resources.PHASE_REQUESTED), stepping(), stepping(paused=True), baking(1)):
        (command,) = quarantined(active).reported(evidence(*GOOD)).then("releases/1/roll-back")
        assert command.roll_back_release.cause == facts.ROLLBACK_CAUSE_ABORTED
    rolling_back = release(phase=resources.PHASE_ROLLING_BACK, epoch=9)
    quarantined(rolling_back).reported(status(epoch=9)).then("releases/1/weights-applied/9")


def test_an_override_lets_a_quarantined_candidate_go_on():
    quarantined(stepping(override_quarantine=True)).reported(evidence(*GOOD)).then("releases/1/set-weights/1")


def test_a_step_that_is_due_waits_for_the_end_of_a_freeze_or_a_pause():
    assert Given(stepping()).reported(evidence(*GOOD)).frozen().waits_for() == "the end of the freeze eve (holidays)"
    paused = stepping(paused=True, paused_reason="lunch")
    assert Given(paused).reported(evidence(*GOOD)).waits_for().endswith(": lunch")


@pytest.mark.parametrize(
    "held",
    [
        release(phase=resources.PHASE_REQUESTED, paused=True),
        release(phase=resources.PHASE_PREPARING),
        stepping(minutes=20),
        stepping(paused=True, paused_reason="lunch"),
    ],
)
def test_a_release_that_waits_for_something_else_names_the_freeze_that_holds_its_next_step(held: resources.Release):
    given = Given(version(1), version(2), held).reported(status(epoch=7), evidence(*THIN)).frozen()
    waiting = given.wait()
    assert "freeze" not in waiting.waiting_for
    assert (waiting.frozen_by, waiting.frozen_until_ms) == ("the end of the freeze eve (holidays)", NOW_MS + 1)
    given.environments.clear()
    assert not given.wait().frozen_by


def test_a_freeze_holds_neither_a_bake_nor_what_takes_longer_than_it_lasts():
    assert not Given(baking(1)).frozen().wait().frozen_by
    long_step = stepping(minutes=1)
    waiting = Given(long_step).reported(evidence(*GOOD)).frozen().wait()
    assert (waiting.waiting_for, waiting.frozen_by) == ("the shortest time of step 1", "")


def test_of_several_freezes_a_wait_names_all_and_first_the_one_that_ends_last():
    given = Given(stepping()).reported(evidence(*GOOD)).frozen()
    longer = resources.Freeze(freeze="audit", from_ms=1, until_ms=NOW_MS + 2)
    freezes = [*FROZEN.environment.freezes, longer]
    given.environments["production"] = EnvironmentState("production", resources.Environment(freezes=freezes))
    assert given.waits_for() == "the end of the freezes audit and eve (holidays)"


def test_a_paused_release_says_from_when_on_a_newer_one_may_take_its_place():
    waiting = Given(stepping(paused=True, superseded_from_ms=NOW_MS + 5)).wait()
    assert (waiting.waiting_for, waiting.deadline_ms) == ("someone to resume it (no gateway is live now)", NOW_MS + 5)
    assert waiting.at_deadline == "a newer version may take its place"


def test_a_step_without_enough_keys_says_when_it_pauses():
    start_ms = NOW_MS - 10 * MINUTE_MS + 1
    waiting = Given(stepping(applied_at_ms=start_ms)).wait()
    assert (waiting.deadline_ms, waiting.at_deadline) == (start_ms + DEFAULT.no_data_limit_ms, "it pauses")
    with_data = Given(stepping()).reported(evidence(*THIN)).wait()
    assert with_data.deadline_ms == NOW_MS - 11 * MINUTE_MS + DEFAULT.hold_deadline_ms


def test_a_candidate_without_any_request_is_paused_once_the_limit_is_reached():
    at_the_limit = stepping(applied_at_ms=NOW_MS - DEFAULT.no_data_limit_ms)
    (command,) = Given(at_the_limit).then(f"releases/1/pause/{NOW_MS}")
    assert command.pause_release.reason == "no data: the candidate got no request at this weight within 10 min"
    Given(stepping(applied_at_ms=NOW_MS - DEFAULT.no_data_limit_ms + 1)).then()


def test_a_gateway_that_serves_stable_only_does_not_hide_the_counts_of_the_others():
    lapsed = evidence((0, 0), (0, 5_000), weight=0, source="gateway-1")
    for records in ([evidence(*GOOD), lapsed], [lapsed, evidence(*GOOD)]):
        Given(stepping()).reported(*records).then("releases/1/set-weights/1")


def test_a_step_that_stays_undecided_is_paused():
    (command,) = Given(stepping(minutes=8 * 60)).reported(evidence(*THIN)).then(f"releases/1/pause/{NOW_MS}")
    assert (
        command.pause_release.reason
        == "inconclusive: after 8 h it still waited for 290 more candidate keys (10 of 300)."
    )


@pytest.mark.parametrize("hold_deadline_ms", [0, 10 * MINUTE_MS - 1])
def test_a_hold_deadline_within_the_time_of_a_step_pauses_when_that_time_is_over(hold_deadline_ms: int):
    policy = resolve(configuration.ReleasePolicy(hold_deadline_ms=hold_deadline_ms))
    early, over = stepping(minutes=9.99, policy=policy), stepping(minutes=10, policy=policy)
    assert Given(early).reported(evidence(*GOOD)).waits_for() == "the shortest time of step 1"
    Given(over).reported(evidence(*GOOD)).then("releases/1/set-weights/1")
    Given(over).reported(evidence(*THIN)).then(f"releases/1/pause/{NOW_MS}")


UNDECIDED = ((40, 1_000), (40, 1_000))
HELD = 8 * 60


@pytest.mark.parametrize(
    ("late", "is_late"),
    [
        ((40, 0), True),
        ((20, 0), True),
        ((19, 0), False),  # most of its bad answers are bad for another cause
        ((40, 40), False),  # stable's answers are late just as often
        ((0, 0), False),
    ],
)
def test_a_release_left_undecided_by_late_answers_pauses_for_them(late: tuple[int, int], is_late: bool):
    given = Given(stepping(2, minutes=HELD)).reported(evidence(*UNDECIDED, weight=5_000, late=late))
    (command,) = given.then(f"releases/1/pause/{NOW_MS}")
    pause = command.pause_release
    assert (pause.at_fault, pause.late_answers) == (True, is_late)
    assert (f"{late[0]} of 1000 candidate answers were late, and 0 of 1000 stable ones" in pause.reason) == is_late


def test_late_answers_that_a_pass_allows_leave_nothing_undecided():
    few = evidence((4, 1_000), (0, 100), weight=5_000, late=(4, 0))
    (command,) = Given(stepping(2, minutes=HELD)).reported(few).then(f"releases/1/pause/{NOW_MS}")
    assert not command.pause_release.late_answers


def test_the_weights_of_a_pause_are_reported_as_applied_once_every_live_gateway_serves_them():
    paused = stepping(applied_at_ms=0, paused=True, paused_reason="slow", epoch=8)
    assert Given(paused).waits_for().endswith(": slow")
    assert Given(paused).reported(status(epoch=7)).waits_for().endswith(": slow")
    Given(paused).reported(status(epoch=8)).then("releases/1/weights-applied/8")
    paused.applied_at_ms = NOW_MS
    assert Given(paused).reported(status(epoch=8)).waits_for().endswith(": slow")


# Promoting, baking, rolling back.


def test_the_weights_of_a_promotion_are_applied_when_every_live_gateway_serves_them():
    promoting = release(phase=resources.PHASE_PROMOTING, epoch=9)
    Given(promoting).reported(status(epoch=9)).then("releases/1/weights-applied/9")
    Given(promoting).reported(status(epoch=7)).then()


FINE = evidence((0, 1), (0, 0), epoch=9, weight=10_000)
NO_BAKE = resolve(configuration.ReleasePolicy(bake_ms=0))


def test_a_release_completes_when_the_last_millisecond_of_its_bake_is_over():
    Given(baking(60)).reported(FINE).then("releases/1/complete")
    almost = baking(60)
    almost.applied_at_ms += 1
    waiting = Given(almost).wait()
    assert (waiting.waiting_for, waiting.waiting_until_ms) == ("the end of the bake", NOW_MS + 1)


BROKEN = evidence((40, 100), (0, 0), epoch=9, weight=10_000)


@pytest.mark.parametrize("strategy", ["CANARY", "BLUE_GREEN", "DIRECT"])
def test_a_candidate_that_breaks_during_its_bake_is_rolled_back(strategy: str):
    alone = baking(1, strategy=configuration.Strategy.Value(f"STRATEGY_{strategy}"))
    (command,) = Given(alone).reported(BROKEN).then("releases/1/roll-back")
    assert command.roll_back_release.cause == facts.ROLLBACK_CAUSE_VERDICT


@pytest.mark.parametrize("fields", [{"stable": 0}, {"undo_of": 1}])
def test_evidence_rolls_back_neither_a_first_version_nor_an_undo(fields: dict[str, int]):
    alone = baking(60, strategy=configuration.STRATEGY_DIRECT, **fields)
    Given(alone).reported(BROKEN).then("releases/1/complete")


def test_a_bake_of_0_is_no_bake():
    Given(baking(0, policy=NO_BAKE)).reported(status(epoch=9)).then("releases/1/complete")


def test_a_first_version_needs_no_bake():
    first = baking(0, stable=0, strategy=configuration.STRATEGY_DIRECT)
    Given(first).reported(status(epoch=9)).then("releases/1/complete")


# A canary that the judge passed, and the strategies that ask no judge before the bake.
WATCHED = (
    {"judgement": facts.Judgement(verdict=facts.VERDICT_PASS)},
    {"strategy": configuration.STRATEGY_BLUE_GREEN},
    {"strategy": configuration.STRATEGY_DIRECT},
)


@pytest.mark.parametrize("fields", WATCHED)
def test_a_bake_without_a_request_waits_for_one_and_pauses_after_the_limit(fields: dict[str, Any]):
    long_limit = resolve(configuration.ReleasePolicy(no_data_limit_ms=90 * MINUTE_MS))
    waiting = Given(baking(60, policy=long_limit, **fields)).reported(status(epoch=9)).wait()
    assert waiting.waiting_for == "a request to the candidate"
    assert (waiting.deadline_ms, waiting.at_deadline) == (NOW_MS + 30 * MINUTE_MS, "it pauses")
    Given(baking(60, policy=long_limit, **fields)).reported(FINE).then("releases/1/complete")
    (command,) = Given(baking(60, **fields)).reported(status(epoch=9)).then(f"releases/1/pause/{NOW_MS}")
    assert command.pause_release.reason == "no data: the candidate got no request at full weight within 1 h"


def test_requests_before_full_weight_do_not_count_for_the_bake():
    early = evidence((0, 500), (0, 500), epoch=7, weight=5_000)
    Given(baking(60, **WATCHED[0])).reported(early).then(f"releases/1/pause/{NOW_MS}")


@pytest.mark.parametrize("fields", [{}, {"strategy": configuration.STRATEGY_DIRECT, "undo_of": 1}])
def test_what_a_person_promoted_or_undid_needs_no_request_during_its_bake(fields: dict[str, Any]):
    Given(baking(60, **fields)).reported(status(epoch=9)).then("releases/1/complete")


@pytest.mark.parametrize("fields", [{}, {"stable": 0}, {"undo_of": 1}, {"policy": NO_BAKE}])
def test_no_release_completes_without_a_live_gateway(fields: dict[str, Any]):
    assert Given(baking(60, **fields)).waits_for() == "a live gateway"


def test_a_rollback_ends_when_every_live_gateway_serves_stable():
    rolling_back = release(phase=resources.PHASE_ROLLING_BACK, epoch=9)
    assert Given(rolling_back).reported(status(epoch=7)).waits_for() == "gateway-0 to serve stable alone"
    Given(rolling_back).reported(status(epoch=9)).then("releases/1/weights-applied/9")
    Given(rolling_back).then("releases/1/weights-applied/9")
    rolling_back.applied_at_ms = NOW_MS
    Given(rolling_back).then("releases/1/finish-rollback")


def test_a_release_that_has_ended_gets_no_command():
    for phase in ("COMPLETED", "ROLLED_BACK", "SUPERSEDED", "REJECTED"):
        Given(release(phase=resources.Phase.Value(f"PHASE_{phase}"))).then()


def test_after_a_restart_the_same_commands_are_due():
    before = Given(version(3), stepping()).reported(evidence(*GOOD)).due_commands()
    after = Given(version(3), stepping()).reported(evidence(*THIN), evidence(*GOOD, sequence=2)).due_commands()
    assert len(before) == 2
    assert before == after
