"""Burials of many records that no registry can have written."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.dead_letters.burials import Burials
from headgate.dead_letters.letters import Ledger
from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.log.port import Message, Position
from headgate.log.sqlite.log import SqliteLog
from services.registry import voids
from services.registry.voids import VoidBurials
from tests.waiting import PATIENCE_SECONDS, until

MANY = 40


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(tmp_path / "log.db")
    log.create_topics(topics.TOPICS)
    yield log
    log.close()


def append_foreign(log: SqliteLog, number: int) -> Position:
    return log.append(Message(topics.LIFECYCLE, b"models/fraud", b"\xff%d" % number))


def test_the_fold_does_not_wait_for_burials(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voids, "MAX_WAITING", 2)
    fold = LifecycleFold(log)
    burials = VoidBurials(log, fold, Burials(log, "registry-0"))  # not started: it buries nothing
    fold.start()
    try:
        last = [append_foreign(log, number) for number in range(5)][-1]
        assert fold.wait_position(last.partition, last.offset, PATIENCE_SECONDS)
    finally:
        burials.stop(1)
        fold.close()


def test_a_start_does_not_pause_for_records_that_have_a_dead_letter_already(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def pause(_: float, most: float) -> float:
        pauses.append(most)
        return 0.0

    monkeypatch.setattr(voids.random, "uniform", pause)
    for number in range(MANY):
        append_foreign(log, number)
    for starts in (1, 2):
        pauses.clear()
        fold = LifecycleFold(log)
        burials = VoidBurials(log, fold, Burials(log, "registry-0"))
        fold.start()
        assert fold.wait_caught_up(PATIENCE_SECONDS)
        burials.start()
        until(lambda: len(Ledger(log).summaries()) >= MANY, "the letters")
        append_foreign(log, MANY + starts)
        until(lambda wanted=MANY + starts: len(Ledger(log).summaries()) == wanted, "one more letter")
        burials.stop(PATIENCE_SECONDS)
        fold.close()
    assert len(pauses) == 1, "the second start paused for other records than the new one"
    assert sum(log.end(topics.DEAD_LETTERS).values()) == MANY + 2
