"""A claim is kept while its heartbeats arrive. It is lost after one whole lease without a heartbeat."""

import logging
import threading
from collections.abc import Iterator

import pytest

from headgate.runtime.observability.metrics import Metrics
from headgate.telemetry.topic import TelemetryReader, TelemetryWriter
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from headgate.worker import leases
from headgate.worker.leases import HEARTBEAT_SECONDS, Claim, Heartbeats, LastHeartbeat, Liveness, claim_of, heartbeat
from services.evaluator import due as evaluator
from services.trainer import due as trainer
from tests.clocks import liveness
from tests.waiting import until
from tests.worker.outages import FailingLog

LEASE_MS = 1_000
CLAIMED_AT_MS = 50_000
LEASE = resources.Lease(worker="trainer-0", claimed_at_ms=CLAIMED_AT_MS, lease_ms=LEASE_MS)
CLAIM = Claim("models/fraud", 3, 2)


@pytest.fixture
def read(log: FailingLog) -> Iterator[Heartbeats]:
    """The heartbeats of the work "testing", read from the log in a thread."""
    heartbeats = Heartbeats("testing")
    reader = TelemetryReader(log, heartbeats.observe, Metrics("trainer"))
    reader.start(since_ms=0)
    yield heartbeats
    reader.close()


def record_of(claim: Claim, work: str = "testing") -> telemetry.TelemetryRecord:
    beat = telemetry.WorkHeartbeat(stream=claim.stream, version=claim.version, attempt=claim.attempt, work=work)
    return telemetry.TelemetryRecord(work_heartbeat=beat)


def test_a_claim_names_its_model_its_version_and_its_attempt() -> None:
    assert claim_of("fraud", resources.Version(version=3, attempt=2)) == CLAIM
    assert CLAIM.model == "fraud"
    assert CLAIM.version_name == "models/fraud/versions/3"
    assert CLAIM.name == "models/fraud/versions/3/attempts/2"


@pytest.mark.parametrize(
    ("heartbeats_ms", "reading_since_ms", "last_seen_ms"),
    [
        pytest.param({}, 0, CLAIMED_AT_MS, id="the claim"),
        pytest.param({CLAIM: CLAIMED_AT_MS + 700}, 0, CLAIMED_AT_MS + 700, id="a heartbeat"),
        pytest.param({CLAIM: CLAIMED_AT_MS - 700}, 0, CLAIMED_AT_MS, id="an older heartbeat"),
        pytest.param({}, CLAIMED_AT_MS + 900, CLAIMED_AT_MS + 900, id="the start of reading"),
        pytest.param({CLAIM: CLAIMED_AT_MS + 950}, CLAIMED_AT_MS + 900, CLAIMED_AT_MS + 950, id="the latest"),
    ],
)
def test_a_claim_is_lost_exactly_one_lease_after_it_was_last_seen_alive(
    heartbeats_ms: dict[Claim, int], reading_since_ms: int, last_seen_ms: int
) -> None:
    for ms, is_lost in ((LEASE_MS - 1, False), (LEASE_MS, True)):
        now_ms = last_seen_ms + ms
        assert liveness(now_ms, heartbeats_ms, reading_since_ms).is_lost(CLAIM, LEASE, now_ms) is is_lost


def test_the_heartbeat_of_another_attempt_does_not_keep_a_claim() -> None:
    now_ms = CLAIMED_AT_MS + LEASE_MS
    another = liveness(now_ms, {Claim("models/fraud", 3, 1): now_ms})
    assert another.is_lost(CLAIM, LEASE, now_ms)
    assert another.last_seen_ms(CLAIM) == 0


def test_silence_counts_from_the_arrival_of_a_heartbeat_and_not_from_the_time_of_its_record() -> None:
    now = 1_000.0
    heartbeats = Heartbeats("testing", lambda: now)
    now += 60.0
    for at_ms in (CLAIMED_AT_MS - 600_000, CLAIMED_AT_MS + 600_000):
        heartbeats.observe(record_of(CLAIM), at_ms)
        now += 0.999
        assert not heartbeats.liveness().is_lost(CLAIM, LEASE, CLAIMED_AT_MS + LEASE_MS)
        now += 0.001
        assert heartbeats.liveness().is_lost(CLAIM, LEASE, CLAIMED_AT_MS + LEASE_MS)


