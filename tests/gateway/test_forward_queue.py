import asyncio
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


async def entered(gate):
    await asyncio.to_thread(gate.entered.wait, PATIENCE_SECONDS)


def test_works_run_one_after_the_other_in_their_order():
    order = []

    async def run():
        queue = ForwardQueue()
        tickets = [queue.put(lambda n=n: order.append(n), ignore, ignore) for n in range(20)]
        await asyncio.gather(*(ticket.done for ticket in tickets))

    asyncio.run(run())
    assert order == list(range(20))


def test_the_event_loop_goes_on_while_a_work_runs(gate):
    async def run():
        ticket = ForwardQueue().put(gate, ignore, ignore)
        await entered(gate)
        assert not ticket.done.done()
        gate.open()
        return await ticket.done

    assert asyncio.run(run()) == "opened"


def test_the_error_of_a_work_reaches_its_caller_and_the_next_work_runs():
    def fail():
        raise ZeroDivisionError

    async def run():
        queue = ForwardQueue()
        failing, next_one = queue.put(fail, ignore, ignore), queue.put(lambda: 2, ignore, ignore)
        with pytest.raises(ZeroDivisionError):
            await failing.done
        return await next_one.done

    assert asyncio.run(run()) == 2


def test_beyond_the_limit_a_work_is_refused_and_a_free_place_is_given_again(gate):
    async def run():
        queue = ForwardQueue()
        queue.put(gate, ignore, ignore)
        await entered(gate)
        tickets = [queue.put(lambda: 1, ignore, ignore) for _ in range(MAX_WAITING)]
        assert queue.waiting == MAX_WAITING
        with pytest.raises(QueueFull):
            queue.put(lambda: 1, ignore, ignore)
        assert queue.withdraw(tickets[5])
        last = queue.put(lambda: 3, ignore, ignore)
        gate.open()
        assert await last.done == 3

    asyncio.run(run())


def test_the_size_of_what_waits_is_bounded_and_one_large_work_may_wait(gate):
    async def run():
        queue = ForwardQueue()
        queue.put(gate, ignore, ignore)
        await entered(gate)
        queue.put(lambda: 1, ignore, ignore, size_bytes=MAX_WAITING_BYTES + 1)
        with pytest.raises(QueueFull):
            queue.put(lambda: 1, ignore, ignore, size_bytes=1)
        gate.open()

    asyncio.run(run())


def test_a_work_whose_deadline_passes_while_it_waits_never_begins(gate):
    now = [0.0]
    began = []

    async def run():
        queue = ForwardQueue(clock=lambda: now[0])
        queue.put(gate, ignore, ignore)
        late = queue.put(lambda: began.append("late"), ignore, ignore, expires_at=5.0)
        early = queue.put(lambda: began.append("early"), ignore, ignore, expires_at=5.1)
        await entered(gate)
        now[0] = 5.0
        gate.open()
        with pytest.raises(DeadlinePassed):
            await late.done
        await early.done
        assert queue.withdraw(late), "it never begins"

    asyncio.run(run())
    assert began == ["early"]


def test_a_work_can_be_withdrawn_until_it_begins(gate):
    began = []

    async def run():
        queue = ForwardQueue()
        running, waiting = queue.put(gate, ignore, ignore), queue.put(lambda: began.append(1), ignore, ignore)
        await entered(gate)
        assert not queue.withdraw(running)
        assert queue.withdraw(waiting)
        assert queue.waiting == 0
        gate.open()
        await running.done
        await queue.put(lambda: None, ignore, ignore).done

    asyncio.run(run())
    assert began == []


def test_a_work_that_has_begun_is_interrupted_when_it_is_withdrawn_and_a_waiting_one_is_not():
    gates = [Gate(), Gate()]
    interrupted = []

    async def run():
        queue = ForwardQueue()
        running, waiting = (queue.put(gate, lambda g=gate: interrupted.append(g) or g.open(), ignore) for gate in gates)
        await entered(gates[0])
        queue.withdraw(waiting)
        assert interrupted == []
        queue.withdraw(running)
        await running.done

    asyncio.run(run())
    assert interrupted == gates[:1]


def test_a_work_is_measured_although_nobody_waits_for_it_any_more(gate):
    measured = []

    async def run():
        queue = ForwardQueue()
        given_up = queue.put(gate, ignore, measured.append)
        await entered(gate)
        given_up.done.cancel()
        gate.open()
        await queue.put(lambda: None, ignore, ignore).done

    asyncio.run(run())
    assert len(measured) == 1


def test_an_idle_thread_ends_and_the_next_work_starts_another():
    names = []

    async def run():
        queue = ForwardQueue(idle_seconds=0.0)
        for _ in range(2):
            await queue.put(lambda: names.append(threading.current_thread()), ignore, ignore).done
            await asyncio.to_thread(names[-1].join, PATIENCE_SECONDS)

    asyncio.run(run())
    assert len(set(names)) == 2


def test_an_idle_thread_keeps_nothing_of_the_work_it_has_done():
    class Session:
        pass

    async def run():
        session = Session()
        queue = ForwardQueue()
        await queue.put(lambda kept=session: None, ignore, ignore).done
        return queue, weakref.ref(session)

    queue, session = asyncio.run(run())
    until(lambda: session() is None, "the session to be freed")
    assert queue.waiting == 0


def test_a_loop_that_has_ended_does_not_end_the_thread(gate):
    queue = ForwardQueue()

    async def leave():
        queue.put(gate, ignore, ignore)
        await entered(gate)

    asyncio.run(leave())
    gate.open()

    async def ask():
        return await queue.put(lambda: 4, ignore, ignore).done

    assert asyncio.run(ask()) == 4
