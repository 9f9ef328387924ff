"""A registry whose disk takes no more bytes."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from headgate.log import topics
from headgate.log.port import Message
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from tests.drain.processes import Installation, ServiceProcess
from tests.metrics.exposed import get
from tests.waiting import PATIENCE_SECONDS

FULL = "the log takes no records"
SPACE = "the log takes records again"
DOCTOR = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
from headgate.cli.main import main
main()
"""


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """A log whose journal is larger than every other file, so that a limit of its size meets the journal alone."""
    found = Installation(tmp_path)
    found.log.append(Message(topics.TELEMETRY, b"key", b"x" * 900_000))
    return found


def journal_bytes(installation: Installation) -> int:
    return (installation.folder / "log.db-wal").stat().st_size


def create(process: ServiceProcess, model: str) -> None:
    stub = registry_service_grpc.RegistryServiceStub(process.channel)
    stub.CreateModel(registry_service.CreateModelRequest(model=model, request_id=model), timeout=PATIENCE_SECONDS)


def limit(process: ServiceProcess, size_bytes: int) -> None:
    resource.prlimit(process._process.pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


def errors_of_the_log(process: ServiceProcess) -> float:
    _, text = get(process.metrics_port, "/metrics")
    lines = (line for line in text.splitlines() if line.startswith("headgate_log_errors_total"))
    return sum(float(line.split()[-1]) for line in lines)


def test_a_create_on_a_full_disk_is_unavailable_with_the_cause_and_works_when_there_is_space(
    installation: Installation,
) -> None:
    with installation.running("registry") as process:
        process.await_ready()
        create(process, "fraud")
        limit(process, journal_bytes(installation))
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as refused:
                create(process, "churn")
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "the disk of the log cannot be read or written" in refused.value.details()
        assert errors_of_the_log(process) >= 2
        limit(process, resource.RLIM_INFINITY)
        create(process, "churn")
        process.terminate()
        process.exit_code()
        assert [message for message in process.messages() if message in (FULL, SPACE)] == [FULL, SPACE]
        assert [json.loads(line)["level"] for line in process.lines if FULL in line] == ["error"]
    installation.log.close()


def test_doctor_names_a_log_that_cannot_be_written(installation: Installation) -> None:
    command = [sys.executable, "-c", DOCTOR, str(journal_bytes(installation)), "--log", installation.url, "doctor"]
    ended = subprocess.run(
        command, cwd=installation.folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert "WRONG  log: nothing was written: the disk of the log cannot be read or written" in ended.stdout, ended
    installation.log.close()
