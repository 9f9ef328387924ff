"""Which thread writes what waits, in which batches, and what happens to callers that cannot wait any longer."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from headgate.log.group_commit import Entry, GroupCommit, Take
from headgate.log.port import LogUnavailable, OutcomeUnknown
from tests.waiting import until

PATIENCE_SECONDS = 30.0
MANY = 1_000


class Batches:
    """Answers each item with its batch and the thread that wrote it. Once held back, it lets some batches go on."""

    def __init__(self, max_waiting: int = 100, max_batch: int = 100, gather_seconds: float = 0.0) -> None:
        self.group_commit: GroupCommit[str] = GroupCommit(self._write, max_waiting, max_batch, gather_seconds)
        self.done: list[list[str]] = []
        self.permits = threading.Semaphore(MANY)
        self.begun: list[str] = []
        self.under_way = False
        self.gathers = gather_seconds > 0
        self.fault: BaseException | None = None
        self._pool = ThreadPoolExecutor(16)

    def ask(self, item: str, cost: int = 1, seconds: float = PATIENCE_SECONDS) -> tuple[int, int]:
        answer: tuple[int, int] = self.group_commit.submit(item, cost, time.monotonic() + seconds)
        return answer

    def soon(self, item: str, cost: int = 1, seconds: float = PATIENCE_SECONDS) -> "Future[tuple[int, int]]":
        """Asks on another thread; returns when the item's batch has begun, or when it waits behind one that has."""
        asked = self._pool.submit(self.ask, item, cost, seconds)
        until(lambda: self._has_come(item) or asked.done(), seconds=PATIENCE_SECONDS)
        return asked

    def _has_come(self, item: str) -> bool:
        """Each name is asked for once. An item that waits for a leader that has taken nothing joins its batch.

        Only tests of leaders that gather want that.
        """
        with self.group_commit._lock:
            waits = any(entry.item == item for entry in self.group_commit._queue)
        return item in self.begun or (waits and (self.under_way or self.gathers))

    def hold_back(self) -> None:
        self.permits = threading.Semaphore(0)

    def release(self, batches: int = MANY) -> None:
        self.permits.release(batches)

    def close(self) -> None:
        self.release()
        self._pool.shutdown()

    def _write(self, take: Take[str], deadline: float) -> None:
        entries = take()
        self.begun += [entry.item for entry in entries]
        self.under_way = True
        assert self.permits.acquire(timeout=PATIENCE_SECONDS)
        self.under_way = False
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        self.done.append([entry.item for entry in entries])
        for entry in entries:
            entry.finish((len(self.done), threading.get_ident()))


@pytest.fixture
def batches_of() -> Iterator[Callable[..., Batches]]:
    made: list[Batches] = []

    def make(**limits: float) -> Batches:
        made.append(Batches(**limits))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for batches in made:
        batches.close()


def test_a_lone_caller_writes_its_item_itself(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of()
    assert batches.ask("one") == (1, threading.get_ident())
    assert batches.ask("two") == (2, threading.get_ident())


def test_what_arrives_during_a_batch_is_written_together_by_one_of_the_waiting_callers(
    batches_of: Callable[..., Batches],
) -> None:
    batches = batches_of()
    batches.hold_back()
    asked = [batches.soon(item) for item in "abcd"]
    batches.release()
    answers = [one.result(PATIENCE_SECONDS) for one in asked]
    assert batches.done == [["a"], ["b", "c", "d"]]
    assert len({thread for _, thread in answers[1:]}) == 1


def test_a_batch_takes_no_more_than_fits_but_always_one_entry(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of(max_batch=3)
    batches.hold_back()
    asked = [batches.soon(item, cost) for item, cost in (("a", 1), ("b", 2), ("c", 1), ("d", 9), ("e", 1))]
    batches.release()
    for one in asked:
        one.result(PATIENCE_SECONDS)
    assert batches.done == [["a"], ["b", "c"], ["d"], ["e"]]


def test_a_leader_waits_for_as_many_entries_as_the_last_batch_had(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of(gather_seconds=PATIENCE_SECONDS)
    batches.hold_back()
    asked = [batches.soon(item) for item in "abc"]
    batches.release()
    for one in asked:
        one.result(PATIENCE_SECONDS)
    asked = [batches.soon("d"), batches.soon("e")]
    for one in asked:
        one.result(PATIENCE_SECONDS)
    assert batches.done == [["a"], ["b", "c"], ["d", "e"]]


def test_a_leader_goes_on_alone_when_nobody_else_comes_in_time(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of(gather_seconds=0.05)
    batches.hold_back()
    asked = [batches.soon(item) for item in "abc"]
    batches.release()
    for one in asked:
        one.result(PATIENCE_SECONDS)
    assert batches.ask("d") == (3, threading.get_ident())


def test_a_caller_that_gives_up_before_its_batch_changed_nothing(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of()
    batches.hold_back()
    first = batches.soon("first")
    with pytest.raises(LogUnavailable, match="nothing was changed"):
        batches.ask("late", seconds=0.05)
    batches.release()
    first.result(PATIENCE_SECONDS)
    assert batches.done == [["first"]]


def test_a_caller_that_gives_up_during_its_batch_does_not_know_the_outcome(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of()
    batches.hold_back()
    first = batches.soon("first")
    leading = batches.soon("second")
    following = batches.soon("third", seconds=1.0)
    batches.release(1)
    first.result(PATIENCE_SECONDS)
    with pytest.raises(OutcomeUnknown):
        following.result(PATIENCE_SECONDS)
    batches.release()
    leading.result(PATIENCE_SECONDS)
    assert batches.done[-1] == ["second", "third"]


def test_a_caller_that_finds_no_room_gets_an_error(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of(max_waiting=2)
    batches.hold_back()
    asked = [batches.soon("first"), batches.soon("second", cost=2)]
    with pytest.raises(LogUnavailable, match="too many records wait"):
        batches.ask("third", seconds=0.05)
    batches.release()
    for one in asked:
        one.result(PATIENCE_SECONDS)


def test_an_interrupted_leader_leaves_an_unknown_outcome_and_the_next_one_leads(
    batches_of: Callable[..., Batches],
) -> None:
    batches = batches_of()
    batches.fault = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        batches.ask("interrupted")
    assert batches.ask("next") == (1, threading.get_ident())


def test_a_caller_that_is_interrupted_while_it_waits_leads_no_batch(
    batches_of: Callable[..., Batches], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    def enqueue(entry: Entry[str], deadline: float) -> None:
        entry.wake_up = Interrupted()
        enqueue_as_before(entry, deadline)

    batches = batches_of()
    batches.hold_back()
    first = batches.soon("first")
    enqueue_as_before = batches.group_commit._enqueue
    with monkeypatch.context() as patched:
        patched.setattr(batches.group_commit, "_enqueue", enqueue)
        with pytest.raises(KeyboardInterrupt):
            batches.ask("interrupted")
    batches.release()
    first.result(PATIENCE_SECONDS)
    assert batches.ask("next") == (2, threading.get_ident())


def test_closing_waits_for_what_waits_and_accepts_nothing_more(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of()
    batches.hold_back()
    asked = [batches.soon("first"), batches.soon("second")]
    assert not batches.group_commit.close(0.01)
    with pytest.raises(LogUnavailable, match="closed"):
        batches.ask("late")
    batches.release()
    assert batches.group_commit.close(PATIENCE_SECONDS)
    assert [one.result(0)[0] for one in asked] == [1, 2]
