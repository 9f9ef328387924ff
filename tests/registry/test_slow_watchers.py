"""A slow watcher uses a bounded amount of memory, and delays no other call."""

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
from tests.registry.local_decider import decider_on
from tests.registry.waiting import REPOSITORY, commit

MANY = 7


class Caller:
    """A caller that stays connected."""

    def is_active(self) -> bool:
        return True


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[tuple[SqliteLog, LifecycleFold, Decider]]:
    log = SqliteLog(tmp_path / "log.db")
    with decider_on(log) as (fold, decider):
        yield log, fold, decider


def create(decider: Decider, number: int) -> None:
    payload = commands.CreateVersion(repository=REPOSITORY, commit=commit(number), commit_message="m" * 500)
    made = decider.execute(commands.Command(command_id=f"c{number}", stream="models/fraud", create_version=payload))
    assert isinstance(made, Decided)


def test_the_watch_of_a_watcher_that_is_too_many_bytes_behind_ends(parts, monkeypatch: pytest.MonkeyPatch) -> None:
    log, fold, decider = parts
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


def test_many_changes_are_copied_in_batches_and_the_last_one_has_the_positions(
    parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, fold, decider = parts
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
