"""A purge over a real log and a real store: the registry records the fact, and the running trainer deletes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.artifacts.keys import create_keys, load_signing_key
from headgate.artifacts.manifest import seal
from headgate.artifacts.store import ArtifactStore, open_store
from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.port import Message
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.registry import app as registry_app
from services.registry.settings import Settings as RegistrySettings
from services.trainer import app
from services.trainer.attempt.scratch import scratch_of
from services.trainer.settings import Settings
from tests.waiting import until

STREAM = "models/tiny"
SHARED = b"the same rows in both versions"
LONG_AGO = 1_000_000_000


class Site:
    """A log, a registry and a store, with versions that another trainer has trained."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = f"sqlite:///{directory}/log.db"
        create_keys(directory / "keys")
        self.log = open_log(self.url)
        self.registry = registry_app.build(RegistrySettings(log=self.url, port=0))
        self.registry.start()
        self.fold = LifecycleFold(self.log)
        self.fold.start()
        self.store: ArtifactStore = open_store(f"file://{directory}/artifacts")
        self.trainers: list[app.Trainer] = []

    def start_trainer(self) -> None:
        trainer = app.build(
            Settings(
                log=self.url,
                artifacts=f"file://{self.directory}/artifacts",
                keys=self.directory / "keys",
                work=self.directory / "work",
            )
        )
        self.trainers.append(trainer)
        trainer.start()

    def train(self, number: int) -> facts.Artifact:
        key = load_signing_key(self.directory / "keys")
        files = {"model.onnx": b"network %d" % number, "test.safetensors": SHARED}
        artifact = seal(self.store, files, f"{STREAM}/versions/{number}", key)
        create = commands.CreateVersion(repository="/here", commit=f"{number:040x}")
        claim = commands.StartTesting(version=number, attempt=1, worker="trainer-9", lease_ms=60_000)
        numbers = {"version": number, "attempt": 1}
        described = configuration.ModelConfiguration(model="tiny", task="binary")
        tested = facts.CodeTested(**numbers, passed=True, configuration=described)
        started, finished = facts.TrainingStarted(**numbers), facts.TrainingFinished(**numbers, artifact=artifact)
        self.issue(number, "create", create_version=create)
        self.issue(number, "claim", start_testing=claim)
        self.issue(number, "tested", report_code_tested=commands.ReportCodeTested(fact=tested))
        self.issue(number, "started", report_training_started=commands.ReportTrainingStarted(fact=started))
        self.issue(number, "finished", report_training_finished=commands.ReportTrainingFinished(fact=finished))
        until(lambda: self.version(number).build == resources.BUILD_STATE_TRAINED, f"version {number} is trained")
        return artifact

    def version(self, number: int) -> resources.Version:
        with self.fold.lock:
            state = self.fold.models.get("tiny")
            return state.versions.get(number) or resources.Version() if state else resources.Version()

    def purge(self, number: int) -> None:
        self.issue(number, "archive", archive_version=commands.ArchiveVersion(version=number, reason="old"))
        self.issue(number, "purge", purge_version=commands.PurgeVersion(version=number, reason="old"))
        until(lambda: self.version(number).retention == resources.RETENTION_STATE_PURGED, "the purge is a fact")

    def issue(self, number: int, what: str, **fields: object) -> None:
        command = commands.Command(command_id=f"test/{number}/{what}", stream=STREAM, actor="test", **fields)  # type: ignore[arg-type]
        self.log.append(Message(topics.COMMANDS, STREAM.encode(), command.SerializeToString()))

    def make_everything_old(self) -> None:
        for file in (self.directory / "artifacts" / "blobs").rglob("*"):
            if file.is_file():
                os.utime(file, (LONG_AGO, LONG_AGO))

    def stored(self) -> set[str]:
        return {file.name for file in (self.directory / "artifacts" / "blobs").rglob("*") if file.is_file()}

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


def blobs(artifact: facts.Artifact) -> set[str]:
    return {artifact.manifest_sha256, *(file.sha256 for file in artifact.files)}


def test_a_purged_version_leaves_the_store_and_a_kept_one_stays_whole(site: Site) -> None:
    first, second = site.train(1), site.train(2)
    site.make_everything_old()
    assert site.stored() == blobs(first) | blobs(second)
    site.start_trainer()
    site.purge(1)
    until(lambda: site.stored() == blobs(second), "the bytes of version 1 alone are deleted")
    assert [site.store.get(file.sha256) for file in second.files] == [b"network 2", SHARED]
    site.purge(2)
    until(lambda: site.stored() == set(), "the bytes of version 2 are deleted too")


def test_a_trainer_that_starts_later_makes_the_deletions_that_are_due(site: Site) -> None:
    site.train(1)
    site.purge(1)
    site.make_everything_old()
    site.store.replace(f"checkpoints/{STREAM}/versions/1", b"state")
    left = scratch_of(site.directory / "work", "trainer-0") / "attempt-left"
    left.mkdir(parents=True)
    site.start_trainer()
    assert not left.exists()
    until(lambda: not site.stored() and not list(site.store.names("checkpoints")), "the store is empty")
