"""A device as a process of its own, started by `headgate edge`, against a gateway's process that stands still."""

import re
import signal
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import grpc
import pytest

from headgate.inference import grpc_predict_v2_pb2_grpc as inference_grpc
from headgate.inference_parameters import ARM
from headgate.v1 import resources_pb2 as resources
from services.deployer.evidence import GatewayReports
from tests.gateway import networks
from tests.gateway.harness import infer_request, until
from tests.gateway.test_process import Running
from tests.runtime.authentication.granted import bearer, secret_of
from tests.server_process import free_ports, freeze
from tests.waiting import PATIENCE_SECONDS

HEADGATE, ENV = Path(sys.executable).with_name("headgate"), "production"
MAX_RESIDENT_MIB = 100
SECRET = secret_of("caller")


class DeviceProcess:
    """A device that follows the gateway's process, or that finds none at the port."""

    def __init__(self, directory, edge_port, name="device-1"):
        self.port, self.rest_port, self.metrics_port = free_ports(3)
        source, state, keys = f"127.0.0.1:{edge_port}", directory / "edge", directory / "keys"
        secret = directory / "caller-token"
        secret.write_text(SECRET)
        ports = ["--port", self.port, "--rest-port", self.rest_port, "--metrics-port", self.metrics_port]
        words = [HEADGATE, "edge", "--device", name, "--environment", ENV, "--from", source, "--keys", keys, "--state"]
        command = [*words, state, *ports, "--caller-token", secret]
        self.process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
        self._lines = []
        self._reader = threading.Thread(target=lambda: self._lines.extend(self.process.stderr))
        self._reader.start()
        self._channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        self._stub = inference_grpc.GRPCInferenceServiceStub(self._channel)

    def predict(self, secret=SECRET):
        """The version and the arm that answered."""
        response = self._stub.ModelInfer(
            infer_request([[1, 2, 3]]), timeout=PATIENCE_SECONDS, wait_for_ready=True, metadata=bearer(secret)
        )
        return int(response.model_version), response.parameters[ARM].string_param

    def serves(self, version):
        try:
            return self.predict()[0] == version
        except grpc.RpcError:
            return False

    def metric(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=PATIENCE_SECONDS) as page:
            found = re.search(rf"^{name} (\S+)$", page.read().decode(), re.MULTILINE)
        return found and float(found[1])

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024

    def end(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait(PATIENCE_SECONDS)
        self._channel.close()
        self._reader.join(PATIENCE_SECONDS)
        self.process.stderr.close()
        return "".join(self._lines)


@contextmanager
def device(directory, edge_port):
    started = DeviceProcess(directory, edge_port)
    try:
        yield started
    finally:
        started.end()


@pytest.fixture
def gateway(tmp_path, monkeypatch):
    running = Running(tmp_path)
    (running.edge_port,) = free_ports(1)
    monkeypatch.setenv("HEADGATE_EDGE_PORT", str(running.edge_port))
    running.build(1, networks.affine(2.0))
    running.build(2, networks.affine(3.0))
    running.start()
    yield running
    running.close()


def strata(running):
    reports = GatewayReports()
    for record in running.telemetry():
        reports.add(record)
    return reports.strata("fraud", resources.Release(release=2, environment="production"))


def candidate_requests(running):
    return sum(each.candidate_requests for each in strata(running))


def test_a_device_lives_through_an_outage_and_a_reboot_and_its_answers_are_counted_once(gateway, tmp_path):
    gateway.complete(1, gateway.promote(1, candidate=1))
    with device(tmp_path, gateway.edge_port) as running:
        until(partial(running.serves, 1), "the live version")
        with pytest.raises(grpc.RpcError) as refused:
            running.predict(secret_of("another"))
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        gateway.promote(2, candidate=2, stable=1)
        until(partial(running.serves, 2), "the candidate")
        counted = 1 + len([running.predict() for _ in range(20)])
        assert running.resident_mib() < MAX_RESIDENT_MIB
        freeze(gateway.process)
        counted += len([running.predict() for _ in range(10)])
        assert running.predict() == (2, "candidate")
        running.end(signal.SIGTERM)
    with device(tmp_path, gateway.edge_port) as running:
        until(partial(running.serves, 1), "the stable version from the disk")
        gateway.process.send_signal(signal.SIGCONT)
        until(lambda: candidate_requests(gateway) == counted + 1, "the evidence after the reboot")
        assert {each.candidate_weight_bps: each.candidate_keys for each in strata(gateway)}[10_000] == 1
