"""Over Kafka: each service, the broker and all of them together are killed during a release, which still completes.

Each killed process is back, or its work goes on, within RECOVERY_SECONDS. A client writes all the time. Every command
that was acknowledged to it is in the log exactly once.
"""

import itertools
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from examples.driver import Facts, Running, Traffic
from headgate.client.stubs import serves
from headgate.lifecycle.fold import Fold
from headgate.log import topics
from headgate.log.open import open_log
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from tests import waiting
from tests.journeys.imported import MODEL, ROWS, import_version
from tests.kafka_broker import KafkaBroker
from tests.trainer.repositories import repository
from tests.waiting import stretched

STREAM = f"models/{MODEL}"
RECOVERY_SECONDS = 15.0
LIVE_SECONDS = 240.0
CALL_SECONDS = 5.0
REQUESTS_PER_SECOND, LATER_REQUESTS_PER_SECOND = 15, 100

FEW_KEYS = 10
"""Keys of a client during the kills. A gateway that was killed counts them again, and still no step has enough."""

# The release goes on when the clients use more keys, and not earlier however long the kills take.
POLICY = """
bake_seconds = 3
[judge]
pass_ceiling = 0.1
[[steps]]
weight_percent = 30
min_seconds = 1
min_keys = 100
[[steps]]
weight_percent = 60
min_seconds = 1
min_keys = 100
"""

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]


class Writer:
    """A client that sets a tag to one number after the other. It repeats each request until it succeeds."""

    def __init__(self, running: Running) -> None:
        self.acknowledged: list[tuple[str, float]] = []
        self._registry = running.stubs.registry
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2 * CALL_SECONDS)

    def wait_for_an_answer_to_a_command_sent_after(self, moment: float) -> float:
        return until(lambda: any(sent > moment for _, sent in self.acknowledged), "a command is acknowledged")

    def _run(self) -> None:
        for number in itertools.count():
            request = registry_service.TagVersionRequest(
                name=f"{STREAM}/versions/1", key="probe", value=str(number), request_id=f"probe-{number}"
            )
            sent = time.monotonic()
            while not self._answered(request):
                if self._stopping.wait(0.1):
                    return
            self.acknowledged.append((request.request_id, sent))
            if self._stopping.wait(0.05):
                return

    def _answered(self, request: registry_service.TagVersionRequest) -> bool:
        try:
            self._registry.TagVersion(request, timeout=CALL_SECONDS)
        except grpc.RpcError:
            return False
        return True


def until(holds: Callable[[], bool], what: str) -> float:
    """Waits until the condition holds. Returns how long it took, in seconds."""
    began = time.monotonic()
    waiting.until(holds, what, seconds=stretched(RECOVERY_SECONDS), pause_seconds=0.05)
    return time.monotonic() - began


def wait(running: Running, found: Callable[[facts.LifecycleRecord], bool], what: str) -> None:
    watched = Facts(running.stubs, STREAM, lambda record: None)
    try:
        watched.wait(found, what, LIVE_SECONDS)
    finally:
        watched.close()


def kill(running: Running, service: str) -> float:
    """Kills one service with SIGKILL. Returns the time."""
    os.kill(running.pids()[service], signal.SIGKILL)
    return time.monotonic()


def kill_and_wait(running: Running, service: str) -> float:
    """Kills the service. Returns how long it took until its next process answers, in seconds."""
    old, tls = running.pids()[service], running.tls()
    kill(running, service)
    return until(
        lambda: running.pids().get(service, old) != old and serves(running.address(service), tls=tls),
        f"{service} is back",
    )


def kill_each(running: Running, writer: Writer, broker: KafkaBroker) -> dict[str, float]:
    """Kills each service and the broker. Returns the seconds until the work of each went on."""
    took = {"registry": writer.wait_for_an_answer_to_a_command_sent_after(kill(running, "registry"))}
    folder, _ = repository(running.folder / "repository", name=MODEL)
    running.command("publish", folder)
    wait(running, lambda record: record.testing_started.version == 3, "v3 is claimed")
    began = kill(running, "trainer")
    wait(running, lambda record: record.testing_started.attempt == 2, "v3 is claimed again")
    took["trainer"] = time.monotonic() - began
    for service in ("evaluator", "deployer", "gateway"):
        took[service] = kill_and_wait(running, service)
    broker.kill()
    broker.start()
    took["broker"] = writer.wait_for_an_answer_to_a_command_sent_after(time.monotonic())
    assert phase(running) == "PHASE_STEPPING", "everything is killed during the release"
    return took


def phase(running: Running) -> str:
    printed = running.command("release", "get", f"{MODEL}/2", "-o", "json")
    return str(json.loads(printed)["phase"])


def test_a_release_completes_although_each_service_and_the_broker_are_killed(
    own_broker: KafkaBroker, tmp_path: Path
) -> None:
    url = f"kafka://{own_broker.start().address}"
    (tmp_path / "policy.toml").write_text(POLICY)
    with Running(tmp_path, url) as running:
        running.command("environment", "set-policy", "production", "policy.toml")
        import_version(running, 1)
        wait(running, lambda record: record.release_completed.release == 1, "v1 goes live")
        import_version(running, 2)
        wait(running, lambda record: record.weights_applied.release == 2, "the canary of v2")
        running.kill()
        running.start()
        traffic, writer = Traffic(running.stubs, MODEL, ROWS, REQUESTS_PER_SECOND), Writer(running)
        more_traffic = Traffic(running.stubs, MODEL, ROWS, LATER_REQUESTS_PER_SECOND)
        traffic.most_keys = FEW_KEYS
        try:
            traffic.start()
            writer.start()
            took = kill_each(running, writer, own_broker)
            writer.stop()
            more_traffic.start()
            wait(running, lambda record: record.release_completed.release == 2, "v2 goes live")
            wait(running, lambda record: record.gate_decided.version == 3, "the verdict on v3")
        finally:
            writer.stop()
            traffic.stop()
            more_traffic.stop()
        assert '"production": 2' in running.command("model", "get", MODEL, "-o", "json")
        running.command("replay")
    print("back after:", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items()))
    assert max(took.values()) < stretched(RECOVERY_SECONDS)
    assert len(writer.acknowledged) > 20
    times_accepted = accepted_commands(url)
    assert {command: times_accepted[command] for command, _ in writer.acknowledged} == {
        command: 1 for command, _ in writer.acknowledged
    }


def accepted_commands(url: str) -> Counter[str]:
    """How many accepted facts each command id has."""
    log, fold, found = open_log(url), Fold(), Counter[str]()
    for partition, end in log.end(topics.LIFECYCLE).items():
        offset = 0
        while offset < end:
            for record in log.read(topics.LIFECYCLE, partition, offset):
                accepted = fold.apply(record)
                found.update([accepted.command_id] if accepted else [])
                offset = record.offset + 1
    log.close()
    return found
