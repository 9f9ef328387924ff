import threading
import weakref

import pytest

from services.gateway.forward_queue import MAX_WAITING, MAX_WAITING_BYTES, DeadlinePassed, ForwardQueue, QueueFull
from tests.gateway.harness import until
from tests.waiting import PATIENCE_SECONDS


class Gate:
    """Work that begins at once and ends when the test opens the gate."""

    def __init__(self):
        self.entered = threading.Event()
        self._open = threading.Event()

    def open(self):
        self._open.set()

    def await_entered(self):
        assert self.entered.wait(PATIENCE_SECONDS)

    def __call__(self):
        self.entered.set()
        assert self._open.wait(PATIENCE_SECONDS)
        return "opened"


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


def ignore(*_):
    pass


def result(ticket):
    return ticket.done.result(PATIENCE_SECONDS)


def test_works_run_one_after_the_other_in_their_order():
    order = []
    queue = ForwardQueue()
    tickets = [queue.put(lambda n=n: order.append(n), ignore, ignore) for n in range(20)]
    for ticket in tickets:
        result(ticket)
    assert order == list(range(20))


def test_who_puts_a_work_goes_on_while_it_runs(gate):
    ticket = ForwardQueue().put(gate, ignore, ignore)
    gate.await_entered()
    assert not ticket.done.done()
    gate.open()
    assert result(ticket) == "opened"


def test_the_error_of_a_work_reaches_its_caller_and_the_next_work_runs():
    def fail():
        raise ZeroDivisionError

    queue = ForwardQueue()
    failing, next_one = queue.put(fail, ignore, ignore), queue.put(lambda: 2, ignore, ignore)
    with pytest.raises(ZeroDivisionError):
        result(failing)
    assert result(next_one) == 2


def test_beyond_the_limit_a_work_is_refused_and_a_free_place_is_given_again(gate):
    queue = ForwardQueue()
    queue.put(gate, ignore, ignore)
    gate.await_entered()
    tickets = [queue.put(lambda: 1, ignore, ignore) for _ in range(MAX_WAITING)]
    assert queue.waiting == MAX_WAITING
    with pytest.raises(QueueFull):
        queue.put(lambda: 1, ignore, ignore)
    assert queue.withdraw(tickets[5])
    last = queue.put(lambda: 3, ignore, ignore)
    gate.open()
    assert result(last) == 3


def test_the_size_of_what_waits_is_bounded_and_one_large_work_may_wait(gate):
    queue = ForwardQueue()
    queue.put(gate, ignore, ignore)
    gate.await_entered()
    queue.put(lambda: 1, ignore, ignore, size_bytes=MAX_WAITING_BYTES + 1)
    with pytest.raises(QueueFull):
        queue.put(lambda: 1, ignore, ignore, size_bytes=1)


def test_a_work_whose_deadline_passes_while_it_waits_never_begins(gate):
    now = [0.0]
    began = []
    queue = ForwardQueue(clock=lambda: now[0])
    queue.put(gate, ignore, ignore)
    late = queue.put(lambda: began.append("late"), ignore, ignore, expires_at=5.0)
    early = queue.put(lambda: began.append("early"), ignore, ignore, expires_at=5.1)
    gate.await_entered()
    now[0] = 5.0
    gate.open()
    with pytest.raises(DeadlinePassed):
        result(late)
    result(early)
    assert queue.withdraw(late), "it never begins"
    assert began == ["early"]


def test_a_work_can_be_withdrawn_until_it_begins(gate):
    began = []
    queue = ForwardQueue()
    running, waiting = queue.put(gate, ignore, ignore), queue.put(lambda: began.append(1), ignore, ignore)
    gate.await_entered()
    assert not queue.withdraw(running)
    assert queue.withdraw(waiting)
    assert queue.waiting == 0
    gate.open()
    result(running)
    result(queue.put(lambda: None, ignore, ignore))
    assert began == []


def test_a_work_that_has_begun_is_interrupted_when_it_is_withdrawn_and_a_waiting_one_is_not():
    gates = [Gate(), Gate()]
    interrupted = []
    queue = ForwardQueue()
    running, waiting = (queue.put(gate, lambda g=gate: interrupted.append(g) or g.open(), ignore) for gate in gates)
    gates[0].await_entered()
    queue.withdraw(waiting)
    assert interrupted == []
    queue.withdraw(running)
    result(running)
    assert interrupted == gates[:1]


def test_a_work_is_measured_before_its_caller_gets_the_result():
    measured = []
    ticket = ForwardQueue().put(lambda: 1, ignore, measured.append)
    assert (result(ticket), len(measured)) == (1, 1)


def test_an_idle_thread_ends_and_the_next_work_starts_another():
    names = []
    queue = ForwardQueue(idle_seconds=0.0)
    for _ in range(2):
        result(queue.put(lambda: names.append(threading.current_thread()), ignore, ignore))
        names[-1].join(PATIENCE_SECONDS)
    assert len(set(names)) == 2


def test_the_thread_of_a_retired_version_ends_at_once_and_late_requests_are_still_answered(gate):
    threads = []
    queue = ForwardQueue(idle_seconds=PATIENCE_SECONDS)
    result(queue.put(lambda: threads.append(threading.current_thread()), ignore, ignore))
    queue.retire()
    threads[0].join(PATIENCE_SECONDS / 2)
    assert not threads[0].is_alive()
    assert result(queue.put(lambda: 5, ignore, ignore)) == 5


def test_an_idle_thread_keeps_nothing_of_the_work_it_has_done():
    class Session:
        pass

    session = Session()
    kept = weakref.ref(session)
    queue = ForwardQueue()
    result(queue.put(lambda kept=session: None, ignore, ignore))
    del session
    until(lambda: kept() is None, "the session to be freed")
    assert queue.waiting == 0


def test_an_error_in_a_callback_does_not_end_the_thread(gate):
    queue = ForwardQueue()
    ticket = queue.put(gate, ignore, ignore)
    ticket.done.add_done_callback(lambda _: 1 / 0)
    gate.open()
    result(ticket)
    assert result(queue.put(lambda: 4, ignore, ignore)) == 4
