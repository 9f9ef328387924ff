"""The deployer counts the facts of releases that happen while it runs, the lead time and the time to restore."""

from headgate.domain.fact import Fact
from headgate.lifecycle.follower import LifecycleFold
from headgate.lifecycle.stream import message_of, new_stream, record_of
from headgate.log.port import EventLog
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from services.deployer.events import ReleaseEvents
from tests.metrics.exposed import Exposition, parsed, text_of
from tests.waiting import PATIENCE_SECONDS

WHERE = {"environment": "production", "model": "fraud"}
WORSE = facts.Judgement(verdict=facts.VERDICT_FAIL)


class Past:
    """Writes facts of one model at the times that the test gives."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        stream = new_stream("models/fraud")
        assert stream is not None
        self._stream = stream

    def write(self, *timed: tuple[int, Fact]) -> None:
        for at_ms, fact in timed:
            command = commands.Command(command_id=f"c{self._stream.sequence}", stream=self._stream.name, actor="test")
            message = message_of(record_of(command, fact, self._stream, at_ms))
            position = self._log.append(message)
            record, value = facts.LifecycleRecord.FromString(message.value or b""), message.value or b""
            assert self._stream.accept(record, value, position.partition, position.offset)
            self.last = position


def begun(release: int, stable: int, at_ms: int) -> list[tuple[int, Fact]]:
    weights = [facts.Weight(version=release, weight_bps=10_000)]
    return [
        (at_ms, facts.VersionCreated(version=release, repository="/r", commit=f"{release:040x}")),
        (at_ms, facts.ReleaseRequested(release=release, environment="production", candidate=release)),
        (at_ms, facts.ReleaseStarted(release=release, stable=stable)),
        (at_ms, facts.PromotionStarted(release=release, weights=weights)),
    ]


class Running:
    def __init__(self, log: EventLog) -> None:
        self.metrics = Metrics("deployer")
        self.fold = LifecycleFold(log)
        self.fold.start()
        assert self.fold.wait_caught_up(PATIENCE_SECONDS)
        ReleaseEvents(self.metrics, self.fold).listen()

    def shown(self, past: Past) -> Exposition:
        assert self.fold.wait_position(past.last.partition, past.last.offset, PATIENCE_SECONDS)
        return parsed(text_of(self.metrics))


def test_a_completed_release_is_counted_with_its_lead_time_and_a_replayed_one_is_not(log: EventLog) -> None:
    past = Past(log)
    past.write(*begun(1, 0, at_ms=1_000), (2_000, facts.WeightsApplied(release=1, epoch=4)))
    running = Running(log)
    past.write((601_000, facts.ReleaseCompleted(release=1, judgement=facts.Judgement(verdict=facts.VERDICT_PASS))))
    found = running.shown(past)
    assert found.value("headgate_release_events_total", **WHERE, event="ReleaseCompleted") == 1
    assert found.value("headgate_release_events_total", **WHERE, event="ReleaseRequested") is None
    assert found.value("headgate_judge_verdicts_total", environment="production", verdict="pass") == 1
    assert (found.value("headgate_lead_time_seconds_count"), found.value("headgate_lead_time_seconds_sum")) == (1, 600)
    running.fold.close()


def test_the_time_to_restore_counts_from_the_rollbacks_start_even_after_a_restart(
    log: EventLog,
) -> None:
    past = Past(log)
    past.write(*begun(1, 0, at_ms=1_000), (1_000, facts.WeightsApplied(release=1, epoch=4)))
    past.write((1_000, facts.ReleaseCompleted(release=1)), *begun(2, 1, at_ms=2_000))
    stable = [facts.Weight(version=1, weight_bps=10_000)]
    verdict = facts.ROLLBACK_CAUSE_VERDICT
    past.write((10_000, facts.RollbackStarted(release=2, cause=verdict, weights=stable, judgement=WORSE)))
    running = Running(log)
    past.write((14_000, facts.ReleaseRolledBack(release=2)))
    found = running.shown(past)
    assert found.value("headgate_time_to_restore_seconds_count") == 1
    assert found.value("headgate_time_to_restore_seconds_sum") == 4
    assert found.value("headgate_lead_time_seconds_count") == 0
    running.fold.close()
