"""A registry in this process, on a SQLite log, with its real gRPC server."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.port import EventLog, Record
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from headgate.v1 import release_service_pb2_grpc as release_service_grpc
from services.registry.app import Registry, build
from services.registry.settings import Settings
from tests.waiting import until


@dataclass
class Running:
    """The registry, its stubs and a second connection to its log."""

    registry: Registry
    models: registry_service_grpc.RegistryServiceStub
    releases: release_service_grpc.ReleaseServiceStub
    log: EventLog
    address: str

    def records(self, topic: str) -> list[Record]:
        return read_all(self.log, topic)

    def refusals(self) -> list[commands.Refusal]:
        return [commands.Refusal.FromString(record.value or b"") for record in self.records(topics.REFUSALS)]

    def dead_letters(self, count: int) -> list[commands.DeadLetter]:
        """Waits for at least `count` dead letters and returns them."""
        until(lambda: len(self.records(topics.DEAD_LETTERS)) >= count, f"{count} dead letters")
        return [commands.DeadLetter.FromString(record.value or b"") for record in self.records(topics.DEAD_LETTERS)]


def read_all(log: EventLog, topic: str) -> list[Record]:
    found: list[Record] = []
    for partition, end in log.end(topic).items():
        if end:
            found.extend(log.read(topic, partition, 0))
    return found


@pytest.fixture
def log_url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/log.db"


@pytest.fixture
def start(log_url: str) -> Iterator[Callable[..., Running]]:
    """Starts another registry on the same log, with the given settings."""
    running: list[tuple[Running, grpc.Channel]] = []

    def begin(name: str, **settings: Any) -> Running:
        registry = build(Settings(log=log_url, port=0, name=name, **settings))
        address = f"127.0.0.1:{registry.start()}"
        channel = grpc.insecure_channel(address)
        stubs = registry_service_grpc.RegistryServiceStub(channel), release_service_grpc.ReleaseServiceStub(channel)
        one = Running(registry, *stubs, open_log(log_url), address)
        running.append((one, channel))
        return one

    yield begin
    for one, channel in running:
        channel.close()
        one.registry.stop(2)
        one.log.close()


@pytest.fixture
def registry(start: Callable[[str], Running]) -> Running:
    return start("registry-0")
