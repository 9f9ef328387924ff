"""The gateway as a process of its own, with a real log and signed artifacts."""

import os
import re
import signal
import subprocess
import sys
import threading

import grpc

from headgate.artifacts.keys import create_keys
from headgate.artifacts.layout import MODEL_FILE
from headgate.artifacts.manifest import seal
from headgate.artifacts.store import open_store
from headgate.inference import grpc_predict_v2_pb2_grpc as inference_grpc
from headgate.log import topics
from headgate.log.open import open_log
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import telemetry_pb2 as telemetry
from tests.gateway.fact_writer import FactWriter
from tests.gateway.harness import until
from tests.waiting import PATIENCE_SECONDS


class Running:
    def __init__(self, directory):
        self.directory = directory
        self.url = f"sqlite:///{directory}/log.db"
        self.log = open_log(self.url)
        self.log.create_topics(topics.TOPICS)
        self.fraud = FactWriter(self.log, "models/fraud")
        self._store = open_store((directory / "store").as_uri())

    def start(self, **settings):
        """Waits until it is ready. `settings` are more variables."""
        environ = os.environ | {
            "HEADGATE_LOG": self.url,
            "HEADGATE_ARTIFACTS": (self.directory / "store").as_uri(),
            "HEADGATE_KEYS": str(self.directory / "keys"),
            "HEADGATE_PORT": "0",
            "HEADGATE_PREDICTION_RATE": "1",
            **settings,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.gateway"], env=environ, stderr=subprocess.PIPE, text=True
        )
        self._log_lines = ""
        for line in self.process.stderr:
            self._log_lines += line
            if found := re.search(r"port=(\d+)", line):
                break
        else:
            raise AssertionError("the gateway ended before it was ready")
        self._drain = threading.Thread(target=self._keep_log)
        self._drain.start()
        self.address = f"127.0.0.1:{found[1]}"
        self.channel = grpc.insecure_channel(self.address)
        self.stub = inference_grpc.GRPCInferenceServiceStub(self.channel)
        return self

    def _keep_log(self):
        self._log_lines += self.process.stderr.read()

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

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) / 1024

    def libraries(self):
        """The files that are mapped into the process."""
        with open(f"/proc/{self.process.pid}/maps") as maps:
            return {line.rpartition("/")[2].strip() for line in maps if "/" in line}

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def close(self):
        self.process.kill()
        self.process.wait()
        self._drain.join()
        print(self._log_lines)  # pytest shows it where a test failed
        self.process.stderr.close()
        self.channel.close()
        self.log.close()
