"""Who carries out what waits, with whom, and what becomes of those who cannot wait any longer."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from headgate.log.group_commit import Rounds, Take, Work
from headgate.log.port import LogUnavailable, OutcomeUnknown
from tests.waiting import until

PATIENCE_SECONDS = 30.0
MANY = 1_000


class Shop:
    """Answers each item with its round and the thread it was carried out by. Shut, it lets some rounds go on."""

    def __init__(self, most_waiting: int = 100, most_at_once: int = 100, company_seconds: float = 0.0) -> None:
        self.rounds: Rounds[str] = Rounds(self._do, most_waiting, most_at_once, company_seconds)
        self.done: list[list[str]] = []
        self.permits = threading.Semaphore(MANY)
        self.begun: list[str] = []
        self.under_way = False
        self.gathers = company_seconds > 0
        self.fault: BaseException | None = None
        self._pool = ThreadPoolExecutor(16)

    def ask(self, item: str, cost: int = 1, seconds: float = PATIENCE_SECONDS) -> tuple[int, int]:
        answer: tuple[int, int] = self.rounds.carry_out(item, cost, time.monotonic() + seconds)
        return answer

    def soon(self, item: str, cost: int = 1, seconds: float = PATIENCE_SECONDS) -> "Future[tuple[int, int]]":
        """Asks on another thread; returns when the item's round has begun, or when it waits behind one that has."""
        asked = self._pool.submit(self.ask, item, cost, seconds)
        until(lambda: self._has_come(item) or asked.done(), seconds=PATIENCE_SECONDS)
        return asked

    def _has_come(self, item: str) -> bool:
        """By its name, which is asked once: one that waits for a leader who has taken nothing joins his round.

        That is what is wanted only where leaders wait for company.
        """
        with self.rounds._lock:
            waits = any(work.item == item for work in self.rounds._queue)
        return item in self.begun or (waits and (self.under_way or self.gathers))

    def shut(self) -> None:
        self.permits = threading.Semaphore(0)

    def let(self, rounds: int = MANY) -> None:
        self.permits.release(rounds)

    def close(self) -> None:
        self.let()
        self._pool.shutdown()

    def _do(self, take: Take[str], deadline: float) -> None:
        works = take()
        self.begun += [work.item for work in works]
        self.under_way = True
        assert self.permits.acquire(timeout=PATIENCE_SECONDS)
        self.under_way = False
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        self.done.append([work.item for work in works])
        for work in works:
            work.end((len(self.done), threading.get_ident()))


@pytest.fixture
def shop_of() -> Iterator[Callable[..., Shop]]:
    shops: list[Shop] = []

    def make(**limits: float) -> Shop:
        shops.append(Shop(**limits))  # type: ignore[arg-type]
        return shops[-1]

    yield make
    for shop in shops:
        shop.close()


def test_who_is_alone_carries_its_item_out_itself(shop_of: Callable[..., Shop]) -> None:
    shop = shop_of()
    assert shop.ask("one") == (1, threading.get_ident())
    assert shop.ask("two") == (2, threading.get_ident())


def test_what_comes_during_a_round_is_carried_out_together_by_one_of_those_who_wait(
    shop_of: Callable[..., Shop],
) -> None:
    shop = shop_of()
    shop.shut()
    asked = [shop.soon(item) for item in "abcd"]
    shop.let()
    answers = [one.result(PATIENCE_SECONDS) for one in asked]
    assert shop.done == [["a"], ["b", "c", "d"]]
    assert len({thread for _, thread in answers[1:]}) == 1


def test_a_round_takes_no_more_than_fits_but_always_one(shop_of: Callable[..., Shop]) -> None:
    shop = shop_of(most_at_once=3)
    shop.shut()
    asked = [shop.soon(item, cost) for item, cost in (("a", 1), ("b", 2), ("c", 1), ("d", 9), ("e", 1))]
    shop.let()
    for one in asked:
        one.result(PATIENCE_SECONDS)
    assert shop.done == [["a"], ["b", "c"], ["d"], ["e"]]


