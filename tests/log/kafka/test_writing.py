"""The writer to Kafka: how long callers wait for a new producer, and when its limit of records is released."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from kafka.errors import InvalidTopicError, KafkaTimeoutError, MessageSizeTooLargeError, NotEnoughReplicasError
from kafka.future import Future

from headgate.log.kafka import writing as kafka_writing
from headgate.log.kafka.writing import KafkaWriter
from headgate.log.port import LogError, LogUnavailable, Message, OutcomeUnknown, RecordTooLarge
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture(autouse=True)
def _stand_ins_keep_their_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-ins for producers have no id that they could lose."""
    monkeypatch.setattr(kafka_writing, "renew_lost_id", lambda producer: False)


class FailedProducer:
    """A producer that fails every record after an error."""

    def send(self, *message: object) -> None:
        raise InvalidTopicError("no such name")

    def flush(self, timeout: float) -> None:
        pass

    def close(self, timeout: float) -> None:
        pass


MESSAGE = [Message("topic", b"key", b"value")], [0]


class Broken:
    """A writer whose producer has failed. It tries to connect a new one until the test lets it fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connecting, self.may_fail = threading.Event(), threading.Event()
        self.attempts = 0
        monkeypatch.setattr(kafka_writing, "_producer", self._connect)
        self.writer = KafkaWriter({})
        with pytest.raises(Exception, match="no such name"):
            self.write(PATIENCE_SECONDS)

    def write(self, seconds: float) -> object:
        return self.writer.write(*MESSAGE, time.monotonic() + seconds)

    def _connect(self, settings: object) -> FailedProducer:
        self.attempts += 1
        if self.attempts == 1:
            return FailedProducer()
        self.connecting.set()
        assert self.may_fail.wait(PATIENCE_SECONDS)
        raise KafkaTimeoutError("no broker answers")


def test_a_record_waits_for_a_new_producer_only_as_long_as_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken(monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(broken.write, PATIENCE_SECONDS)
        assert broken.connecting.wait(PATIENCE_SECONDS)
        try:
            with pytest.raises(LogUnavailable, match="not written before the deadline"):
                broken.write(0.05)
        finally:
            broken.may_fail.set()
        assert isinstance(first.exception(PATIENCE_SECONDS), LogUnavailable)


def test_records_that_wait_for_a_new_producer_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken(monkeypatch)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(broken.write, PATIENCE_SECONDS)
        assert broken.connecting.wait(PATIENCE_SECONDS)
        others = [pool.submit(broken.write, 0.5) for _ in range(4)]
        failures = [other.exception(PATIENCE_SECONDS) for other in others]
        broken.may_fail.set()
        assert isinstance(first.exception(PATIENCE_SECONDS), LogUnavailable)
    assert [type(failure) for failure in failures] == [LogUnavailable] * 4
    assert broken.attempts == 2


class Slow:
    """A producer that accepts `accepts` records and refuses the rest. The test decides when they get an outcome."""

    def __init__(self, accepts: int, on_flush: Callable[[list[Future]], None]) -> None:
        self.sent: list[Future] = []
        self._accepts, self._on_flush = accepts, on_flush

    def send(self, *message: object) -> Future:
        if len(self.sent) == self._accepts:
            raise KafkaTimeoutError("no metadata")
        self.sent.append(PendingOutcome())
        return self.sent[-1]

    def flush(self, timeout: float) -> None:
        self._on_flush(self.sent)


class PendingOutcome(Future):  # type: ignore[misc]  # the library has no types
    def get(self, timeout: float) -> object:
        if self.exception is not None:
            raise self.exception
        raise KafkaTimeoutError("no outcome in time")


class Written:
    offset, partition, timestamp = 7, 0, 1_000


MESSAGES = [Message("topic", b"key", b"value")] * 3


def written_by(monkeypatch: pytest.MonkeyPatch, producer: Slow) -> KafkaWriter:
    """A writer that allows three messages in flight."""
    monkeypatch.setattr(kafka_writing, "MAX_IN_FLIGHT_MESSAGES", len(MESSAGES))
    monkeypatch.setattr(kafka_writing, "_producer", lambda settings: producer)
    return KafkaWriter({})


def refused(writer: KafkaWriter) -> LogError:
    with pytest.raises(LogError) as refusal:
        writer.write(MESSAGES, [0, 1, 0], time.monotonic() + 0.5)
    return refusal.value


def test_the_limit_is_released_when_the_last_record_of_each_partition_has_an_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    producer = Slow(100, lambda sent: None)
    writer = written_by(monkeypatch, producer)
    assert isinstance(refused(writer), OutcomeUnknown)
    for record in producer.sent[:2]:  # the other partition and the first record of this one
        record.success(Written())
        assert "records wait to be written" in str(refused(writer))
    producer.sent[2].success(Written())
    assert isinstance(refused(writer), OutcomeUnknown)
    assert len(producer.sent) == 6


@pytest.mark.parametrize("accepts", [0, 2])
def test_a_send_that_fails_halfway_releases_its_share_of_the_limit(
    monkeypatch: pytest.MonkeyPatch, accepts: int
) -> None:
    producer = Slow(accepts, lambda sent: None)
    writer = written_by(monkeypatch, producer)
    assert "sending to topic" in str(refused(writer))
    for record in producer.sent:
        assert "records wait to be written" in str(refused(writer))
        record.success(Written())
    assert "sending to topic" in str(refused(writer))


@pytest.mark.parametrize(
    ("error", "expected"), [(MessageSizeTooLargeError(), RecordTooLarge), (NotEnoughReplicasError(), OutcomeUnknown)]
)
def test_a_batch_that_fails_as_a_whole_releases_its_share_of_the_limit(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[LogError]
) -> None:
    def fail(sent: list[Future]) -> None:
        for record in sent:
            if not record.is_done:
                record.failure(error)

    writer = written_by(monkeypatch, Slow(100, fail))
    monkeypatch.setattr(writer, "_note", lambda producer, error: None)
    assert isinstance(refused(writer), expected)
    assert isinstance(refused(writer), expected)
