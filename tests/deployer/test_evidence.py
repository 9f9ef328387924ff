from headgate.domain.state import ModelState
from headgate.log.port import BROKER_SKEW_SECONDS
from headgate.log.topics import DAY_MS
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from services.deployer.evidence import CLOCK_SLACK_MS, LIVE_SECONDS, GatewayReports, needed_since
from tests.deployer.reports import evidence, status

RELEASE = resources.Release(release=1, environment="production")


class Clock:
    """A monotonic clock."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def observed(*records: telemetry.TelemetryRecord) -> GatewayReports:
    reports = GatewayReports()
    for record in records:
        reports.add(record)
    return reports


def begun(at_ms: int, phase: resources.Phase.ValueType) -> ModelState:
    release = resources.Release(release=1, phase=phase, started_at_ms=at_ms)
    return ModelState("fraud", releases={1: release})


def keys(reports: GatewayReports) -> list[tuple[int, int, int]]:
    return [(each.epoch, each.candidate_keys, each.stable_keys) for each in reports.strata("fraud", RELEASE)]


def test_a_newer_report_of_a_counter_replaces_the_older_one_in_whatever_order_they_arrive():
    first, second = evidence((0, 5), (0, 50), sequence=1), evidence((0, 8), (0, 80), sequence=2)
    assert keys(observed(second, first, second)) == [(7, 8, 80)]


def test_counters_are_summed_over_gateways_and_boots():
    records = [
        evidence((1, 5), (2, 50)),
        evidence((1, 3), (2, 30), boot_id="next"),
        evidence((1, 2), (2, 20), source="gateway-1"),
    ]
    assert keys(observed(*records)) == [(7, 10, 100)]


def first_bad(reports: GatewayReports) -> list[tuple[int, int, int]]:
    strata = reports.strata("fraud", RELEASE)
    return [(each.epoch, each.candidate_first_bad_keys, each.stable_first_bad_keys) for each in strata]


def named(record: telemetry.TelemetryRecord, candidate: list[int], stable: list[int]) -> telemetry.TelemetryRecord:
    for arm, hashes in zip(record.evidence.arms, (candidate, stable), strict=True):
        arm.first_bad_key_hashes.extend(hashes)
    return record


def test_a_first_bad_key_that_two_gateways_name_is_counted_once_under_its_first_weight():
    here = named(evidence((2, 5), (1, 50), epoch=9, weight=2_500), [7, 8], [5])
    there = named(evidence((1, 5), (2, 50), epoch=7, source="gateway-1"), [6], [7, 4])
    for order in ((here, there), (there, here)):
        assert first_bad(observed(*order)) == [(7, 1, 2), (9, 1, 1)]


def test_first_bad_keys_without_a_name_are_summed_over_the_gateways():
    here = named(evidence((5, 9), (0, 50)), [7, 8], [])
    there = named(evidence((3, 9), (0, 50), source="gateway-1"), [7], [])
    assert first_bad(observed(here, there)) == [(7, 2 + 3 + 2, 0)]


def test_each_weight_is_a_stratum_of_its_own():
    records = [evidence((0, 2), (0, 6), epoch=9, weight=2_500), evidence((0, 1), (0, 9), epoch=7)]
    assert keys(observed(*records)) == [(7, 1, 9), (9, 2, 6)]


def test_telemetry_is_read_from_the_start_of_the_oldest_running_release():
    now_ms = 100 * DAY_MS
    states = {
        "old": begun(now_ms - 9 * DAY_MS, resources.PHASE_COMPLETED),
        "slow": begun(now_ms - 3 * DAY_MS, resources.PHASE_STEPPING),
        "new": begun(now_ms - DAY_MS, resources.PHASE_BAKING),
    }
    assert needed_since(states, now_ms) == now_ms - 3 * DAY_MS - CLOCK_SLACK_MS
    assert needed_since({}, now_ms) == now_ms - CLOCK_SLACK_MS


def test_telemetry_older_than_the_topics_retention_is_not_read():
    now_ms = 100 * DAY_MS
    states = {"ancient": begun(now_ms - 90 * DAY_MS, resources.PHASE_STEPPING)}
    assert needed_since(states, now_ms) == now_ms - 30 * DAY_MS


def test_evidence_of_another_release_is_not_counted():
    assert keys(observed(evidence((0, 1), (0, 1), release=2))) == []


def test_a_gateway_is_live_until_it_has_sent_no_status_for_too_long():
    clock = Clock()
    reports = GatewayReports(clock)
    reports.add(status())
    clock.now += LIVE_SECONDS
    assert [gateway.name for gateway in reports.gateways("production")] == ["gateway-0"]
    assert reports.gateways("staging") == ()
    clock.now += 0.001
    assert reports.gateways("production") == ()


def test_a_broker_whose_clock_is_behind_makes_no_gateway_silent():
    clock = Clock()
    reports = GatewayReports(clock)
    reports.add(status())
    reports.add(status("gateway-1"), age_seconds=BROKER_SKEW_SECONDS)
    assert [gateway.name for gateway in reports.gateways("production")] == ["gateway-0", "gateway-1"]
    clock.now += LIVE_SECONDS + 0.001
    assert reports.gateways("production") == ()


def test_a_status_that_was_old_when_it_arrived_makes_no_gateway_live():
    clock = Clock()
    reports = GatewayReports(clock)
    reports.add(status("gone"), age_seconds=BROKER_SKEW_SECONDS + 0.001)
    reports.add(status("here"))
    assert [gateway.name for gateway in reports.gateways("production")] == ["here"]


def test_after_an_outage_of_the_log_a_gateway_that_was_live_before_it_has_time_to_report():
    clock = Clock()
    reports = GatewayReports(clock)
    reports.add(status("dead"))
    clock.now += LIVE_SECONDS
    reports.add(status("here"))
    clock.now += 0.001
    since = clock.now
    clock.now += 600.0
    reports.missed(since)
    clock.now += LIVE_SECONDS
    assert [gateway.name for gateway in reports.gateways("production")] == ["here"]
    clock.now += 0.001
    assert reports.gateways("production") == ()


def test_a_gateway_that_starts_again_after_the_brokers_clock_was_set_back_is_live():
    reports = observed(status(sequence=7))
    reports.add(status(boot_id="next", ready=[2]), age_seconds=3.0)
    (gateway,) = reports.gateways("production")
    assert list(gateway.route("fraud").ready_versions) == [2]


def test_a_gateway_that_is_leaving_is_not_live_until_it_starts_again():
    reports = observed(status(sequence=5), status(sequence=6, leaving=True), status(sequence=5))
    assert reports.gateways("production") == ()
    reports.add(status(boot_id="next"))
    assert len(reports.gateways("production")) == 1
