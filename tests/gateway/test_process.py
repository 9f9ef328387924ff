"""The gateway as a process of its own, with a real log, signed artifacts, a real client and SIGTERM."""

import os
import re
import signal
import subprocess
import sys
import threading

import grpc
import pytest

from headgate.artifacts.keys import create_keys
from headgate.artifacts.layout import MODEL_FILE
from headgate.artifacts.manifest import seal
from headgate.artifacts.store import open_store
from headgate.inference import grpc_predict_v2_pb2_grpc as inference_grpc
from headgate.log import topics
from headgate.log.open import open_log
from headgate.telemetry.predictions import newest
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import telemetry_pb2 as telemetry
from tests.gateway import networks
from tests.gateway.fact_writer import FactWriter
from tests.gateway.harness import infer_request, until
from tests.waiting import PATIENCE_SECONDS


class Running:
    def __init__(self, directory):
        self.directory = directory
        self.url = f"sqlite:///{directory}/log.db"
        self.log = open_log(self.url)
        self.log.create_topics(topics.TOPICS)
        self.fraud = FactWriter(self.log, "models/fraud")
        self._store = open_store((directory / "store").as_uri())

    def start(self):
        environ = os.environ | {
            "HEADGATE_LOG": self.url,
            "HEADGATE_ARTIFACTS": (self.directory / "store").as_uri(),
            "HEADGATE_KEYS": str(self.directory / "keys"),
            "HEADGATE_PORT": "0",
            "HEADGATE_PREDICTION_RATE": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.gateway"], env=environ, stderr=subprocess.PIPE, text=True
        )
        for line in self.process.stderr:
            if found := re.search(r"port=(\d+)", line):
                break
        else:
            raise AssertionError("the gateway ended before it was ready")
        self._drain = threading.Thread(target=self.process.stderr.read)
        self._drain.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{found[1]}")
        self.stub = inference_grpc.GRPCInferenceServiceStub(self.channel)
        return self

    def build(self, version, network):
        key = create_keys(self.directory / "keys")
        artifact = seal(self._store, {MODEL_FILE: network}, f"models/fraud/versions/{version}", key)
        self.fraud.write(
            facts.VersionCreated(version=version, commit="c" * 40),
            facts.TestingStarted(version=version, attempt=1, worker="trainer-0"),
            facts.CodeTested(version=version, attempt=1, passed=True),
            facts.TrainingStarted(version=version, attempt=1),
            facts.TrainingFinished(version=version, attempt=1, artifact=artifact),
        )

    def promote(self, release, candidate, stable=0):
        """Writes the facts of a release up to full weight. Returns the epoch."""
        self.fraud.write(
            facts.ReleaseRequested(release=release, environment="production", candidate=candidate, salt="s"),
            facts.ReleaseStarted(release=release, stable=stable),
        )
        self.wait_for_status(lambda status: candidate in status.ready_versions)
        weights = [facts.Weight(version=candidate, weight_bps=10_000)]
        return self.fraud.write(facts.PromotionStarted(release=release, weights=weights))

    def complete(self, release, epoch):
        self.fraud.write(facts.WeightsApplied(release=release, epoch=epoch), facts.ReleaseCompleted(release=release))

    def telemetry(self):
        """All records of headgate.telemetry."""
        return [
            telemetry.TelemetryRecord.FromString(record.value)
            for partition in self.log.end(topics.TELEMETRY)
            for record in self.log.read(topics.TELEMETRY, partition, 0)
        ]

    def wait_for_status(self, condition):
        def latest():
            statuses = [record.gateway_status for record in self.telemetry() if record.HasField("gateway_status")]
            routes = statuses[-1].routes if statuses else ()
            return any(condition(route) for route in routes)

        until(latest, "the status")

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def close(self):
        self.process.kill()
        self.process.wait()
        self._drain.join()
        self.process.stderr.close()
        self.channel.close()
        self.log.close()


@pytest.fixture
def running(tmp_path):
    process = Running(tmp_path)
    process.build(1, networks.affine(2.0))
    process.start()
    yield process
    process.close()


def test_a_gateway_serves_the_releases_of_the_log_reports_them_and_ends_without_losing_a_request(running):
    running.build(2, networks.affine(3.0))
    epoch = running.promote(release=1, candidate=1)
    running.wait_for_status(lambda status: status.epoch == epoch)
    assert running.stub.ModelInfer(infer_request([[1, 1, 1]], key="a")).model_version == "1"
    running.complete(1, epoch)

    second = running.promote(release=2, candidate=2, stable=1)
    running.wait_for_status(lambda status: status.epoch == second)
    assert running.stub.ModelInfer(infer_request([[1, 1, 1]], key="b")).model_version == "2"

    # All are sent together. When the first is answered, the others are in progress.
    accepted = [running.stub.ModelInfer.future(infer_request([[1, 1, 1]], key=f"k{n}")) for n in range(50)]
    accepted[0].result()
    assert running.terminate() == 0
    assert [call.exception() for call in accepted] == [None] * len(accepted)

    records = running.telemetry()
    assert records[-1].boot_id == records[0].boot_id
    assert any(record.gateway_status.leaving for record in records)
    reports = [record.evidence for record in records if record.HasField("evidence")]
    last = [report for report in reports if report.epoch == second][-1]
    candidate = next(arm for arm in last.arms if arm.arm == telemetry.ARM_CANDIDATE)
    assert (candidate.version, candidate.requests, candidate.keys) == (2, 51, 51)

    # What was answered is recorded too, up to the last request.
    recorded = newest(running.log, "fraud", 100, running.log.end(topics.PREDICTIONS))
    assert [each.version for each in recorded] == [1] + [2] * 51
    assert {(each.release, each.arm) for each in recorded} == {
        (1, telemetry.ARM_CANDIDATE),
        (2, telemetry.ARM_CANDIDATE),
    }
    assert len({each.key_hash for each in recorded}) == 52
    (features,), (answer,) = recorded[0].inputs, recorded[0].outputs
    assert (features.shape, len(features.raw), answer.name != "") == ([1, 3], 12, True)
