"""The history of a stream is read in few steps, page by page, and without records of other streams."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.lifecycle.follower import LifecycleFold
from headgate.lifecycle.records import MAX_GAP, MAX_SPAN, offsets_to_read
from headgate.log.partitioner import partition_of
from headgate.log.port import PARTITIONS
from headgate.log.sqlite.log import SqliteLog
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import registry_service_pb2 as registry_service
from services.registry import requests
from services.registry.decider import Decided, Decider
from services.registry.history import History
from services.registry.watches import Watches
from tests.registry.local_decider import decider_on
from tests.registry.waiting import REPOSITORY, commit


class CountingLog(SqliteLog):
    """A log that counts its reads."""

    reads = 0

    def values(self, topic: str, partition: int, offset: int, limit: int = 1000) -> list[tuple[int, bytes | None]]:
        self.reads += 1
        return list(super().values(topic, partition, offset, limit))


class HistoryHarness:
    def __init__(self, log: CountingLog, fold: LifecycleFold, decider: Decider) -> None:
        self.log = log
        self._history = History(log, fold, Watches())
        self._decider = decider

    def create(self, model: str, number: int) -> None:
        payload = commands.CreateVersion(repository=REPOSITORY, commit=commit(number))
        command = commands.Command(command_id=f"c{number}", stream=f"models/{model}", create_version=payload)
        assert isinstance(self._decider.execute(command), Decided)

    def page(self, **request: int) -> registry_service.ListHistoryResponse:
        return self._history.page(registry_service.ListHistoryRequest(stream="models/fraud", **request))


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[HistoryHarness]:
    log = CountingLog(tmp_path / "log.db")
    with decider_on(log) as (fold, decider):
        yield HistoryHarness(log, fold, decider)


def neighbour_of(model: str) -> str:
    """Another model whose facts are in the same partition."""
    wanted = partition_of(f"models/{model}".encode(), PARTITIONS)
    names = (f"other-{number}" for number in range(1000))
    return next(name for name in names if partition_of(f"models/{name}".encode(), PARTITIONS) == wanted)


def test_a_page_takes_one_read_and_shows_no_records_of_other_streams(harness: HistoryHarness) -> None:
    other = neighbour_of("fraud")
    for number in range(20):
        harness.create("fraud", number)
        harness.create(other, number)
    harness.log.reads = 0
    found = harness.page()
    assert harness.log.reads == 1
    assert [record.record.sequence for record in found.records] == list(range(1, 21))
    assert {record.record.stream for record in found.records} == {"models/fraud"}


def test_records_that_are_far_apart_are_read_one_by_one(harness: HistoryHarness) -> None:
    other = neighbour_of("fraud")
    harness.create("fraud", 1)
    for number in range(MAX_GAP + 1):
        harness.create(other, number)
    harness.create("fraud", 2)
    harness.log.reads = 0
    assert [record.record.sequence for record in harness.page().records] == [1, 2]
    assert harness.log.reads == 2


def test_a_page_ends_before_the_message_is_too_large_and_the_next_page_continues(
    harness: HistoryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        harness.create("fraud", number)
    two = sum(record.ByteSize() for record in harness.page(page_size=2).records)
    monkeypatch.setattr(requests, "MAX_PAGE_BYTES", two)
    first = harness.page()
    assert ([record.record.sequence for record in first.records], first.next_after_sequence) == ([1, 2], 2)
    monkeypatch.setattr(requests, "MAX_PAGE_BYTES", 1)
    second = harness.page(after_sequence=2)
    assert ([record.record.sequence for record in second.records], second.next_after_sequence) == ([3], 3)


@pytest.mark.parametrize(
    ("offsets", "read"),
    [
        ([4], 1),
        ([4, 5, 6], 3),
        ([4, 4 + MAX_GAP], MAX_GAP + 1),
        ([4, 5 + MAX_GAP], 1),
        (list(range(4, 4 + 2 * MAX_SPAN)), MAX_SPAN),
    ],
)
def test_records_that_follow_closely_are_read_together(offsets: list[int], read: int) -> None:
    assert offsets_to_read([(0, offset) for offset in offsets], 0) == read


def test_records_of_different_partitions_are_read_separately() -> None:
    assert offsets_to_read([(0, 4), (1, 5)], 0) == 1
