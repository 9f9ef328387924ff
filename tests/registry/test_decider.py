"""Two registries on one log, and a registry that is killed. The chain alone prevents double facts."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc

from headgate.lifecycle.replay import fold_all
from headgate.lifecycle.stream import parse
from headgate.log import topics
from headgate.log.envelope import digest
from headgate.log.open import open_log
from headgate.log.port import EventLog, Record
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from tests.registry.conftest import Running, read_all
from tests.registry.waiting import REPOSITORY, commit
from tests.server_process import free_ports
from tests.waiting import PATIENCE_SECONDS, until

THREADS = 8
VERSIONS_EACH = 4
CLIENTS = 4
BEFORE_THE_KILL = 12
ROUNDS = 40


def create(stub: registry_service_grpc.RegistryServiceStub, number: int) -> int:
    """Creates a version. Sends the request again while other writers win."""
    request = registry_service.CreateVersionRequest(
        parent="models/fraud", repository=REPOSITORY, commit=commit(number), request_id=f"r{number}"
    )
    for _ in range(ROUNDS):
        try:
            return int(stub.CreateVersion(request, timeout=PATIENCE_SECONDS).version)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.ABORTED:
                raise
    raise AssertionError("aborted too often")


def assert_one_chain(records: list[Record]) -> list[str]:
    """Checks every link of the accepted records. Returns the commits in order."""
    head, sequence, commits = b"", 0, []
    for record in records:
        lifecycle = parse(record.value or b"")
        assert lifecycle is not None
        if (lifecycle.sequence, lifecycle.previous_digest) == (sequence + 1, head):
            head, sequence = digest(record.value or b""), sequence + 1
            commits.append(lifecycle.version_created.commit)
    return commits


def test_two_registries_acknowledge_every_version_exactly_once(
    registry: Running, start: Callable[[str], Running]
) -> None:
    other = start("registry-1")
    acknowledged: dict[int, int] = {}

    def write(thread: int) -> None:
        stub = (registry if thread % 2 else other).models
        for step in range(VERSIONS_EACH):
            number = thread * VERSIONS_EACH + step
            acknowledged[number] = create(stub, number)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(write, range(THREADS)))
    commits = assert_one_chain(registry.records(topics.LIFECYCLE))
    assert Counter(commits) == Counter(commit(number) for number in range(THREADS * VERSIONS_EACH))
    assert {number: commits[version - 1] for number, version in acknowledged.items()} == {
        number: commit(number) for number in acknowledged
    }


def test_one_request_sent_to_two_registries_at_once_leads_to_one_version(
    registry: Running, start: Callable[[str], Running]
) -> None:
    other = start("registry-1")
    for number in range(6):
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda stub, n=number: create(stub, n), (registry.models, other.models)))
        assert answers == [number + 1, number + 1]


def launch(log_url: str, port: int) -> "subprocess.Popen[bytes]":
    environ = {**os.environ, "HEADGATE_LOG": log_url, "HEADGATE_PORT": str(port), "HEADGATE_NAME": "registry-0"}
    return subprocess.Popen(
        [sys.executable, "-m", "services.registry"],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def answers(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        try:
            registry_service_grpc.RegistryServiceStub(channel).ListModels(
                registry_service.ListModelsRequest(), timeout=1
            )
        except grpc.RpcError:
            return False
        return True


def create_until_killed(address: str, client: int, acknowledged: "dict[int, int]", enough: threading.Event) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = registry_service_grpc.RegistryServiceStub(channel)
        for number in range(client, 10_000, CLIENTS):
            try:
                acknowledged[number] = create(stub, number)
            except grpc.RpcError:
                return
            if len(acknowledged) >= BEFORE_THE_KILL:
                enough.set()


def commits_of(log: EventLog) -> list[str]:
    state = fold_all(log).models["fraud"]
    return [state.versions[number].commit for number in sorted(state.versions)]


def test_every_version_that_was_acknowledged_before_a_kill_exists_exactly_once_afterwards(log_url: str) -> None:
    port = free_ports(1)[0]
    address = f"127.0.0.1:{port}"
    acknowledged: dict[int, int] = {}
    enough = threading.Event()
    first = launch(log_url, port)
    try:
        until(lambda: answers(address), "the registry")
        with ThreadPoolExecutor(CLIENTS) as pool:
            for client in range(CLIENTS):
                pool.submit(create_until_killed, address, client, acknowledged, enough)
            assert enough.wait(PATIENCE_SECONDS)
            first.send_signal(signal.SIGKILL)
    finally:
        first.kill()
        first.wait()
    second = launch(log_url, port)
    try:
        until(lambda: answers(address), "the registry again")
        with grpc.insecure_channel(address) as channel:
            stub = registry_service_grpc.RegistryServiceStub(channel)
            for number, version in acknowledged.items():
                assert create(stub, number) == version
            again = create(stub, 20_000)
        log = open_log(log_url)
        commits = commits_of(log)
        assert assert_one_chain(read_all(log, topics.LIFECYCLE)) == commits
        log.close()
    finally:
        second.terminate()
        second.wait(PATIENCE_SECONDS)
    assert len(commits) == again
    assert max(Counter(commits).values()) == 1
    assert {number: commits[version - 1] for number, version in acknowledged.items()} == {
        number: commit(number) for number in acknowledged
    }
