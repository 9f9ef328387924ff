"""What a writer to Kafka waits for when its producer has to be replaced."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from kafka.errors import InvalidTopicError, KafkaTimeoutError

from headgate.log import kafka_writing
from headgate.log.kafka_writing import KafkaWriter
from headgate.log.port import LogUnavailable, Message

WAIT_SECONDS = 10.0


class Spent:
    """A producer that an error has spoilt."""

    def send(self, *message: object) -> None:
        raise InvalidTopicError("no such name")

    def flush(self, timeout: float) -> None:
        pass

    def close(self, timeout: float) -> None:
        pass


def test_a_record_waits_for_a_new_producer_only_as_long_as_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    connecting, may_give_up = threading.Event(), threading.Event()
    made: list[Spent] = []

    def connect(settings: object) -> Spent:
        if made:
            connecting.set()
            assert may_give_up.wait(WAIT_SECONDS)
            raise KafkaTimeoutError("no broker answers")
        made.append(Spent())
        return made[0]

    monkeypatch.setattr(kafka_writing, "_producer", connect)
    writer = KafkaWriter({})
    message = [Message("topic", b"key", b"value")], [0]
    with pytest.raises(Exception, match="no such name"):
        writer.write(*message, time.monotonic() + WAIT_SECONDS)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(writer.write, *message, time.monotonic() + WAIT_SECONDS)
        assert connecting.wait(WAIT_SECONDS)
        try:
            with pytest.raises(LogUnavailable, match="not written in time"):
                writer.write(*message, time.monotonic() + 0.05)
        finally:
            may_give_up.set()
        assert isinstance(first.exception(WAIT_SECONDS), LogUnavailable)


def test_what_waits_behind_a_new_producer_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    connecting, may_give_up = threading.Event(), threading.Event()
    attempts: list[int] = []

    def connect(settings: object) -> Spent:
        attempts.append(1)
        if len(attempts) == 1:
            return Spent()
        connecting.set()
        assert may_give_up.wait(WAIT_SECONDS)
        raise KafkaTimeoutError("no broker answers")

    monkeypatch.setattr(kafka_writing, "_producer", connect)
    writer = KafkaWriter({})
    message = [Message("topic", b"key", b"value")], [0]
    with pytest.raises(Exception, match="no such name"):
        writer.write(*message, time.monotonic() + WAIT_SECONDS)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(writer.write, *message, time.monotonic() + WAIT_SECONDS)
        assert connecting.wait(WAIT_SECONDS)
        others = [pool.submit(writer.write, *message, time.monotonic() + 0.1) for _ in range(4)]
        failures = [other.exception(WAIT_SECONDS) for other in others]
        may_give_up.set()
        assert isinstance(first.exception(WAIT_SECONDS), LogUnavailable)
    assert [type(failure) for failure in failures] == [LogUnavailable] * 4
    assert len(attempts) == 2
