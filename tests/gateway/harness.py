"""A gateway for tests: the real server, table and counters, over a fold that the test sets."""

import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import grpc
import numpy as np

from headgate.domain.model import ModelState
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference import grpc_predict_v2_pb2_grpc as inference_grpc
from headgate.runtime.observability.metric import GATEWAY
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.gateway.app import grpc_server
from services.gateway.batching import Batching
from services.gateway.evidence import EvidenceCounters
from services.gateway.follower import Follower
from services.gateway.inference import Inference
from services.gateway.loading.onnx_loading import load_onnx
from services.gateway.pace import Pace
from services.gateway.prediction_metrics import PredictionMetrics
from services.gateway.routing_key import KeyPlaces
from services.gateway.servicer import InferenceServicer
from services.gateway.settings import H2CORN
from tests import waiting
from tests.waiting import PATIENCE_SECONDS

until = partial(waiting.until, pause_seconds=0.005)


class ManualFold:
    """Takes the place of LifecycleFold. The test sets its state."""

    def __init__(self):
        self.lock = threading.RLock()
        self.models = {}
        self.revision = 0
        self.silent_seconds = 0.0
        self._changed = threading.Condition(self.lock)

    @property
    def last_poll_monotonic(self):
        return time.monotonic() - self.silent_seconds

    def set(self, model, live=None, release=None, versions=()):
        state = ModelState(name=model)
        for number, fields in enumerate(versions, 1):
            state.versions.add(version=number, **fields)
        if live:
            state.model.live["production"] = live
        if release:
            state.releases[release.release] = release
        with self.change():
            self.models[model] = state

    @contextmanager
    def change(self):
        """The models may be changed meanwhile. Who waits for a change sees it then."""
        with self._changed:
            yield
            self.revision += 1
            self._changed.notify_all()

    def wait_change(self, revision, timeout_seconds):
        with self._changed:
            self._changed.wait_for(lambda: self.revision != revision, timeout_seconds)
            return self.revision

    def wait_caught_up(self, timeout_seconds):
        return True


def canary(candidate_bps, epoch, stable=1, candidate=2, phase=resources.PHASE_STEPPING, number=1):
    weights = [(stable, 10_000 - candidate_bps), (candidate, candidate_bps)]
    return resources.Release(
        release=number,
        environment="production",
        candidate=candidate,
        stable=stable,
        phase=phase,
        salt="salt",
        epoch=epoch,
        weights=[facts.Weight(version=version, weight_bps=bps) for version, bps in weights if version],
    )


class GatewayHarness:
    """`networks` holds the ONNX bytes for each (model, version). A version that is not in it fails to load.

    With `rows_apart` each version has shown that it answers a row alone as beside others.
    The versions in `gates` are slow: each waits for its gate in every forward. With `granted` callers must prove who
    they are.
    """

    def __init__(
        self, networks, gates=(), front=H2CORN, tls=None, memory_bytes=sys.maxsize, rows_apart=False, granted=None
    ):
        self.networks = networks
        self.gates = dict(gates)
        self.draining = False
        self.rows_apart = rows_apart
        self.fold = ManualFold()
        self.evidence = EvidenceCounters()
        self.metrics = Metrics(GATEWAY)
        self.ready = True
        self.follower = Follower(
            self.fold,
            "production",
            self._load,
            self.evidence,
            PredictionMetrics(self.metrics),
            lambda: None,
            self.metrics,
            memory_bytes=memory_bytes,
        )
        self.inference = Inference(
            table=lambda: self.follower.table,
            is_ready=lambda: self.ready,
            last_poll_at=lambda: self.fold.last_poll_monotonic,
            is_draining=lambda: self.draining,
            why_missing=self.follower.why_missing,
            places=KeyPlaces("x-customer", "session"),
            loads=self.follower,
            batching=Batching(True, self.metrics.histogram("headgate_prediction_batch_requests").labels().observe),
        )
        self.servicer = InferenceServicer(self.inference)
        self.callers = granted.callers(self.metrics) if granted else None
        self.server = grpc_server(front, self.inference, self.servicer, "127.0.0.1", 0, self.metrics, tls, self.callers)
        self._stopped = False

    def stop(self, grace_seconds):
        """Drains and stops the server, once."""
        if not self._stopped:
            self._stopped = self.draining = True
            self.server.stop(grace_seconds)

    def _load(self, model, version, artifact):
        loaded = load_onnx(model, version, self.networks[model, version], rows_apart=self.rows_apart)
        gate = self.gates.get((model, version))
        # A pace without a measure: nothing is known to be quick.
        return loaded if gate is None else replace(loaded, session=GatedSession(loaded.session, gate), pace=Pace())

    def serve(self, model="fraud", live=None, release=None, versions=()):
        """Sets the fold and waits until the gateway has applied the route."""
        self.fold.set(model, live, release, versions)
        until(lambda: self._applied(model, live, release), "the route")

    def _applied(self, model, live, release):
        entry = self.follower.table.entries.get(model)
        if entry is None or set(entry.route.versions) != set(entry.versions):
            return False
        wanted = (release.release, release.epoch) if release else (0, 0)
        stable = release.stable if release else (live or 0)
        return (entry.route.release, entry.route.epoch, entry.route.stable) == (*wanted, stable)

    def counts(self, model="fraud"):
        """The evidence of the present route, by arm."""
        evidence = self.follower.table.entries[model].counter.evidence("production")
        return {counts.arm: counts for counts in evidence.arms}

    def infer(self, request, metadata=(), timeout=PATIENCE_SECONDS):
        return self.stub.ModelInfer(request, metadata=metadata, timeout=timeout)

    def refusal(self, request):
        """The status and the message of a request that must be refused."""
        try:
            self.infer(request)
        except grpc.RpcError as error:
            return error.code(), error.details()
        raise AssertionError("the request was answered")


