import gc
import threading
import weakref
from collections import Counter

import pytest

from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.loading.eviction import SESSION_BYTES
from tests.gateway import networks
from tests.gateway.harness import answer, canary, infer_request, running_gateway, until
from tests.waiting import PATIENCE_SECONDS

CALLERS = 4
FACTORS = {"1": 2.0, "2": 3.0}


class Load:
    """Callers that never pause. Keeps their answers and every call that failed."""

    def __init__(self, gateway):
        self._gateway = gateway
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(n,)) for n in range(CALLERS)]
        self.answers = Counter()
        self.failures = []
        self._count = threading.Condition()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc):
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def more(self, count=100):
        """Waits for `count` more answers."""
        with self._count:
            target = self.answers.total() + count
            assert self._count.wait_for(lambda: self.answers.total() >= target or self.failures, PATIENCE_SECONDS)

    def _call(self, caller):
        number = 0
        while not self._ending.is_set():
            number += 1
            try:
                response = self._gateway.infer(infer_request([[1, 1, 1]], key=f"user-{caller}-{number}"))
                assert answer(response).tolist() == [[FACTORS[response.model_version]] * 3]
            except Exception as error:
                self.failures.append(error)
                raise
            with self._count:
                self.answers[response.model_version] += 1
                self._count.notify_all()


def test_no_request_is_lost_while_routes_change_under_load():
    with running_gateway({("fraud", 1): networks.affine(2.0), ("fraud", 2): networks.affine(3.0)}) as gateway:
        gateway.serve(live=1)
        with Load(gateway) as load:
            load.more()
            for step, bps in enumerate((0, 500, 5_000)):
                gateway.serve(live=1, release=canary(bps, epoch=10 + step))
                load.more()
            gateway.serve(live=1, release=canary(10_000, epoch=20, phase=resources.PHASE_PROMOTING))
            load.more()
            gateway.serve(live=2)
            load.more()
            gateway.serve(live=2, release=canary(10_000, epoch=30, stable=2, candidate=1, number=2))
            load.more()
            rolling_back = canary(0, epoch=31, stable=2, candidate=1, number=2, phase=resources.PHASE_ROLLING_BACK)
            gateway.serve(live=2, release=rolling_back)
            load.more()
            gateway.serve(live=2)
            load.more()
        assert load.failures == []
        assert set(load.answers) == {"1", "2"}


@pytest.fixture
def no_search_for_cycles():
    """Python frees what nothing refers to, and nothing else."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_retired_versions_leave_the_memory_and_take_their_threads_with_them(no_search_for_cycles):
    swaps = 30
    networks_of_all = {("fraud", number): networks.affine(2.0) for number in range(1, swaps + 2)}
    with running_gateway(networks_of_all) as gateway:
        gateway.serve(live=1)
        sessions = []
        for number in range(1, swaps + 1):
            stable, candidate = number, number + 1
            gateway.serve(live=stable, release=canary(5_000, 2 * number, stable, candidate, number=number))
            entry = gateway.follower.table.entries["fraud"]
            sessions.append(weakref.ref(entry.versions[stable].session))
            del entry
            rows = 4 * number  # of a size that was never measured, so the version's own thread runs it
            assert len(answer(gateway.infer(infer_request([[1, 1, 1]] * rows, key="k")))) == rows
            gateway.serve(live=candidate)
        until(lambda: not any(session() for session in sessions), "the sessions to end")
        assert gateway.follower.memory().held_bytes == SESSION_BYTES
        until(lambda: sum(thread.name == "forwards" for thread in threading.enumerate()) <= 1, "their threads to end")


def test_an_answer_is_counted_in_the_epoch_in_which_it_was_given():
    with running_gateway({("fraud", 1): networks.affine(2.0), ("fraud", 2): networks.affine(3.0)}) as gateway:
        for epoch, bps in ((5, 0), (6, 10_000)):
            gateway.serve(live=1, release=canary(bps, epoch=epoch))
            for n in range(10):
                gateway.infer(infer_request([[1, 1, 1]], key=f"user-{n}"))
        first, second = (counter.evidence("production") for counter in gateway.evidence.unreported())
        assert (first.epoch, second.epoch) == (5, 6)
        assert [(arm.arm, arm.requests) for arm in first.arms] == [
            (telemetry.ARM_STABLE, 10),
            (telemetry.ARM_CANDIDATE, 0),
        ]
        assert [(arm.version, arm.requests, arm.keys) for arm in second.arms] == [(1, 0, 0), (2, 10, 10)]
