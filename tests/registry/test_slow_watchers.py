"""A watcher that reads more slowly than facts come costs a bounded part of memory, and nobody else a wait."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.lifecycle.follower import LifecycleFold
from headgate.log.sqlite.log import SqliteLog
from headgate.runtime.errors import RpcRefused
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.view.fields import Kind
from headgate.view.query import new_query
from services.registry import history, watches
from services.registry.decider import Decided, Decider
from services.registry.history import History
from services.registry.watches import ResourceWatch, Watches
from tests.registry.deciding import decider_on
from tests.registry.waiting import REPOSITORY, commit

MANY = 7


class Caller:
    """One who listens and never goes."""

    def is_active(self) -> bool:
        return True


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[tuple[SqliteLog, LifecycleFold, Decider]]:
    log = SqliteLog(tmp_path / "log.db")
    with decider_on(log) as (fold, decider):
        yield log, fold, decider


def create(decider: Decider, number: int) -> None:
    wish = commands.CreateVersion(repository=REPOSITORY, commit=commit(number), commit_message="m" * 500)
    made = decider.execute(commands.Command(command_id=f"c{number}", stream="models/fraud", create_version=wish))
    assert isinstance(made, Decided)


def test_a_watcher_too_many_bytes_behind_is_told_to_resume(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    log, fold, decider = stage
    monkeypatch.setattr(history, "MAX_BACKLOG_BYTES", 2_000)
    create(decider, 1)
    watch = History(log, fold, Watches()).watch(registry_service.WatchHistoryRequest(), Caller())
    assert next(watch).record.record.sequence == 1
    create(decider, 2)
    assert next(watch).record.record.sequence == 2
    for number in range(3, 3 + MANY):
        create(decider, number)
    with pytest.raises(RpcRefused, match="2000 bytes behind"):
        next(watch)


def test_many_changes_are_copied_a_few_at_a_time_and_the_last_tells_the_positions(
    stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, fold, decider = stage
    monkeypatch.setattr(watches, "MAX_BATCH", 2)
    changes = ResourceWatch(fold, new_query(Kind.VERSION)).run(Watches(), Caller())
    assert next(changes).change == registry_service.RESOURCE_CHANGE_SYNCED
    copied: list[int] = []
    real = watches.copy_of
    monkeypatch.setattr(watches, "copy_of", lambda resource: copied.append(resource.version) or real(resource))
    for number in range(MANY):
        create(decider, number)
    first = next(changes)
    assert len(copied) < MANY
    rest = [next(changes) for _ in range(MANY - 1)]
    assert [one.resource.version for one in (first, *rest)] == list(range(1, MANY + 1))
    assert [bool(one.positions) for one in (first, *rest)] == [False] * (MANY - 1) + [True]
    assert rest[-1].positions == fold.accepted
    changes.close()
