"""Three brokers, three copies of every record: no acknowledged command is lost when a leader dies during appends."""

import itertools
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient

from examples.driver import environ, headgate
from headgate.domain.refusal import Refused
from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.log.kafka.log import KafkaLog
from headgate.log.open import open_log
from headgate.log.partitioner import partition_of
from headgate.log.port import PARTITIONS, LogUnavailable, Message, OutcomeUnknown, Position
from headgate.runtime.clock import now_ms
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import commands_pb2 as commands
from headgate.worker.intake import Contended
from services.registry.decider import Decided, Decider
from tests.conftest import available
from tests.kafka_broker import KafkaCluster
from tests.registry.processes import RegistryProcess, Writers, assert_each_exactly_once
from tests.registry.waiting import REPOSITORY, commit
from tests.waiting import PATIENCE_SECONDS, stretched, until

WRITERS = 8
RECOVERY_SECONDS = 15.0
APPEND_SECONDS = 0.3

pytestmark = pytest.mark.kafka


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    cluster = available(KafkaCluster)
    try:
        yield cluster.start()
    finally:
        cluster.close()


def leaders_of(cluster: KafkaCluster, models: Sequence[str]) -> dict[str, int]:
    """For each model the broker that leads the partition of its facts."""
    with closing(KafkaAdminClient(bootstrap_servers=cluster.address.split(","))) as admin:
        (topic,) = admin.describe_topics([topics.LIFECYCLE])
    leaders = {each["partition_index"]: each["leader_id"] for each in topic["partitions"]}
    return {model: leaders[partition_of(f"models/{model}".encode(), PARTITIONS)] for model in models}


class ImpatientLog(KafkaLog):
    """Waits for an append only for a short time. So the outcome of an append is unknown when the leader dies."""

    unknown = 0
    before_next: Callable[[], None] | None = None
    """Called once, just before an append. At another moment no append might be in progress, and no outcome unknown."""

    def append(self, message: Message, timeout_seconds: float = 10.0) -> Position:
        if self.before_next is not None:
            self.before_next()
            self.before_next = None
        try:
            return super().append(message, min(timeout_seconds, APPEND_SECONDS))
        except OutcomeUnknown:
            self.unknown += 1
            raise


class ImpatientWriter:
    """Decides commands in this process, one after the other. Repeats each under its id until its outcome is known."""

    def __init__(self, cluster: KafkaCluster, model: str) -> None:
        self._model = model
        self.acknowledged: dict[str, int] = {}
        self.log = ImpatientLog(cluster.address.split(","), {})
        self._fold = LifecycleFold(self.log)
        self._fold.start()
        self._decider = Decider(self.log, self._fold, now_ms, Metrics("registry"))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_for_more(self) -> None:
        so_far = len(self.acknowledged)
        until(lambda: len(self.acknowledged) > so_far + 5, "outcomes are known again")

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "a command's outcome never became known"
        self._fold.close()
        self.log.close()

    def _run(self) -> None:
        for number in itertools.count():
            if self._stopping.is_set():
                return
            payload = commands.CreateVersion(repository=REPOSITORY, commit=commit(number))
            command = commands.Command(
                command_id=f"impatient-{number}", stream=f"models/{self._model}", create_version=payload
            )
            while (outcome := self._outcome(command)) is None:
                threading.Event().wait(0.05)
            assert isinstance(outcome, Decided)
            assert outcome.record is not None
            self.acknowledged[command.command_id] = outcome.record.version_created.version

    def _outcome(self, command: commands.Command) -> Decided | Refused | None:
        try:
            return self._decider.execute(command)
        except (LogUnavailable, Contended):
            return None


def test_no_acknowledged_command_is_lost_when_a_leader_dies_during_appends(
    cluster: KafkaCluster, tmp_path: Path
) -> None:
    url = f"kafka://{cluster.address}"
    apply = [*headgate(), "--log", url, "topics", "apply", "--replication", "3", "--min-insync", "2"]
    subprocess.run(apply, env=environ(), check=True, capture_output=True)
    registry = RegistryProcess(url, "registry-0", tmp_path)
    registry.start()
    try:
        registry.wait_ready()
        leaders = leaders_of(cluster, ["fraud", *(f"other-{number}" for number in range(100))])
        other = next(model for model, leader in leaders.items() if leader == leaders["fraud"] and model != "fraud")
        writers, impatient = Writers([registry.address], "fraud", WRITERS), ImpatientWriter(cluster, other)
        writers.wait_for(50)
        until(lambda: len(impatient.acknowledged) > 5, "the impatient writer's first commands")
        impatient.log.before_next = cluster.brokers[leaders["fraud"]].kill
        until(lambda: impatient.log.before_next is None, "an append of the impatient writer")
        took = writers.wait_for(WRITERS)  # the requests that were in progress when the broker died
        writers.wait_for(50)
        writers.stop()
        impatient.wait_for_more()
        impatient.stop()
        with closing(open_log(url)) as log:
            fold = assert_each_exactly_once(writers.acknowledged, log, "fraud")
            assert_each_exactly_once(impatient.acknowledged, log, other)
    finally:
        registry.stop()
    assert took < stretched(RECOVERY_SECONDS)
    assert impatient.log.unknown > 0, "no outcome was unknown, so the test has tested nothing"
    print(f"acknowledged again {took:.1f} s after the leader was lost; {impatient.log.unknown} outcomes were unknown")
    print(f"{fold.void_records} void records")
