"""Group commit: which thread writes, which items share a batch, and what a caller gets at its deadline."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from headgate.log.group_commit import Entry, GroupCommit, Take
from headgate.log.port import LogUnavailable, OutcomeUnknown
from tests.waiting import PATIENCE_SECONDS, until

MANY = 1_000


class Batches:
    """A group commit that returns batch number and writing thread for each item. A test can hold its batches back."""

    def __init__(self, max_waiting: int = 100, max_batch: int = 100, gather_seconds: float = 0.0) -> None:
        self.group_commit: GroupCommit[str] = GroupCommit(self._write, max_waiting, max_batch, gather_seconds)
        self.done: list[list[str]] = []
        self.permits = threading.Semaphore(MANY)
        self.begun: list[str] = []
        self.under_way = False
        self.gathers = gather_seconds > 0
        self.fault: BaseException | None = None
        self._pool = ThreadPoolExecutor(16)

    def submit(self, item: str, cost: int = 1, seconds: float = PATIENCE_SECONDS) -> tuple[int, int]:
        result: tuple[int, int] = self.group_commit.submit(item, cost, time.monotonic() + seconds)
        return result

    def submit_on_a_thread(
        self, item: str, cost: int = 1, seconds: float = PATIENCE_SECONDS
    ) -> "Future[tuple[int, int]]":
        """Submits on another thread. Returns when the item's batch has begun, or when it waits for a running batch."""
        submitted = self._pool.submit(self.submit, item, cost, seconds)
        until(lambda: self._has_arrived(item) or submitted.done())
        return submitted

    def _has_arrived(self, item: str) -> bool:
        """Whether the item is in a batch or waits behind one. Each test uses a name once.

        An item may also wait for a leader that has not taken its batch yet, and then joins that batch. This counts only
        in tests of leaders that gather.
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


def test_a_caller_that_is_alone_writes_its_item_itself(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of()
    assert batches.submit("one") == (1, threading.get_ident())
    assert batches.submit("two") == (2, threading.get_ident())


def test_one_waiting_caller_writes_all_items_that_arrived_during_a_batch(
    batches_of: Callable[..., Batches],
) -> None:
    batches = batches_of()
    batches.hold_back()
    submitted = [batches.submit_on_a_thread(item) for item in "abcd"]
    batches.release()
    results = [one.result(PATIENCE_SECONDS) for one in submitted]
    assert batches.done == [["a"], ["b", "c", "d"]]
    assert len({thread for _, thread in results[1:]}) == 1


def test_a_batch_never_exceeds_its_limit_unless_its_first_entry_does(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of(max_batch=3)
    batches.hold_back()
    submitted = [
        batches.submit_on_a_thread(item, cost) for item, cost in (("a", 1), ("b", 2), ("c", 1), ("d", 9), ("e", 1))
    ]
    batches.release()
    for one in submitted:
        one.result(PATIENCE_SECONDS)
    assert batches.done == [["a"], ["b", "c"], ["d"], ["e"]]


def test_a_leader_waits_for_as_many_entries_as_the_last_batch_had(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of(gather_seconds=PATIENCE_SECONDS)
    batches.hold_back()
    submitted = [batches.submit_on_a_thread(item) for item in "abc"]
    batches.release()
    for one in submitted:
        one.result(PATIENCE_SECONDS)
    submitted = [batches.submit_on_a_thread("d"), batches.submit_on_a_thread("e")]
    for one in submitted:
        one.result(PATIENCE_SECONDS)
    assert batches.done == [["a"], ["b", "c"], ["d", "e"]]


def test_a_leader_writes_alone_when_no_other_caller_arrives_in_time(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of(gather_seconds=0.05)
    batches.hold_back()
    submitted = [batches.submit_on_a_thread(item) for item in "abc"]
    batches.release()
    for one in submitted:
        one.result(PATIENCE_SECONDS)
    assert batches.submit("d") == (3, threading.get_ident())


def test_a_deadline_before_the_batch_begins_changes_nothing(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of()
    batches.hold_back()
    first = batches.submit_on_a_thread("first")
    with pytest.raises(LogUnavailable, match="nothing was changed"):
        batches.submit("late", seconds=0.05)
    batches.release()
    first.result(PATIENCE_SECONDS)
    assert batches.done == [["first"]]


def test_a_deadline_during_the_batch_leaves_an_unknown_outcome(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of()
    batches.hold_back()
    first = batches.submit_on_a_thread("first")
    leading = batches.submit_on_a_thread("second")
    following = batches.submit_on_a_thread("third", seconds=1.0)
    batches.release(1)
    first.result(PATIENCE_SECONDS)
    with pytest.raises(OutcomeUnknown):
        following.result(PATIENCE_SECONDS)
    batches.release()
    leading.result(PATIENCE_SECONDS)
    assert batches.done[-1] == ["second", "third"]


def test_a_caller_gets_an_error_when_the_queue_is_full(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of(max_waiting=2)
    batches.hold_back()
    submitted = [batches.submit_on_a_thread("first"), batches.submit_on_a_thread("second", cost=2)]
    with pytest.raises(LogUnavailable, match="too many records wait"):
        batches.submit("third", seconds=0.05)
    batches.release()
    for one in submitted:
        one.result(PATIENCE_SECONDS)


def test_the_next_caller_leads_after_a_leader_was_interrupted(
    batches_of: Callable[..., Batches],
) -> None:
    batches = batches_of()
    batches.fault = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        batches.submit("interrupted")
    assert batches.submit("next") == (1, threading.get_ident())


def test_a_caller_that_was_interrupted_while_waiting_does_not_become_the_leader(
    batches_of: Callable[..., Batches], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    def enqueue(entry: Entry[str], deadline: float) -> None:
        entry.wake_up = Interrupted()
        original_enqueue(entry, deadline)

    batches = batches_of()
    batches.hold_back()
    first = batches.submit_on_a_thread("first")
    original_enqueue = batches.group_commit._enqueue
    with monkeypatch.context() as patched:
        patched.setattr(batches.group_commit, "_enqueue", enqueue)
        with pytest.raises(KeyboardInterrupt):
            batches.submit("interrupted")
    batches.release()
    first.result(PATIENCE_SECONDS)
    assert batches.submit("next") == (2, threading.get_ident())


def test_close_waits_for_the_waiting_items_and_accepts_no_more(batches_of: Callable[..., Batches]) -> None:
    batches = batches_of()
    batches.hold_back()
    submitted = [batches.submit_on_a_thread("first"), batches.submit_on_a_thread("second")]
    assert not batches.group_commit.close(0.01)
    with pytest.raises(LogUnavailable, match="closed"):
        batches.submit("late")
    batches.release()
    assert batches.group_commit.close(PATIENCE_SECONDS)
    assert [one.result(0)[0] for one in submitted] == [1, 2]
