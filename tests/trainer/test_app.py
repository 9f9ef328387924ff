"""The trainer on a real log beside a real registry. Nothing here starts torch."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from headgate.artifacts.keys import create_keys
from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.port import Message
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from services.registry import app as registry_app
from services.registry.settings import Settings as RegistrySettings
from services.trainer import app
from services.trainer.settings import Settings
from tests.trainer.beside import WAITS, began, is_running, let_end
from tests.trainer.programs.test_processes import eventually
from tests.trainer.repositories import repository
from tests.waiting import PATIENCE_SECONDS, stretched, until

FAILING = "python -c 'raise SystemExit(1)'"


class Site:
    """A log, a registry, and as many trainers as a test starts."""

    def __init__(self, directory: Path) -> None:
        url = f"sqlite:///{directory}/log.db"
        create_keys(directory / "keys")
        self.log = open_log(url)
        self.registry = registry_app.build(RegistrySettings(log=url, port=0))
        self.registry_port = self.registry.start()
        self.fold = LifecycleFold(self.log)
        self.fold.start()
        self.settings = Settings(
            log=url, artifacts=f"file://{directory}/artifacts", keys=directory / "keys", work=directory / "work"
        )
        self.trainers: list[app.Trainer] = []

    def trainer(self) -> tuple[app.Trainer, worker_services_grpc.TrainerServiceStub]:
        trainer, address = self.start_trainer()
        return trainer, worker_services_grpc.TrainerServiceStub(grpc.insecure_channel(address))

    def start_trainer(self) -> tuple[app.Trainer, str]:
        """A running trainer and its address."""
        trainer = app.build(self.settings)
        self.trainers.append(trainer)
        return trainer, f"127.0.0.1:{trainer.start()}"

    def create(self, source: tuple[str, str], command_id: str = "create") -> None:
        create = commands.CreateVersion(repository=source[0], commit=source[1])
        command = commands.Command(command_id=command_id, stream="models/tiny", actor="test", create_version=create)
        self.log.append(Message(topics.COMMANDS, b"models/tiny", command.SerializeToString()))

    def until(self, holds: Callable[[resources.Version], bool], number: int = 1) -> resources.Version:
        deadline, revision = threading.Event(), -1
        timer = threading.Timer(PATIENCE_SECONDS, deadline.set)
        timer.daemon = True
        timer.start()
        while not deadline.is_set():
            with self.fold.lock:
                state = self.fold.models.get("tiny")
                if state and number in state.versions and holds(state.versions[number]):
                    timer.cancel()
                    return state.versions[number]
            revision = self.fold.wait_change(revision, 0.5)
        pytest.fail(f"version {number} is {state.versions if state else 'not there'}")

    def close(self) -> None:
        for trainer in self.trainers:
            trainer.stop(10)
        self.fold.close()
        self.registry.stop(5)
        self.log.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def test_a_version_whose_tests_fail_is_on_record_and_in_the_list_of_attempts(site: Site, tmp_path: Path) -> None:
    _, stub = site.trainer()
    site.create(repository(tmp_path / "tiny", tests=FAILING))
    version = site.until(lambda version: version.build == resources.BUILD_STATE_TESTS_FAILED)
    assert (version.attempt, version.failure) == (1, "tests ended with 1")
    (attempt,) = stub.ListAttempts(worker_services.ListAttemptsRequest()).attempts
    assert (attempt.model, attempt.version, attempt.attempt, attempt.running) == ("tiny", 1, 1, False)
    assert list(stub.WatchEpochs(worker_services.WatchEpochsRequest(name="models/tiny/versions/1"))) == []


def test_a_trainer_that_was_stopped_during_an_attempt_begins_the_next_one_at_once(site: Site, tmp_path: Path) -> None:
    work = tmp_path / "work"
    site.create(repository(tmp_path / "tiny", tests=f"python -c '{WAITS}; sys.exit(1)'"))
    first, _ = site.trainer()
    until(lambda: began(work), "the tests")
    first.stop(stretched(6))
    assert not list(work.rglob("attempt-*"))
    site.trainer()
    until(lambda: began(work), "the tests of the next attempt")
    let_end(work)
    version = site.until(lambda version: version.build == resources.BUILD_STATE_TESTS_FAILED)
    assert version.attempt == 2


def test_a_cancelled_version_frees_the_trainer_at_once_though_its_tests_hang(site: Site, tmp_path: Path) -> None:
    known = f"600.{os.getpid()}"
    hang = f"""python -c 'import time; print("begins to hang", flush=True); open("began", "w"); time.sleep({known})'"""
    _, stub = site.trainer()
    site.create(repository(tmp_path / "tiny", tests=hang))
    until(lambda: began(tmp_path / "work"), "the tests")
    cancel = commands.CancelVersion(version=1, reason="the tests hang")
    command = commands.Command(command_id="cancel", stream="models/tiny", actor="ana", cancel_version=cancel)
    site.log.append(Message(topics.COMMANDS, b"models/tiny", command.SerializeToString()))
    version = site.until(lambda version: version.build == resources.BUILD_STATE_CANCELLED)
    assert (version.failure, version.attempt) == ("cancelled by ana: the tests hang", 1)
    assert eventually(lambda: not stub.ListAttempts(worker_services.ListAttemptsRequest()).attempts[0].running)
    assert not is_running(known)
    parts = list(stub.WatchLogs(worker_services.WatchLogsRequest(name="models/tiny/versions/1")))
    assert [(part.attempt, part.stage, part.text) for part in parts] == [(1, facts.STAGE_TESTS, "begins to hang\n")]
    site.create(repository(tmp_path / "next", tests=FAILING), command_id="second")
    assert site.until(lambda version: version.build == resources.BUILD_STATE_TESTS_FAILED, 2).attempt == 1


def test_epochs_of_a_version_without_an_attempt_here_are_refused(site: Site) -> None:
    _, stub = site.trainer()
    refusals = {
        "models/tiny/versions/7": grpc.StatusCode.NOT_FOUND,
        "models/tiny": grpc.StatusCode.INVALID_ARGUMENT,
        "models/tiny/versions/x": grpc.StatusCode.INVALID_ARGUMENT,
    }
    for name, code in refusals.items():
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.WatchEpochs(worker_services.WatchEpochsRequest(name=name)))
        assert caught.value.code() == code
