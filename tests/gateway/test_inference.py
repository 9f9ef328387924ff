"""Answers without a transport: several threads ask at once, and a slow version answers later."""

import math
import time

import grpc
import pytest

from headgate.runtime.errors import RpcRefused
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.inference import Call
from services.gateway.pending import Pending
from services.gateway.request import request_of
from tests.gateway import networks
from tests.gateway.harness import Gate, answer, canary, infer_request, result_of, running_gateway, until
from tests.gateway.threads import run_together
from tests.metrics.exposed import parsed, text_of
from tests.waiting import PATIENCE_SECONDS

SLOW = ("answered", "given-up", "late")
"""Models whose first call is slow. After it, they may be quick."""


@pytest.fixture(scope="module")
def gateway():
    gates = {(model, 1): Gate() for model in SLOW}
    versions = {version: networks.affine(2.0) for version in (("fraud", 1), ("fraud", 2), *gates)}
    with running_gateway(versions, gates) as gateway:
        yield gateway
        for gate in gates.values():
            gate.open()


def ask(gateway, model, expires_at=math.inf, **fields):
    return gateway.inference.infer(
        request_of(infer_request([[1, 2, 3]], model=model, **fields)), Call(expires_at=expires_at)
    )


def running_call(gateway, model, expires_at=math.inf):
    """A call whose version runs, and the gate that the version waits for."""
    gateway.serve(model, live=1)
    pending = ask(gateway, model, expires_at)
    gate = gateway.gates[model, 1]
    gate.await_entered()
    return pending, gate


def counted(gateway, model):
    counts = gateway.counts(model)[telemetry.ARM_STABLE]
    return counts.requests, counts.bad_requests, counts.late_requests


def test_every_answer_of_several_threads_is_counted_once(gateway, often_switched):
    threads, each = 4, 250
    gateway.serve(live=1, release=canary(5_000, epoch=1))

    def infer():
        for n in range(each):
            outcome = ask(gateway, "fraud", key=f"k{n}")
            answered = result_of(outcome.done) if isinstance(outcome, Pending) else outcome
            assert answer(answered.message()).tolist() == [[2, 4, 6]]

    run_together([infer] * threads)
    counts = gateway.counts().values()
    assert (sum(arm.requests for arm in counts), sum(arm.keys for arm in counts)) == (threads * each, each)
    shown = parsed(text_of(gateway.metrics))
    assert shown.total("headgate_predictions_total", model="fraud") == threads * each


def test_a_slow_version_answers_later_and_giving_up_after_its_answer_changes_nothing(gateway):
    pending, gate = running_call(gateway, "answered")
    assert isinstance(pending, Pending)
    assert not pending.done.done()
    gate.open()
    assert answer(result_of(pending.done).message()).tolist() == [[2, 4, 6]]
    pending.give_up()
    assert counted(gateway, "answered") == (1, 0, 0)


def test_a_call_that_is_given_up_twice_counts_once_and_its_answer_no_more(gateway):
    pending, gate = running_call(gateway, "given-up")
    following = ask(gateway, "given-up")
    pending.give_up()
    pending.give_up()
    with pytest.raises(RpcRefused) as refused:
        result_of(pending.done)
    assert refused.value.code == grpc.StatusCode.CANCELLED
    gate.open()
    result_of(following.done)
    assert counted(gateway, "given-up") == (2, 1, 1)


def test_an_answer_after_the_deadline_counts_as_late_although_no_server_gave_the_call_up(gateway):
    expires_at = time.monotonic() + PATIENCE_SECONDS / 60
    pending, gate = running_call(gateway, "late", expires_at)
    until(lambda: time.monotonic() > expires_at, "the deadline")
    gate.open()
    result_of(pending.done)
    assert counted(gateway, "late") == (1, 1, 1)
