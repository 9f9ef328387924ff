"""What a writer to Kafka waits for when its producer has to be replaced, and when the room for records comes back."""

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

WAIT_SECONDS = 10.0


class Spent:
    """A producer that an error has spoilt."""

    def send(self, *message: object) -> None:
        raise InvalidTopicError("no such name")

    def flush(self, timeout: float) -> None:
        pass

    def close(self, timeout: float) -> None:
        pass


MESSAGE = [Message("topic", b"key", b"value")], [0]


class Broken:
    """A writer whose producer is spent; it connects a new one in vain, for as long as the test wants."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connecting, self.may_give_up = threading.Event(), threading.Event()
        self.attempts = 0
        monkeypatch.setattr(kafka_writing, "_producer", self._connect)
        self.writer = KafkaWriter({})
        with pytest.raises(Exception, match="no such name"):
            self.write(WAIT_SECONDS)

    def write(self, seconds: float) -> object:
        return self.writer.write(*MESSAGE, time.monotonic() + seconds)

    def _connect(self, settings: object) -> Spent:
        self.attempts += 1
        if self.attempts == 1:
            return Spent()
        self.connecting.set()
        assert self.may_give_up.wait(WAIT_SECONDS)
        raise KafkaTimeoutError("no broker answers")


def test_a_record_waits_for_a_new_producer_only_as_long_as_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken(monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(broken.write, WAIT_SECONDS)
        assert broken.connecting.wait(WAIT_SECONDS)
        try:
            with pytest.raises(LogUnavailable, match="not written in time"):
                broken.write(0.05)
        finally:
            broken.may_give_up.set()
        assert isinstance(first.exception(WAIT_SECONDS), LogUnavailable)


def test_what_waits_behind_a_new_producer_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Broken(monkeypatch)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(broken.write, WAIT_SECONDS)
        assert broken.connecting.wait(WAIT_SECONDS)
        others = [pool.submit(broken.write, 0.5) for _ in range(4)]
        failures = [other.exception(WAIT_SECONDS) for other in others]
        broken.may_give_up.set()
        assert isinstance(first.exception(WAIT_SECONDS), LogUnavailable)
    assert [type(failure) for failure in failures] == [LogUnavailable] * 4
    assert broken.attempts == 2


class Slow:
    """A producer whose records have an outcome when the test says so; it takes `takes` of them and refuses the rest."""

    def __init__(self, takes: int, on_flush: Callable[[list[Future]], None]) -> None:
        self.sent: list[Future] = []
        self._takes, self._on_flush = takes, on_flush

    def send(self, *message: object) -> Future:
        if len(self.sent) == self._takes:
            raise KafkaTimeoutError("no metadata")
        self.sent.append(Waited())
        return self.sent[-1]

    def flush(self, timeout: float) -> None:
        self._on_flush(self.sent)


class Waited(Future):  # type: ignore[misc]  # the library has no types
    def get(self, timeout: float) -> object:
        if self.exception is not None:
            raise self.exception
        raise KafkaTimeoutError("no outcome in time")


class Written:
    offset, partition = 7, 0


MESSAGES = [Message("topic", b"key", b"value")] * 3


def written_by(monkeypatch: pytest.MonkeyPatch, producer: Slow) -> KafkaWriter:
    """A writer that has room for just three messages."""
    monkeypatch.setattr(kafka_writing, "MAX_IN_FLIGHT_MESSAGES", len(MESSAGES))
    monkeypatch.setattr(kafka_writing, "_producer", lambda settings: producer)
    return KafkaWriter({})


def refused(writer: KafkaWriter) -> LogError:
    with pytest.raises(LogError) as refusal:
        writer.write(MESSAGES, [0, 1, 0], time.monotonic() + 0.5)
    return refusal.value


def test_room_comes_back_when_the_last_record_of_each_partition_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    producer = Slow(100, lambda sent: None)
    writer = written_by(monkeypatch, producer)
    assert isinstance(refused(writer), OutcomeUnknown)
    for record in producer.sent[:2]:  # the other partition and the first record of this one
        record.success(Written())
        assert "records wait to be written" in str(refused(writer))
    producer.sent[2].success(Written())
    assert isinstance(refused(writer), OutcomeUnknown)
    assert len(producer.sent) == 6


@pytest.mark.parametrize("takes", [0, 2])
def test_a_send_that_fails_in_the_middle_gives_all_its_room_back(monkeypatch: pytest.MonkeyPatch, takes: int) -> None:
    producer = Slow(takes, lambda sent: None)
    writer = written_by(monkeypatch, producer)
    assert "sending to topic" in str(refused(writer))
    for record in producer.sent:
        assert "records wait to be written" in str(refused(writer))
        record.success(Written())
    assert "sending to topic" in str(refused(writer))


@pytest.mark.parametrize(
    ("error", "said"), [(MessageSizeTooLargeError(), RecordTooLarge), (NotEnoughReplicasError(), OutcomeUnknown)]
)
def test_a_batch_that_fails_as_a_whole_gives_its_room_back(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: type[LogError]
) -> None:
    def fail(sent: list[Future]) -> None:
        for record in sent:
            if not record.is_done:
                record.failure(error)

    writer = written_by(monkeypatch, Slow(100, fail))
    monkeypatch.setattr(writer, "_note", lambda producer, error: None)
    assert isinstance(refused(writer), said)
    assert isinstance(refused(writer), said)
