"""What a decision may wait for: never for the log while it holds the fold, and for others only for so long."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headgate.log import topics
from headgate.log.fold import LifecycleFold
from headgate.log.port import Message, OutcomeUnknown, Position
from headgate.log.sqlite import SqliteLog
from headgate.runtime.metrics import Metrics
from headgate.v1 import commands_pb2 as k
from services.registry import decider as deciding
from services.registry.decider import Contended, Decided, Decider
from tests.registry.waiting import REPOSITORY, commit

WAIT_SECONDS = 10.0


class Hindered(SqliteLog):
    """A log that a test holds back: reads and appends wait for its word, and an append's answer may get lost."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reading, self.may_read = threading.Event(), threading.Event()
        self.appending, self.may_append = threading.Event(), threading.Event()
        self.may_read.set()
        self.may_append.set()
        self.answers_to_lose = 0

    def read(self, topic, partition, offset, limit=1000):
        self.reading.set()
        assert self.may_read.wait(WAIT_SECONDS)
        return super().read(topic, partition, offset, limit)

    def append(self, message: Message, timeout_seconds: float = 10.0) -> Position:
        self.appending.set()
        assert self.may_append.wait(WAIT_SECONDS)
        position = super().append(message, timeout_seconds)
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            raise OutcomeUnknown("the answer got lost")
        return position


@pytest.fixture
def stage(tmp_path: Path):
    log = Hindered(tmp_path / "log.db")
    log.create_topics(topics.TOPICS)
    fold = LifecycleFold(log)
    fold.start()
    assert fold.wait_caught_up(WAIT_SECONDS)
    yield log, fold, Decider(log, fold, lambda: 1, Metrics("registry"))
    fold.close()
    log.close()


def create(number: int, model: str = "fraud") -> k.Command:
    wish = k.CreateVersion(repository=REPOSITORY, commit=commit(number))
    return k.Command(command_id=f"c{number}", stream=f"models/{model}", create_version=wish)


def test_a_repeated_command_whose_record_is_slow_to_read_holds_nobody_up(stage) -> None:
    log, fold, decider = stage
    decider.execute(create(1))
    log.may_read.clear()
    log.reading.clear()
    with ThreadPoolExecutor(1) as pool:
        repeated = pool.submit(decider.execute, create(1))
        assert log.reading.wait(WAIT_SECONDS)
        assert fold.lock.acquire(timeout=WAIT_SECONDS)
        fold.lock.release()
        assert isinstance(decider.execute(create(2, "churn")), Decided)
        log.may_read.set()
        assert isinstance(repeated.result(WAIT_SECONDS), Decided)


def test_a_command_waits_for_the_others_on_its_stream_only_for_so_long(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    log, _, decider = stage
    monkeypatch.setattr(deciding, "TURN_SECONDS", 0.1)
    log.may_append.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(decider.execute, create(1))
        assert log.appending.wait(WAIT_SECONDS)
        with pytest.raises(Contended, match="take too long"):
            decider.execute(create(2))
        log.may_append.set()
        assert isinstance(first.result(WAIT_SECONDS), Decided)


def test_an_append_whose_answer_got_lost_is_found_by_its_event_id_and_not_repeated(stage) -> None:
    log, fold, decider = stage
    log.answers_to_lose = 1
    outcome = decider.execute(create(1))
    assert isinstance(outcome, Decided)
    assert outcome.record is not None
    assert (outcome.record.sequence, fold.void_records) == (1, 0)
    assert sum(log.end(topics.LIFECYCLE).values()) == 1
