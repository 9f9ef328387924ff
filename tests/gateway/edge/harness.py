"""A gateway's server for devices in this process, over a fold that the test sets, and devices with own folders."""

import asyncio
import threading
from contextlib import contextmanager
from functools import partial

import grpc

from headgate.artifacts.keys import create_keys
from headgate.artifacts.layout import MODEL_FILE
from headgate.artifacts.manifest import seal
from headgate.artifacts.store import open_store
from headgate.inference_parameters import ARM
from headgate.log.port import LogUnavailable
from headgate.runtime.errors import RpcRefused
from headgate.runtime.observability.metric import GATEWAY
from headgate.runtime.observability.metrics import Metrics
from headgate.telemetry.rules import flaw_of
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from services.deployer.evidence import GatewayReports
from services.gateway.edge.device import Device, Identity
from services.gateway.evidence import EvidenceCounters
from services.gateway.fleet.server import EdgeServer
from services.gateway.follower import Follower
from services.gateway.inference import Call
from services.gateway.pending import Pending
from services.gateway.prediction_metrics import PredictionMetrics
from services.gateway.request import request_of
from tests.gateway.harness import ManualFold, infer_request, result_of
from tests.waiting import PATIENCE_SECONDS, until

HOST = "127.0.0.1"
MIB = 1 << 20


class Log:
    """Takes the place of the log's telemetry. The deployer's part folds what it holds."""

    def __init__(self):
        self.records = []
        self.fails = False
        self._lock = threading.Lock()
        self._reports, self._folded = GatewayReports(), 0

    def send(self, key, **measurement):
        if self.fails:
            raise LogUnavailable("the log is away")
        with self._lock:
            number = len(self.records) + 1
            record = telemetry.TelemetryRecord(source="gateway-0", boot_id="b", sequence=number, **measurement)
            assert flaw_of(record) == ""
            self.records.append(record)

    def strata(self, model="fraud", release=1):
        """The evidence so far. Records are folded once, because tests that wait ask fifty times a second."""
        with self._lock:
            new = self.records[self._folded :]
            self._folded = len(self.records)
        for record in new:
            self._reports.add(record)
        found = resources.Release(release=release, environment="production")
        return self._reports.strata(model, found)


class Fleet:
    """The server for devices. `cut` ends it as a power cut does, and `restore` starts it again on the same port."""

    def __init__(self, directory, report_seconds=0.05, sign_of_life_seconds=0.5, tls=None, granted=None):
        self.directory = directory
        self.keys = directory / "keys"
        self.store = open_store((directory / "store").as_uri())
        self.fold = ManualFold()
        self.log = Log()
        self._seconds = {"report_seconds": report_seconds, "sign_of_life_seconds": sign_of_life_seconds, "tls": tls}
        self._granted = granted
        self._artifacts = {}
        self._port = 0
        self._follower = None

    def build(self, version, network, model="fraud", key=None):
        """A signed version."""
        key = key or create_keys(self.keys)
        self._artifacts[model, version] = seal(
            self.store, {MODEL_FILE: network}, f"models/{model}/versions/{version}", key
        )

    def route(self, model="fraud", live=None, release=None):
        """What the fold says from now on."""
        numbers = [number for name, number in self._artifacts if name == model]
        versions = [{"artifact": self._artifacts[model, n]} for n in range(1, max(numbers) + 1)]
        self.fold.set(model, live, release, versions)

    def restore(self):
        self.metrics = Metrics(GATEWAY)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.server = EdgeServer(
            "production",
            self.store,
            self.fold,
            self.log,
            self._loop,
            lambda: self.fold.silent_seconds,
            self.metrics,
            **self._seconds,
            callers=self._granted.callers(self.metrics) if self._granted else None,
        )
        self._port = self.server.start(HOST, self._port)
        self._follower = Follower(
            self.fold,
            "production",
            _never,
            EvidenceCounters(),
            PredictionMetrics(self.metrics),
            lambda: None,
            self.metrics,
            on_routes=self.server.publish,
        )
        self._follower.start()

    def cut(self):
        if self._follower is not None:
            self._follower.close()
            self.server.stop(0.0)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE_SECONDS)
            self._loop.close()
            self._follower = None

    @property
    def address(self):
        return f"{HOST}:{self._port}"

    def device(self, name="device-1", chance=lambda: 0.0, **options):
        folder = self.directory / "devices" / name
        identity = Identity("production", name, options.pop("models", ()))
        return Device(
            identity,
            [options.pop("address", self.address)],
            folder,
            options.pop("keys", self.keys),
            options.pop("max_disk_bytes", 64 * MIB),
            Metrics(GATEWAY),
            lambda onnx_bytes: None,
            chance=chance,
            tick_seconds=options.pop("tick_seconds", 0.02),
            first_report_seconds=0.1,
            **options,
        )


def _never(model, version, artifact):
    raise AssertionError("the gateway of this test loads nothing")


@contextmanager
def running_fleet(directory, **options):
    fleet = Fleet(directory, **options)
    fleet.restore()
    try:
        yield fleet
    finally:
        fleet.cut()


@contextmanager
def running(device):
    device.start()
    try:
        yield device
    finally:
        device.close()


def predict(device, value=1.0, model="fraud", rows=1, **fields):
    """The version, the arm and the first number of the answer."""
    outcome = device.inference.infer(request_of(infer_request([[value] * 3] * rows, model, **fields)), Call())
    answer = result_of(outcome.done) if isinstance(outcome, Pending) else outcome
    response = answer.message()
    return int(response.model_version), response.parameters[ARM].string_param


def serves(device, version, model="fraud"):
    """Whether the device answers with this version."""
    try:
        return predict(device, model=model)[0] == version
    except RpcRefused:
        return False


def await_version(device, version, model="fraud"):
    until(partial(serves, device, version, model), f"version {version}")


def status_code(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    raise AssertionError("the call was answered")


def values(metrics):
    """The series of a process, each with its value, without their labels."""
    body = b"".join(metrics.application()({"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics"}, lambda *_: None))
    lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
    return {line.split("{")[0].split()[0]: float(line.split()[-1]) for line in lines}