def test_a_worker_that_could_not_read_heartbeats_for_a_time_waits_one_lease_before_it_takes_over() -> None:
    clock = [1_000.0]
    heartbeats = Heartbeats("testing", lambda: clock[0])
    heartbeats.observe(record_of(CLAIM), CLAIMED_AT_MS)
    clock[0] += 600.0
    heartbeats.missed(1_000.0)
    for seconds, is_lost in ((LEASE_MS / 1000 - 0.001, False), (0.002, True)):
        clock[0] += seconds
        assert heartbeats.liveness().is_lost(CLAIM, LEASE, CLAIMED_AT_MS + 600_000) is is_lost


def test_a_jump_of_the_logs_time_ends_no_lease_of_a_worker_that_sends_heartbeats() -> None:
    liveness = Liveness({CLAIM: LastHeartbeat(CLAIMED_AT_MS, silent_ms=LEASE_MS - 1)}, reading_ms=10 * LEASE_MS)
    assert not liveness.is_lost(CLAIM, LEASE, CLAIMED_AT_MS + 86_400_000)


def test_the_latest_heartbeat_of_an_attempt_counts_even_when_an_older_one_is_read_after_it() -> None:
    heartbeats = Heartbeats("testing", lambda: 7.0)
    heartbeats.observe(record_of(CLAIM), 100)
    before = heartbeats.liveness()
    heartbeats.observe(record_of(CLAIM), 90)
    assert heartbeats.liveness() == Liveness({CLAIM: LastHeartbeat(100, 0)}, 0)
    heartbeats.observe(record_of(CLAIM), 110)
    assert (heartbeats.liveness().last_seen_ms(CLAIM), before.last_seen_ms(CLAIM)) == (110, 100)


def test_only_heartbeats_of_the_same_work_are_remembered() -> None:
    heartbeats = Heartbeats("testing")
    heartbeats.observe(record_of(CLAIM, work="evaluation"), 100)
    heartbeats.observe(telemetry.TelemetryRecord(epoch_measured=telemetry.EpochMeasured(version=3)), 100)
    assert heartbeats.liveness().heartbeats == {}


def test_the_attempt_with_the_oldest_heartbeat_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "MAX_ATTEMPTS_SEEN", 2)
    heartbeats = Heartbeats("testing")
    first, second, third = (Claim("models/fraud", number, 1) for number in (1, 2, 3))
    for at_ms, claim in enumerate((first, second, first, third)):
        heartbeats.observe(record_of(claim), at_ms)
    assert {claim: heard.at_ms for claim, heard in heartbeats.liveness().heartbeats.items()} == {first: 2, third: 3}


def test_running_work_sends_heartbeats_to_telemetry(log: FailingLog, read: Heartbeats) -> None:
    with heartbeat(TelemetryWriter(log, "trainer-0"), CLAIM, "testing"):
        until(lambda: read.liveness().last_seen_ms(CLAIM), "the first heartbeat")


def test_heartbeats_go_on_until_the_work_ends(
    log: FailingLog, read: Heartbeats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.01)
    writer = TelemetryWriter(log, "trainer-0")
    with heartbeat(writer, CLAIM, "testing"):
        first_ms = until(lambda: read.liveness().last_seen_ms(CLAIM), "the first heartbeat")
        until(lambda: read.liveness().last_seen_ms(CLAIM) > first_ms, "a later heartbeat")
    until(lambda: not [thread for thread in threading.enumerate() if CLAIM.name in thread.name], "the last heartbeat")


def test_an_outage_of_the_log_ends_neither_the_work_nor_the_heartbeats(
    log: FailingLog, read: Heartbeats, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.01)
    log.outages = 2
    with caplog.at_level(logging.WARNING), heartbeat(TelemetryWriter(log, "trainer-0"), CLAIM, "testing"):
        until(lambda: read.liveness().last_seen_ms(CLAIM), "a heartbeat after the outage")
    warnings = [record.getMessage() for record in caplog.records if record.name == leases.logger.name]
    assert warnings == ["heartbeat not sent"] * 2


@pytest.mark.parametrize("lease_ms", [trainer.LEASE_MS, evaluator.LEASE_MS])
def test_a_lease_outlasts_several_lost_heartbeats(lease_ms: int) -> None:
    assert lease_ms >= 5 * HEARTBEAT_SECONDS * 1_000


def test_the_leases_of_trainer_and_evaluator_stay_as_they_are() -> None:
    assert (trainer.LEASE_MS, evaluator.LEASE_MS) == (20_000, 15_000)
