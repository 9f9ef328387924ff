"""The log under test: each adapter in turn, with new topics for each test."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from headgate.log.port import EventLog, Topic
from tests.contract.logs import open_for_test


@dataclass
class Storage:
    """The data of one adapter. A test may open several logs on it; they are all closed at its end."""

    url: str
    opened: list[EventLog] = field(default_factory=list)

    def open(self) -> EventLog:
        log = open_for_test(self.url)
        self.opened.append(log)
        return log

    def close(self) -> None:
        for log in self.opened:
            log.close()


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "sqlite":
        storage = Storage(f"sqlite://{tmp_path}/log.db")
    else:
        storage = Storage(f"kafka://{request.getfixturevalue('kafka_broker')}")
    yield storage
    storage.close()


@pytest.fixture
def log(storage: Storage) -> EventLog:
    return storage.open()


@pytest.fixture
def new_topic(log: EventLog) -> Callable[..., str]:
    def create(partitions: int = 12) -> str:
        topic = Topic(f"test.{uuid.uuid4().hex}", -1, partitions)
        log.create_topics([topic])
        return topic.name

    return create


@pytest.fixture
def topic(new_topic: Callable[..., str]) -> str:
    return new_topic()
