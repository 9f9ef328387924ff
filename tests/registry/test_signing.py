"""The registry signs what it has read back from the store, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from headgate.artifacts.keys import SIGNING_KEY, create_keys, load_trusted
from headgate.artifacts.manifest import store_files, unseal
from headgate.artifacts.store import ArtifactStore, open_store, path
from headgate.domain.refusal import Refused
from headgate.log.open import open_log
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.registry.decider import Decider
from services.registry.signing import RETRY_SECONDS, Signing
from tests.domain.scenario import REPOSITORY, commit
from tests.registry.local_decider import decider_on

FILES = {"model.onnx": b"graph", "training.json": b"{}"}
NAME = "models/fraud/versions/1"


@dataclass
class Site:
    """A decider with a signing part, a store and keys in a folder."""

    folder: Path
    decider: Decider
    signing: Signing
    store: ArtifactStore
    sent: int = 0

    def send(self, **body: object) -> None:
        self.sent += 1
        command = commands.Command(command_id=f"c{self.sent}", stream="models/fraud", **body)  # type: ignore[arg-type]
        assert not isinstance(self.decider.execute(command), Refused)

    def train(self, artifact: facts.Artifact, number: int = 1) -> None:
        """A version from its commit to its training, as a trainer reports it."""
        numbers = {"version": number, "attempt": 1}
        declared = configuration.ModelConfiguration(model="fraud")
        tested = facts.CodeTested(passed=True, configuration=declared, **numbers)
        finished = facts.TrainingFinished(artifact=artifact, **numbers)
        self.send(create_version=commands.CreateVersion(repository=REPOSITORY, commit=commit(number)))
        self.send(start_testing=commands.StartTesting(worker="trainer-0", lease_ms=1000, **numbers))
        self.send(report_code_tested=commands.ReportCodeTested(fact=tested))
        started = commands.ReportTrainingStarted(fact=facts.TrainingStarted(**numbers))
        self.send(report_training_started=started)
        self.send(report_training_finished=commands.ReportTrainingFinished(fact=finished))

    def version(self, number: int = 1) -> resources.Version:
        version = resources.Version()
        with self.decider._fold.lock:
            version.CopyFrom(self.decider._fold.models["fraud"].versions[number])
        return version


@contextmanager
def site_in(folder: Path) -> Iterator[Site]:
    store = open_store((folder / "artifacts").as_uri())
    create_keys(folder / "keys")
    with decider_on(open_log(f"sqlite://{folder / 'log.db'}")) as (fold, decider):
        yield Site(folder, decider, Signing(store, folder / "keys", fold, decider, lambda: 7_000), store)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


def test_a_trained_version_is_signed_with_the_registrys_key_and_time(site: Site) -> None:
    site.train(store_files(site.store, FILES))
    assert not site.version().artifact.manifest_sha256
    site.signing.once(0)
    artifact, trusted = site.version().artifact, load_trusted(site.folder / "keys")
    assert unseal(site.store, artifact, NAME, trusted).keys() == FILES.keys()
    assert ((artifact.signed_by,), artifact.signed_at_ms) == (tuple(trusted), 7_000)


def test_a_version_whose_files_are_not_what_the_trainer_reported_is_cancelled_and_holds_up_no_other(site: Site) -> None:
    changed = store_files(site.store, FILES)
    site.store.replace(path(changed.files[0].sha256), b"grapg")
    site.train(changed, 1)
    site.train(store_files(site.store, {"model.onnx": b"another"}), 2)
    site.signing.once(0)
    assert site.version(1).build == resources.BUILD_STATE_CANCELLED
    assert "its artifact cannot be signed: the bytes that are stored as" in site.version(1).failure
    assert site.version(2).artifact.manifest_sha256


def test_a_key_that_cannot_be_read_now_is_tried_again(site: Site) -> None:
    site.train(store_files(site.store, FILES))
    key = site.folder / "keys" / SIGNING_KEY
    key.rename(key.with_suffix(".away"))
    site.signing.once(0)
    key.with_suffix(".away").rename(key)
    site.signing.once(RETRY_SECONDS - 1)
    assert not site.version().artifact.manifest_sha256
    site.signing.once(RETRY_SECONDS)
    assert site.version().artifact.manifest_sha256


def test_a_manifest_of_an_older_trainer_gets_the_registrys_time_and_no_second_signature(site: Site) -> None:
    artifact = store_files(site.store, FILES)
    artifact.manifest_sha256, artifact.signed_at_ms = "ab" * 32, 5
    site.train(artifact)
    site.signing.once(0)
    signed = site.version().artifact
    assert (signed.manifest_sha256, signed.signed_by, signed.signed_at_ms) == ("ab" * 32, "", 1)
