import threading
import weakref
from dataclasses import dataclass, field

import pytest

from services.gateway.batch_pace import MAX_ROWS
from services.gateway.forward_queue import (
    MAX_BATCH_BYTES,
    MAX_BATCH_SECONDS,
    MAX_WAITING,
    MAX_WAITING_BYTES,
    MAX_WAITING_SECONDS,
    MOST_WAITING,
    DeadlinePassed,
    ForwardQueue,
    QueueFull,
)
from tests.gateway.harness import result_of, until
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
    return result_of(ticket.done)


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


@dataclass
class Part:
    """A request that notes with which others it ran."""

    name: str
    group: str = "g"
    rows: int = 1
    ran: list = field(default_factory=list)
    interrupted: threading.Event = field(default_factory=threading.Event)
    works: bool = True
    limit: int = MAX_ROWS
    seconds: list = field(default_factory=list)

    def most_rows(self):
        return self.limit

    def ran_alone(self, seconds):
        self.seconds.append(seconds)

    def batch(self, parts):
        self.parts = parts
        return self

    def run(self):
        if not self.works:
            raise ZeroDivisionError
        self.ran.append([part.name for part in self.parts])
        return [part.name if part.works is True else part.works for part in self.parts]

    def interrupt(self):
        self.interrupted.set()


def together(queue, gate, parts, **fields):
    """Puts the parts behind a work that runs, opens the gate, and returns the tickets and with whom they ran."""
    ran = []
    queue.put(gate, ignore, ignore)
    gate.await_entered()
    tickets = []
    for part in parts:
        part.ran = ran
        tickets.append(queue.put(lambda p=part: ran.append([p.name]) or p.name, ignore, ignore, part=part, **fields))
    gate.open()
    return tickets, ran


def test_parts_of_one_group_run_together_and_others_in_their_turn(gate):
    tickets, ran = together(ForwardQueue(), gate, [Part("a"), Part("b", group="other"), Part("c"), Part("d")])
    assert [result(ticket) for ticket in tickets] == ["a", "b", "c", "d"]
    assert ran == [["a", "c", "d"], ["b"]]


@pytest.mark.parametrize(
    ("rows", "fields"),
    [
        (MAX_ROWS // 2, {}),
        (1, {"size_bytes": MAX_BATCH_BYTES // 2}),
        (1, {"seconds": MAX_BATCH_SECONDS / 2}),
        (MAX_ROWS + 1, {}),
    ],
)
def test_a_batch_is_bounded_by_rows_bytes_and_time(gate, rows, fields):
    tickets, ran = together(ForwardQueue(), gate, [Part(name, rows=rows) for name in "abc"], **fields)
    assert [result(ticket) for ticket in tickets] == ["a", "b", "c"]
    assert ran == ([["a"], ["b"], ["c"]] if rows > MAX_ROWS else [["a", "b"], ["c"]])


def test_no_more_rows_run_together_than_the_measures_of_the_first_allow(gate):
    tickets, ran = together(ForwardQueue(), gate, [Part("a", limit=2), Part("b"), Part("c", limit=1), Part("d")])
    assert [result(ticket) for ticket in tickets] == ["a", "b", "c", "d"]
    assert ran == [["a", "b"], ["c"], ["d"]]


def test_a_part_that_runs_alone_is_measured_for_the_batches_too(gate):
    part = Part("a")
    tickets, _ = together(ForwardQueue(), gate, [part])
    assert (result(tickets[0]), len(part.seconds)) == ("a", 1)


def test_when_a_batch_fails_each_request_runs_alone(gate):
    tickets, ran = together(ForwardQueue(), gate, [Part("a", works=False), Part("b")])
    assert [result(ticket) for ticket in tickets] == ["a", "b"]
    assert ran == [["a"], ["b"]]


def test_the_error_of_one_part_is_its_own(gate):
    tickets, _ = together(ForwardQueue(), gate, [Part("a"), Part("b", works=ZeroDivisionError())])
    assert result(tickets[0]) == "a"
    with pytest.raises(ZeroDivisionError):
        result(tickets[1])


def test_what_has_expired_joins_no_batch(gate):
    now = [0.0]
    queue, ran = ForwardQueue(clock=lambda: now[0]), []
    queue.put(gate, ignore, ignore)
    gate.await_entered()
    names = {"a": 9.0, "late": 1.0, "b": 9.0}
    tickets = [
        queue.put(ignore, ignore, ignore, expires_at=expires_at, part=Part(name, ran=ran))
        for name, expires_at in names.items()
    ]
    now[0] = 2.0
    gate.open()
    assert result(tickets[0]) == "a"
    with pytest.raises(DeadlinePassed):
        result(tickets[1])
    assert ran == [["a", "b"]]


def test_a_batch_is_interrupted_once_nobody_waits_for_any_part_of_it():
    class Endless(Part):
        def run(self):
            running.set()
            assert self.interrupted.wait(PATIENCE_SECONDS)
            raise ZeroDivisionError

    running, gate, queue = threading.Event(), Gate(), ForwardQueue()
    parts = [Endless("a"), Part("b")]
    tickets, ran = together(queue, gate, parts)
    assert running.wait(PATIENCE_SECONDS)
    assert not queue.withdraw(tickets[0])
    assert not queue.withdraw(tickets[0]), "who leaves twice counts once"
    assert not parts[0].interrupted.is_set()
    assert not queue.withdraw(tickets[1])
    assert parts[0].interrupted.is_set()
    for ticket in tickets:
        with pytest.raises(DeadlinePassed):
            result(ticket)
    assert ran == [], "nobody waits, so neither runs alone"


def test_more_requests_may_wait_where_they_take_little_time(gate):
    queue = ForwardQueue()
    queue.put(gate, ignore, ignore)
    gate.await_entered()
    for _ in range(MOST_WAITING):
        queue.put(ignore, ignore, ignore, seconds=MAX_WAITING_SECONDS / 10_000)
    with pytest.raises(QueueFull):
        queue.put(ignore, ignore, ignore, seconds=MAX_WAITING_SECONDS / 10_000)
    assert queue.waiting_seconds == pytest.approx(MOST_WAITING / 10_000)
