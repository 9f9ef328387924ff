"""A trainer that gets SIGTERM in the middle of an attempt."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.lifecycle.replay import fold_all
from headgate.log import topics
from headgate.log.port import Message
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from tests.drain.builds import build
from tests.drain.processes import Installation, ServiceProcess
from tests.metrics.exposed import get, until
from tests.trainer.beside import WAITS, began, let_end
from tests.trainer.repositories import repository
from tests.waiting import PATIENCE_SECONDS, stretched

GRACE_SECONDS = 4.0


class Attempt:
    """A version whose own tests wait until `end` is called, and then fail."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        path, commit = repository(installation.folder / "tiny", tests=f"python -c '{WAITS}; sys.exit(1)'")
        create = commands.CreateVersion(repository=path, commit=commit)
        command = commands.Command(command_id="create", stream="models/tiny", actor="test", create_version=create)
        installation.log.append(Message(topics.COMMANDS, b"models/tiny", command.SerializeToString()))

    def await_begun(self) -> None:
        until(lambda: began(self.installation.folder), "the tests")

    def end(self) -> None:
        let_end(self.installation.folder)

    def version(self) -> resources.Version:
        return fold_all(self.installation.log).models["tiny"].versions[1]


@pytest.fixture
def attempt(tmp_path: Path) -> Iterator[Attempt]:
    installation = Installation(tmp_path)
    registry = build("registry", installation, metrics_port=0)
    registry.start()
    yield Attempt(installation)
    registry.stop(5)
    installation.log.close()


def terminated(trainer: ServiceProcess, attempt: Attempt) -> worker_services_grpc.TrainerServiceStub:
    """Ends the trainer during the attempt. Returns a stub as soon as the trainer reports that it drains."""
    attempt.await_begun()
    trainer.terminate()
    until(lambda: trainer.readiness() == (503, "draining"), "the drain")
    return worker_services_grpc.TrainerServiceStub(trainer.channel)


def test_an_attempt_that_ends_within_the_grace_is_reported(attempt: Attempt) -> None:
    with attempt.installation.running("trainer", grace_seconds=20) as trainer:
        stub = terminated(trainer, attempt)
        assert trainer.health("headgate.v1.TrainerService") == 2, "not serving"
        assert get(trainer.metrics_port, "/livez") == (200, "alive\n")
        (listed,) = stub.ListAttempts(worker_services.ListAttemptsRequest(), timeout=PATIENCE_SECONDS).attempts
        assert listed.running
        trainer.terminate()  # A second signal does not end the drain.
        assert trainer.readiness() == (503, "draining")
        attempt.end()
        assert trainer.exit_code()[0] == 0
    until(lambda: attempt.version().build == resources.BUILD_STATE_TESTS_FAILED, "the report")


def test_an_attempt_that_does_not_end_within_the_grace_is_abandoned_and_not_reported_as_failed(
    attempt: Attempt,
) -> None:
    grace_seconds = stretched(GRACE_SECONDS)
    with attempt.installation.running("trainer", grace_seconds=grace_seconds) as trainer:
        terminated(trainer, attempt)
        code, seconds = trainer.exit_code()
        assert (code, seconds < grace_seconds) == (0, True)
    left = list((attempt.installation.folder / "work").glob("worker-*/*"))
    assert left == [], "the working folder is empty"
    version = attempt.version()
    assert (version.build, version.attempt, version.failure) == (resources.BUILD_STATE_TESTING, 1, "")
