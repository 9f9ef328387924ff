"""Registries as processes on one log, clients that write to them in parallel, and checks of the log afterwards."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import grpc

from examples.driver import environ
from headgate.client.stubs import serves
from headgate.lifecycle.fold import Fold
from headgate.log import topics
from headgate.log.port import EventLog
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from tests.registry.waiting import REPOSITORY, commit
from tests.server_process import freeze
from tests.waiting import PATIENCE_SECONDS

CALL_SECONDS = 20.0
PASSING = (grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
"""After these statuses a client sends the same request again."""


class RegistryProcess:
    """`python -m services.registry` with a name and a port that stay the same when it is started again."""

    def __init__(self, log: str, name: str, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = int(free.getsockname()[1])
        self.name = name
        self._output = folder / f"{name}.log"
        self._environ = {**environ(), "HEADGATE_LOG": log, "HEADGATE_PORT": str(self._port), "HEADGATE_NAME": name}
        self._environ |= settings or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Starts the process without waiting for it."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.registry"], env=self._environ, stdout=output, stderr=output
            )

    def wait_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not serves(self.address):
            assert time.monotonic() < deadline, self._output.read_text()[-2000:]

    def cores(self) -> list[set[int]]:
        """The CPU cores on which each of its threads may run."""
        assert self._process is not None
        found = []
        for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
            with suppress(ProcessLookupError):  # The thread has ended meanwhile.
                found.append(os.sched_getaffinity(int(thread.name)))
        return found

    def pause(self) -> None:
        """Stops the process in the middle of its work, until `resume`."""
        assert self._process is not None
        freeze(self._process)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends the process by SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)  # A paused process gets other signals only after this one.
            process.wait(PATIENCE_SECONDS)


class Writers:
    """Clients that create versions of `model`, each one version after the other.

    After a passing error a client sends the same request to the next registry, because the command may have been
    executed.
    """

    def __init__(self, addresses: Sequence[str], model: str, count: int) -> None:
        self.acknowledged: dict[str, int] = {}
        """The version in the response, by request id."""
        self._channels = [grpc.insecure_channel(address) for address in addresses]
        self._stubs = [registry_service_grpc.RegistryServiceStub(channel) for channel in self._channels]
        self._model = model
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(count)]
        self._count = count
        for thread in self._threads:
            thread.start()

    def wait_for(self, more: int, seconds: float = 60.0) -> float:
        """Waits until `more` further versions are acknowledged. Returns the seconds that it took."""
        began, wanted = time.monotonic(), len(self.acknowledged) + more
        while len(self.acknowledged) < wanted:
            assert time.monotonic() - began < seconds, f"{len(self.acknowledged)} of {wanted} after {seconds:g} s"
            self._stopping.wait(0.01)
        return time.monotonic() - began

    def stop(self) -> None:
        """Stops the clients after the response to their last request."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(3 * CALL_SECONDS)
            assert not thread.is_alive(), "a request was never answered"
        for channel in self._channels:
            channel.close()

    def _run(self, writer: int) -> None:
        number = writer
        while not self._stopping.is_set():
            request = registry_service.CreateVersionRequest(
                parent=f"models/{self._model}",
                repository=REPOSITORY,
                commit=commit(number),
                request_id=f"{self._model}-{number}",
            )
            self.acknowledged[request.request_id] = self._create(request, writer)
            number += self._count

    def _create(self, request: registry_service.CreateVersionRequest, at: int) -> int:
        while True:
            try:
                return int(self._stubs[at % len(self._stubs)].CreateVersion(request, timeout=CALL_SECONDS).version)
            except grpc.RpcError as error:
                if error.code() not in PASSING:
                    raise
                at += 1
                threading.Event().wait(0.02)


def chain_of(log: EventLog) -> tuple[Fold, dict[str, list[int]]]:
    """A new fold of all records, and the versions that each command id created."""
    fold = Fold()
    created: dict[str, list[int]] = {}
    for partition, end in log.end(topics.LIFECYCLE).items():
        offset = 0
        while offset < end:
            for record in log.read(topics.LIFECYCLE, partition, offset):
                accepted = fold.apply(record)
                if accepted is not None:
                    created.setdefault(accepted.command_id, []).append(accepted.version_created.version)
                offset = record.offset + 1
    return fold, created


def assert_each_exactly_once(acknowledged: Mapping[str, int], log: EventLog, model: str) -> Fold:
    """Asserts that each acknowledged command created the version in its response exactly once, in an unbroken chain."""
    fold, created = chain_of(log)
    assert {command: created.get(command) for command in acknowledged} == {
        command: [version] for command, version in acknowledged.items()
    }
    versions = sorted(fold.models[model].versions)
    assert versions == list(range(1, len(versions) + 1))
    assert max(len(numbers) for numbers in created.values()) == 1, "a command was executed twice"
    assert not fold.streams[f"models/{model}"].broken
    return fold
