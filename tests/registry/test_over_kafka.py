"""Two registries on a real broker: they write one chain, share the intake, and recover from a kill in 15 seconds."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import grpc
import pytest
from kafka import KafkaAdminClient

from examples.driver import environ, headgate
from headgate.cli.logs import differences
from headgate.lifecycle.digest import fold_digest
from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.partitioner import partition_of
from headgate.log.port import PARTITIONS, EventLog, Message
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from tests.conftest import available
from tests.kafka_broker import KafkaBroker
from tests.registry.processes import RegistryProcess, Writers, assert_each_exactly_once
from tests.registry.waiting import REPOSITORY, commit
from tests.waiting import PATIENCE_SECONDS, stretched, until

RECOVERY_SECONDS = 15.0
WRITERS = 16
ALL = list(range(PARTITIONS))
GROUP = f"registry.{topics.COMMANDS}"

pytestmark = pytest.mark.kafka


@dataclass(frozen=True)
class Deployment:
    broker: KafkaBroker
    url: str
    registries: tuple[RegistryProcess, RegistryProcess]
    log: EventLog

    def shares(self) -> dict[str, set[int]]:
        """The partitions of headgate.commands that each registry reads."""
        with closing(KafkaAdminClient(bootstrap_servers=self.broker.address)) as admin:
            (group,) = admin.describe_groups([GROUP]).values()
        return {
            member["group_instance_id"]: {
                partition
                for assigned in (member["member_assignment"] or {}).get("assigned_partitions", ())
                for partition in assigned["partitions"]
            }
            for member in group["members"]
        }

    def is_shared(self) -> bool:
        shares = self.shares()
        held = [partition for share in shares.values() for partition in share]
        return shares.keys() == {"registry-0", "registry-1"} and all(shares.values()) and sorted(held) == ALL

    def seconds_until_executed(self, model: str) -> float:
        """Sends a command for a new model over the log. Returns the seconds until registry-0 knows the model."""
        payload = commands.CreateVersion(repository=REPOSITORY, commit=commit(1))
        command = commands.Command(command_id=f"first-{model}", stream=f"models/{model}", create_version=payload)
        began = time.monotonic()
        self.log.append(Message(topics.COMMANDS, command.stream.encode(), command.SerializeToString()))
        until(lambda: self.knows(model), f"models/{model}")
        return time.monotonic() - began

    def knows(self, model: str) -> bool:
        with grpc.insecure_channel(self.registries[0].address) as channel:
            try:
                registry_service_grpc.RegistryServiceStub(channel).GetModel(
                    registry_service.GetModelRequest(name=f"models/{model}"), timeout=5
                )
            except grpc.RpcError:
                return False
            return True

    def model_of(self, registry: str, label: str) -> str:
        """The name of a model whose commands this registry reads now."""
        share = self.shares()[registry]
        names = (f"{label}-{number}" for number in range(1000))
        return next(name for name in names if partition_of(f"models/{name}".encode(), PARTITIONS) in share)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("registries")
    with ExitStack() as stack:
        broker = available(KafkaBroker)
        stack.callback(broker.close)
        url = f"kafka://{broker.start().address}"
        subprocess.run([*headgate(), "--log", url, "topics", "apply"], env=environ(), check=True, capture_output=True)
        registries = (RegistryProcess(url, "registry-0", folder), RegistryProcess(url, "registry-1", folder))
        for registry in registries:
            stack.callback(registry.stop)
            registry.start()
        for registry in registries:
            registry.wait_ready()
        yield Deployment(broker, url, registries, stack.enter_context(closing(open_log(url))))


def test_two_registries_and_sixteen_writers_on_one_model_make_one_chain(deployment: Deployment) -> None:
    writers = Writers([registry.address for registry in deployment.registries], "fraud", WRITERS)
    took = writers.wait_for(200)
    writers.stop()
    fold = assert_each_exactly_once(writers.acknowledged, deployment.log, "fraud")
    fresh = fold_digest(fold)
    for registry in deployment.registries:
        until(lambda at=registry.address: differences(digest_at(at), fresh) == [], f"{registry.name} agrees")
    print(f"{len(writers.acknowledged)} versions in {took:.1f} s, {fold.void_records} void records")


def test_a_registry_that_was_paused_during_decisions_and_resumed_adds_no_fact_twice(deployment: Deployment) -> None:
    writers = Writers([registry.address for registry in deployment.registries], "held", WRITERS)
    for _ in range(3):
        writers.wait_for(20)
        deployment.registries[1].pause()
        writers.wait_for(20)
        deployment.registries[1].resume()
    writers.wait_for(20)
    writers.stop()
    assert_each_exactly_once(writers.acknowledged, deployment.log, "held")


def test_two_registries_share_the_intake_and_a_restarted_one_gets_its_share_back(deployment: Deployment) -> None:
    until(deployment.is_shared, "both registries hold partitions")
    before = deployment.shares()
    registry = deployment.registries[1]
    model = deployment.model_of("registry-1", "restarted")
    registry.kill()
    registry.start()
    took = deployment.seconds_until_executed(model)
    assert took < stretched(RECOVERY_SECONDS)
    registry.wait_ready()
    assert deployment.shares() == before
    print(f"a command for a restarted registry was executed after {took:.1f} s")


def test_the_commands_of_a_killed_registry_are_executed_by_the_other_one(deployment: Deployment) -> None:
    until(deployment.is_shared, "both registries hold partitions")
    model = deployment.model_of("registry-1", "orphaned")
    deployment.registries[1].kill()
    took = deployment.seconds_until_executed(model)
    assert took < stretched(RECOVERY_SECONDS)
    deployment.registries[1].start()
    deployment.registries[1].wait_ready()
    print(f"a command for a killed registry was executed by the other one after {took:.1f} s")


def test_no_acknowledged_command_is_lost_when_the_broker_is_killed(deployment: Deployment) -> None:
    writers = Writers([registry.address for registry in deployment.registries], "churn", WRITERS)
    writers.wait_for(50)
    deployment.broker.kill()
    deployment.broker.start()
    took = writers.wait_for(1)
    writers.wait_for(50)
    writers.stop()
    assert_each_exactly_once(writers.acknowledged, deployment.log, "churn")
    assert took < stretched(RECOVERY_SECONDS)
    print(f"the first command after the broker's restart was acknowledged after {took:.1f} s")


def digest_at(address: str) -> registry_service.FoldDigest:
    with grpc.insecure_channel(address) as channel:
        return registry_service_grpc.RegistryServiceStub(channel).GetFoldDigest(
            registry_service.GetFoldDigestRequest(), timeout=PATIENCE_SECONDS
        )