def test_a_leader_waits_for_the_company_of_the_last_round(shop_of: Callable[..., Shop]) -> None:
    shop = shop_of(company_seconds=PATIENCE_SECONDS)
    shop.shut()
    asked = [shop.soon(item) for item in "abc"]
    shop.let()
    for one in asked:
        one.result(PATIENCE_SECONDS)
    asked = [shop.soon("d"), shop.soon("e")]
    for one in asked:
        one.result(PATIENCE_SECONDS)
    assert shop.done == [["a"], ["b", "c"], ["d", "e"]]


def test_a_leader_whose_company_does_not_come_goes_on_alone(shop_of: Callable[..., Shop]) -> None:
    shop = shop_of(company_seconds=0.05)
    shop.shut()
    asked = [shop.soon(item) for item in "abc"]
    shop.let()
    for one in asked:
        one.result(PATIENCE_SECONDS)
    assert shop.ask("d") == (3, threading.get_ident())


def test_who_gives_up_before_its_round_changed_nothing(shop_of: Callable[..., Shop]) -> None:
    shop = shop_of()
    shop.shut()
    first = shop.soon("first")
    with pytest.raises(LogUnavailable, match="nothing was changed"):
        shop.ask("late", seconds=0.05)
    shop.let()
    first.result(PATIENCE_SECONDS)
    assert shop.done == [["first"]]


def test_who_gives_up_during_its_round_does_not_know_the_outcome(shop_of: Callable[..., Shop]) -> None:
    shop = shop_of()
    shop.shut()
    first = shop.soon("first")
    leading = shop.soon("second")
    following = shop.soon("third", seconds=1.0)
    shop.let(1)
    first.result(PATIENCE_SECONDS)
    with pytest.raises(OutcomeUnknown):
        following.result(PATIENCE_SECONDS)
    shop.let()
    leading.result(PATIENCE_SECONDS)
    assert shop.done[-1] == ["second", "third"]


def test_who_finds_no_room_is_told_so(shop_of: Callable[..., Shop]) -> None:
    shop = shop_of(most_waiting=2)
    shop.shut()
    asked = [shop.soon("first"), shop.soon("second", cost=2)]
    with pytest.raises(LogUnavailable, match="too many records wait"):
        shop.ask("third", seconds=0.05)
    shop.let()
    for one in asked:
        one.result(PATIENCE_SECONDS)


def test_an_interrupted_leader_leaves_an_unknown_outcome_and_the_next_one_leads(shop_of: Callable[..., Shop]) -> None:
    shop = shop_of()
    shop.fault = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        shop.ask("interrupted")
    assert shop.ask("next") == (1, threading.get_ident())


def test_a_caller_that_is_interrupted_while_it_waits_leads_nobody(
    shop_of: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    def enqueue(work: Work[str], deadline: float) -> None:
        work.turn = Interrupted()
        enqueue_as_before(work, deadline)

    shop = shop_of()
    shop.shut()
    first = shop.soon("first")
    enqueue_as_before = shop.rounds._enqueue
    with monkeypatch.context() as patched:
        patched.setattr(shop.rounds, "_enqueue", enqueue)
        with pytest.raises(KeyboardInterrupt):
            shop.ask("interrupted")
    shop.let()
    first.result(PATIENCE_SECONDS)
    assert shop.ask("next") == (2, threading.get_ident())


def test_closing_waits_for_what_waits_and_takes_nothing_more(shop_of: Callable[..., Shop]) -> None:
    shop = shop_of()
    shop.shut()
    asked = [shop.soon("first"), shop.soon("second")]
    assert not shop.rounds.close(0.01)
    with pytest.raises(LogUnavailable, match="closed"):
        shop.ask("late")
    shop.let()
    assert shop.rounds.close(PATIENCE_SECONDS)
    assert [one.result(0)[0] for one in asked] == [1, 2]
