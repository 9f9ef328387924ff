"""A gateway of two worker processes: one status, one sum of evidence, one page of metrics, and no lost request."""

import json
import os
import signal
import threading
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

import grpc
import pytest

from headgate.inference import grpc_predict_v2_pb2_grpc as inference_grpc
from tests.gateway import networks
from tests.gateway.harness import infer_request, until
from tests.gateway.rest.serving import rows
from tests.gateway.running_process import Running
from tests.metrics.exposed import exposition, get
from tests.server_process import free_ports
from tests.waiting import PATIENCE_SECONDS

WORKERS = 2
CALLERS = 8
PREDICTIONS = "headgate_predictions_total"
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


class Callers:
    """Each calls again and again over a connection of its own, and tries nothing again but UNAVAILABLE."""

    def __init__(self, address):
        self.answered, self.errors = 0, []
        self._address, self._stop = address, threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def _call(self, number):
        with grpc.insecure_channel(self._address, options=OWN_CONNECTION) as channel:
            infer = inference_grpc.GRPCInferenceServiceStub(channel).ModelInfer
            while not self._stop.is_set():
                try:
                    infer(infer_request([[1, 1, 1]], key=f"k{number}"), timeout=PATIENCE_SECONDS)
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        self.errors.append(error)
                else:
                    with self._lock:
                        self.answered += 1

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()


class Gateway(Running):
    """The parent with its workers."""

    def start_workers(self):
        self.metrics_port, self.rest_port = free_ports(2)
        return self.start(
            HEADGATE_GATEWAY_WORKERS=str(WORKERS),
            HEADGATE_METRICS_PORT=str(self.metrics_port),
            HEADGATE_REST_PORT=str(self.rest_port),
        )

    def worker_pids(self):
        lists = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return {int(pid) for each in lists for pid in each.read_text().split()}

    @contextmanager
    def callers(self):
        callers = Callers(self.address)
        try:
            yield callers
        finally:
            callers.stop()

    def call_until_reported(self, workers):
        """Calls once over each new connection, until so many workers have reported evidence. Returns the calls."""
        calls = count()

        def call():
            with grpc.insecure_channel(self.address, options=OWN_CONNECTION) as channel:
                infer = inference_grpc.GRPCInferenceServiceStub(channel).ModelInfer
                infer(infer_request([[1, 1, 1]], key=f"n{next(calls)}"), timeout=PATIENCE_SECONDS)
            return len(self.reported()) >= workers

        until(call, f"evidence of {workers} workers")
        return next(calls)

    def reported(self):
        """The answers that the evidence of each worker counts, by its boot."""
        newest = {each.boot_id: each.evidence for each in self.telemetry() if each.HasField("evidence")}
        return {boot: sum(arm.requests for arm in evidence.arms) for boot, evidence in newest.items()}

    def shown(self):
        return exposition(self.metrics_port).total(PREDICTIONS)


@pytest.fixture
def gateway(tmp_path):
    process = Gateway(tmp_path)
    process.build(1, networks.affine(2.0))
    process.start_workers()
    yield process
    process.close()


def test_workers_are_one_gateway_through_a_kill_and_a_stop(gateway):
    epoch = gateway.promote(release=1, candidate=1)
    gateway.wait_for_status(lambda status: status.epoch == epoch)
    answered = gateway.call_until_reported(WORKERS)
    until(lambda: sum(gateway.reported().values()) == answered, "the evidence of every answer")
    assert gateway.shown() == answered

    # A killed worker loses what it was answering, and another one takes its place.
    before = gateway.worker_pids()
    with gateway.callers() as during:
        until(lambda: during.answered > CALLERS, "calls in progress")
        os.kill(min(before), signal.SIGKILL)
        then = during.answered
        until(lambda: during.answered > then + 10 * CALLERS, "answers of the other worker")
    assert during.errors == []
    assert gateway.shown() >= answered
    gateway.call_until_reported(WORKERS + 1)
    assert len(gateway.worker_pids() & before) == WORKERS - 1
    assert get(gateway.metrics_port, "/readyz")[0] == get(gateway.metrics_port, "/livez")[0] == 200

    _stop_loses_nothing(gateway)
    statuses = [each for each in gateway.telemetry() if each.HasField("gateway_status")]
    assert len({each.boot_id for each in statuses}) == 1
    assert statuses[-1].gateway_status.leaving
    assert {each.source for each in gateway.telemetry()} == {"gateway-0"}
    assert all(each.gateway_status.rest_address.endswith(f":{gateway.rest_port}") for each in statuses)


def _stop_loses_nothing(gateway):
    channels = [grpc.insecure_channel(gateway.address, options=OWN_CONNECTION) for _ in range(CALLERS)]
    kept = [HTTPConnection("127.0.0.1", gateway.rest_port, timeout=PATIENCE_SECONDS) for _ in range(CALLERS)]
    stubs = [inference_grpc.GRPCInferenceServiceStub(channel) for channel in channels]
    for connection in kept:
        assert _ask(connection).status == 200
    accepted = [stub.ModelInfer.future(infer_request([[1, 1, 1]], key=f"s{n}")) for n in range(20) for stub in stubs]
    for call in accepted[:CALLERS]:
        call.result()
    assert gateway.terminate() == 0
    assert [call.exception() for call in accepted] == [None] * len(accepted)
    for channel in (*channels, *kept):
        channel.close()


def _ask(connection):
    connection.request("POST", "/v2/models/fraud/infer", json.dumps(rows(1, 1, 1)))
    answer = connection.getresponse()
    answer.read()
    return answer
