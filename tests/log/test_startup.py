"""A service whose log or topics are missing or differ: it reports that it waits, or it ends with the reason."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.driver import environ, headgate
from headgate.log import topics
from headgate.log.port import LogUnavailable
from headgate.log.startup import await_log
from tests.kafka_admin import grow_topics
from tests.kafka_broker import KafkaBroker
from tests.waiting import PATIENCE_SECONDS

ABSENT_LOG = "kafka://127.0.0.1:1?sasl_mechanism=PLAIN&sasl_plain_username=u&sasl_plain_password=s3cret"

pytestmark = pytest.mark.kafka


class Service:
    """One service as a process, and what it logs."""

    def __init__(self, name: str, folder: Path, log: str, wait_seconds: float) -> None:
        self._log_file = folder / f"{name}.log"
        settings = {"HEADGATE_LOG": log, "HEADGATE_PORT": "0", "HEADGATE_LOG_WAIT_SECONDS": str(wait_seconds)}
        with self._log_file.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"services.{name}"], env={**environ(), **settings}, stdout=output, stderr=output
            )

    def logged(self) -> str:
        return self._log_file.read_text()

    def wait_for(self, words: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while words not in self.logged():
            assert time.monotonic() < deadline, f"never logged {words!r}: {self.logged()}"
            assert self._process.poll() is None, f"ended: {self.logged()}"
            threading.Event().wait(0.05)

    def ended(self) -> int:
        return self._process.wait(PATIENCE_SECONDS)

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def services() -> Iterator[list[Service]]:
    started: list[Service] = []
    yield started
    for service in started:
        service.kill()


def test_a_service_waits_for_its_broker_and_its_topics_and_refuses_topics_that_differ(
    own_broker: KafkaBroker, services: list[Service], tmp_path: Path
) -> None:
    url = f"kafka://{own_broker.address}"
    early = Service("registry", tmp_path, url, wait_seconds=300)
    services.append(early)
    early.wait_for("waiting for the log at")
    own_broker.start()
    early.wait_for("`headgate topics apply` creates them")
    subprocess.run([*headgate(), "--log", url, "topics", "apply"], env=environ(), check=True, capture_output=True)
    early.wait_for("ready")
    assert early.stop() == 0

    grow_topics(own_broker.address, {topics.INBOX: 13})
    late = Service("deployer", tmp_path, url, wait_seconds=300)
    services.append(late)
    assert late.ended() == 65
    assert "headgate.inbox: partitions is 13, declared is 12" in late.logged()
    assert "Traceback" not in late.logged()


def test_services_and_commands_stop_waiting_at_their_limit_or_on_a_signal(
    services: list[Service], tmp_path: Path
) -> None:
    patient = Service("registry", tmp_path, ABSENT_LOG, wait_seconds=300)
    hasty = Service("deployer", tmp_path, ABSENT_LOG, wait_seconds=0.5)
    services += [patient, hasty]
    commands = [
        subprocess.Popen(
            [*headgate(), "--log", ABSENT_LOG, "--log-wait-seconds", "0.5", *command],
            cwd=tmp_path,
            env=environ(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in (["up", "--base-port", "0"], ["log", "tail"])
    ]
    assert hasty.ended() == 69
    last = json.loads(hasty.logged().splitlines()[-1])
    assert (last["level"], "stopped waiting for the log" in last["message"]) == ("error", True)
    assert "ECONNREFUSED" in last["message"]
    patient.wait_for("waiting for the log")
    assert patient.stop() == 0
    errors = [command.communicate(timeout=PATIENCE_SECONDS)[1] for command in commands]
    assert [command.returncode for command in commands] == [4, 4]
    assert all("stopped waiting for the log at kafka://127.0.0.1:1" in words for words in errors)
    for words in (*errors, *(service.logged() for service in services)):
        assert "s3cret" not in words
        assert "Traceback" not in words


def test_the_wait_is_reported_at_intervals_and_ends_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.log.kafka.client.BOOTSTRAP_SECONDS", 0.1)
    monkeypatch.setattr("headgate.log.startup.REPORT_EVERY_SECONDS", 0.0)
    reports: list[str] = []
    pauses = iter([False, False, True])
    with pytest.raises(LogUnavailable, match="stopped waiting"):
        await_log(ABSENT_LOG, 300, reports.append, lambda seconds: next(pauses))
    assert len(reports) == 3
    assert all("waiting for the log" in line and "s3cret" not in line for line in reports)