SOON_SECONDS = 0.05


class Gate:
    """Every forward enters it, and leaves it once it is open."""

    def __init__(self):
        self.entered = 0
        self._open = False
        self._changed = threading.Condition()

    def open(self):
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def enter(self):
        with self._changed:
            self.entered += 1
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._open, PATIENCE_SECONDS)

    def await_entered(self, count=1):
        with self._changed:
            assert self._changed.wait_for(lambda: self.entered >= count, PATIENCE_SECONDS)


def ask_past_deadline(gateway, request, gate):
    """A call that runs when its deadline passes. On a busy machine a short deadline passes before the call arrives."""
    seconds = SOON_SECONDS
    while not gate.entered:
        assert seconds < PATIENCE_SECONDS
        call = gateway.stub.ModelInfer.future(request, timeout=seconds)
        until(lambda call=call: gate.entered or call.done(), "the call")
        seconds *= 2
    return call


class GatedSession:
    """A session of ONNX Runtime behind a gate."""

    def __init__(self, session, gate):
        self._session, self._gate = session, gate

    def run(self, outputs, arrays, options=None):
        self._gate.enter()
        return self._session.run(outputs, arrays, options)


def result_of(promise, seconds=PATIENCE_SECONDS):
    """Its result, once it has come."""
    come = threading.Event()
    promise.add_done_callback(lambda _: come.set())
    assert come.wait(seconds)
    return promise.result()


@contextmanager
def running_gateway(
    networks, gates=(), front=H2CORN, tls=None, caller=None, memory_bytes=sys.maxsize, rows_apart=False, granted=None
):
    """A GatewayHarness that serves, with a connected stub; with `tls` the stub is that of the `caller`."""
    gateway = GatewayHarness(networks, gates, front, tls, memory_bytes, rows_apart, granted)
    port = gateway.server.start()
    gateway.follower.start()
    gateway.address = f"127.0.0.1:{port}"
    with channel_to(gateway.address, caller) as gateway.channel:
        gateway.stub = inference_grpc.GRPCInferenceServiceStub(gateway.channel)
        yield gateway
    gateway.stop(grace_seconds=2.0)
    gateway.follower.close()


def channel_to(address, caller):
    return grpc.secure_channel(address, caller.credentials()) if caller else grpc.insecure_channel(address)


def infer_request(array, model="fraud", name="x", key=None, **fields):
    """A request with one raw FP32 input."""
    array = np.asarray(array, np.float32)
    request = inference.ModelInferRequest(model_name=model, raw_input_contents=[array.tobytes()], **fields)
    request.inputs.add(name=name, datatype="FP32", shape=array.shape)
    if key is not None:
        request.parameters["routing_key"].string_param = key
    return request


def answer(response):
    """The first output of a raw response."""
    return np.frombuffer(response.raw_output_contents[0], np.float32).reshape(response.outputs[0].shape)
