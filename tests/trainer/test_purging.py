"""The trainer deletes from a real store what the fold says is purged, and goes on after every crash."""

import hashlib
import os
import threading
from pathlib import Path

import obstore
import pytest
from obstore.store import LocalStore, MemoryStore, ObjectStore

from headgate.artifacts.keys import new_signing_key
from headgate.artifacts.manifest import seal
from headgate.artifacts.store import ArtifactStore, StoreUnavailable, path
from headgate.domain.model import ModelState
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import resources_pb2 as resources
from services.trainer import purging, upload_marks
from services.trainer.purges import GRACE_MS, UPLOADS_KEPT_MS
from services.trainer.purging import LEFTOVERS_SECONDS, RETRY_SECONDS, Purging
from tests.clocks import log_clock
from tests.metrics.exposed import parsed, text_of
from tests.model_states import with_versions

KEY = new_signing_key()
FILES = {1: {"a": b"alone", "b": b"shared", "c": b"also alone"}, 2: {"b": b"shared", "d": b"other"}}
HOUR_MS = 3_600_000


class FoldedModels:
    """The part of the fold that a purge reads, at a log that has just answered."""

    def __init__(self, *versions: resources.Version) -> None:
        self.models: dict[str, ModelState] = {"tiny": with_versions("tiny", *versions)}
        self.lock = threading.RLock()
        self.revision = 0
        self.lost = ""
        self.last_poll_monotonic = purging.time.monotonic()

    def purge(self, number: int) -> None:
        self.models["tiny"].versions[number].retention = resources.RETENTION_STATE_PURGED
        self.revision += 1


class Crash(BaseException):
    """The process ends here."""


class Faulty(ArtifactStore):
    """A real store, some time after everything was stored.

    The deletion of some blobs fails, and the process ends after a number of deletions. Some objects are stored again
    after they are listed.
    """

    def __init__(self, objects: ObjectStore, passed_ms: int) -> None:
        super().__init__(objects)
        self.passed_ms = passed_ms
        self.is_away = False
        self.failing: set[str] = set()
        self.deletions_left = 1_000
        self.renewed: set[str] = set()

    def stored_at_ms(self, name: str) -> int | None:
        return self.time_ms() if name in self.renewed else super().stored_at_ms(name)

    def time_ms(self) -> int:
        if self.is_away:
            raise StoreUnavailable("the bucket refuses")
        return super().time_ms() + self.passed_ms

    def delete_blob(self, sha256: str, stored_before_ms: int) -> int:
        if sha256 in self.failing:
            raise StoreUnavailable("the bucket refuses")
        if self.deletions_left == 0:
            raise Crash
        self.deletions_left -= 1
        return super().delete_blob(sha256, stored_before_ms)


class Site:
    def __init__(self, objects: ObjectStore, passed_ms: int = 0, log_ahead_ms: int = 0) -> None:
        self.objects = objects
        self._clock = log_clock(log_ahead_ms)
        self.store = Faulty(objects, passed_ms)
        versions = [
            resources.Version(
                version=number,
                build=resources.BUILD_STATE_TRAINED,
                retention=resources.RETENTION_STATE_KEPT,
                artifact=seal(self.store, files, f"models/tiny/versions/{number}", KEY),
            )
            for number, files in FILES.items()
        ]
        self.manifests = {version.version: version.artifact.manifest_sha256 for version in versions}
        self.fold = FoldedModels(*versions)
        self.metrics = Metrics("trainer")
        self.purging = self.started()

    def started(self) -> Purging:
        """A trainer that has just started."""
        return Purging(self.store, self.fold, self.metrics, self._clock)  # type: ignore[arg-type]

    def stored(self) -> set[str]:
        return {found["path"].rpartition("/")[2] for page in obstore.list(self.objects, "blobs") for found in page}

    def count(self, name: str) -> float:
        return parsed(text_of(self.metrics)).value(name)


@pytest.fixture(params=["file", "memory"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """More than an hour has passed since everything was stored, so everything in the store is old enough."""
    return Site(LocalStore(tmp_path) if request.param == "file" else MemoryStore(), GRACE_MS + HOUR_MS)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


ALL_OF_SECOND = {sha(b"shared"), sha(b"other")}


def test_a_purge_deletes_the_manifest_and_the_files_that_no_kept_version_names(site: Site) -> None:
    before = site.stored()
    site.purging.once(0)
    assert site.stored() == before
    site.fold.purge(1)
    manifest = len(site.store.get(site.manifests[1]))
    site.purging.once(1)
    assert site.stored() == {site.manifests[2], *ALL_OF_SECOND}
    assert site.count("headgate_purged_bytes_total") == len(b"alone") + len(b"also alone") + manifest
    site.fold.purge(2)
    site.purging.once(2)
    assert site.stored() == set()


@pytest.mark.parametrize("deletions", [0, 1, 2])
def test_a_trainer_that_ended_between_two_deletions_makes_the_rest_after_its_start(site: Site, deletions: int) -> None:
    site.fold.purge(1)
    site.store.deletions_left = deletions
    with pytest.raises(Crash):
        site.purging.once(0)
    assert len(site.stored()) == len({site.manifests[2], *ALL_OF_SECOND}) + 3 - deletions
    site.store.deletions_left = 1_000
    site.started().once(0)
    assert site.stored() == {site.manifests[2], *ALL_OF_SECOND}


def test_a_deletion_that_fails_stops_no_other_one_and_is_tried_again_after_the_pause(site: Site) -> None:
    site.fold.purge(1)
    site.fold.purge(2)
    site.store.failing = {sha(b"alone")}
    site.purging.once(0)
    assert site.stored() == {site.manifests[1], sha(b"alone")}
    assert site.count("headgate_purge_failures_total") == 1
    site.store.failing = set()
    site.purging.once(RETRY_SECONDS - 1)
    assert site.stored() == {site.manifests[1], sha(b"alone")}
    site.purging.once(RETRY_SECONDS)
    assert site.stored() == set()


def test_a_file_that_was_stored_after_the_claim_of_an_open_attempt_waits_for_its_end(site: Site) -> None:
    training = resources.Version(
        version=3, build=resources.BUILD_STATE_TRAINING, retention=resources.RETENTION_STATE_KEPT
    )
    training.lease.claimed_at_ms = 1
    site.fold.models["tiny"] = with_versions("tiny", *site.fold.models["tiny"].versions.values(), training)
    site.fold.purge(1)
    before = site.stored()
    site.purging.once(0)
    assert site.stored() == before
    assert site.count("headgate_purge_failures_total") == 0
    site.fold.models["tiny"].versions[3].build = resources.BUILD_STATE_TRAINING_FAILED
    site.purging.once(RETRY_SECONDS)
    assert site.stored() == {site.manifests[2], *ALL_OF_SECOND}


def test_nothing_is_deleted_while_facts_are_missing_from_the_log(site: Site) -> None:
    site.fold.purge(1)
    site.fold.lost = "records 1 to 7 are missing"
    before = site.stored()
    site.purging.once(0)
    assert site.stored() == before
    site.fold.lost = ""
    site.purging.once(1)
    assert site.stored() == {site.manifests[2], *ALL_OF_SECOND}


def test_a_checkpoint_of_an_ended_training_is_removed_and_that_of_another_log_stays(site: Site) -> None:
    for name in ("checkpoints/models/tiny/versions/1", "checkpoints/models/strange/versions/1"):
        site.store.replace(name, b"state")
    site.purging.once(0)
    assert list(site.store.names("checkpoints")) == ["checkpoints/models/strange/versions/1"]


def test_a_blob_that_is_stored_again_counts_as_new(tmp_path: Path) -> None:
    site = Site(LocalStore(tmp_path))
    for blob in site.stored():
        os.utime(tmp_path / path(blob), (1, 1))
    site.store.put(b"alone")
    site.fold.purge(1)
    site.purging.once(0)
    assert site.stored() == {site.manifests[1], sha(b"alone"), site.manifests[2], *ALL_OF_SECOND}


@pytest.mark.parametrize("log_ahead_ms", [-24 * HOUR_MS, 24 * HOUR_MS])
def test_a_store_whose_clock_differs_from_the_logs_time_loses_nothing_new_and_keeps_nothing_old(
    tmp_path: Path, log_ahead_ms: int
) -> None:
    new = Site(LocalStore(tmp_path / "new", mkdir=True), log_ahead_ms=log_ahead_ms)
    new.fold.purge(1)
    before = new.stored()
    new.purging.once(0)
    assert new.stored() == before
    old = Site(LocalStore(tmp_path / "old", mkdir=True), passed_ms=GRACE_MS + 1_000, log_ahead_ms=log_ahead_ms)
    old.fold.purge(1)
    old.purging.once(0)
    assert old.stored() == {old.manifests[2], *ALL_OF_SECOND}


def test_while_the_store_does_not_answer_nothing_is_deleted_and_it_is_tried_again(site: Site) -> None:
    site.fold.purge(1)
    before, site.store.is_away = site.stored(), True
    site.purging.once(0)
    assert (site.stored(), site.count("headgate_purge_failures_total")) == (before, 1)
    site.store.is_away = False
    site.purging.once(RETRY_SECONDS)
    assert site.stored() == {site.manifests[2], *ALL_OF_SECOND}


def upload(site: Site, data: bytes) -> str:
    """As the trainer stores what a caller sends."""
    upload_marks.mark(site.store, sha(data))
    return site.store.put(data)


@pytest.fixture(params=["file", "memory"])
def later(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """Everything in the store is older than an upload may be."""
    objects = LocalStore(tmp_path) if request.param == "file" else MemoryStore()
    return Site(objects, UPLOADS_KEPT_MS + GRACE_MS + HOUR_MS)


def test_an_upload_that_no_version_was_made_of_is_deleted_and_all_other_files_stay(later: Site) -> None:
    later.store.put(b"of nobody that is known here")
    used, stored = upload(later, b"a model"), later.stored()
    later.fold.models["tiny"].versions[2].upload.model_sha256 = used
    upload(later, b"no model")
    upload_marks.mark(later.store, "0" * 64)  # its blob never came
    later.purging.once(0)
    assert later.stored() == stored
    assert upload_marks.marks(later.store) == {}
    assert later.count("headgate_unused_upload_bytes_total") == len(b"no model")
    assert later.count("headgate_purged_bytes_total") == 0


def test_an_upload_waits_for_its_version_and_for_open_attempts_and_for_missing_facts(later: Site) -> None:
    upload(later, b"no model")
    stored, later.fold.lost = later.stored(), "records 1 to 7 are missing"
    later.purging.once(0)
    assert later.stored() == stored
    later.fold.lost = ""
    training = resources.Version(
        version=3, build=resources.BUILD_STATE_TRAINING, retention=resources.RETENTION_STATE_KEPT
    )
    training.lease.claimed_at_ms = 1
    later.fold.models["tiny"] = with_versions("tiny", *later.fold.models["tiny"].versions.values(), training)
    later.purging.once(LEFTOVERS_SECONDS)
    assert later.stored() == stored
    later.fold.models["tiny"].versions[3].build = resources.BUILD_STATE_TRAINING_FAILED
    later.store.passed_ms = UPLOADS_KEPT_MS - HOUR_MS
    later.purging.once(2 * LEFTOVERS_SECONDS)
    assert later.stored() == stored
    later.store.passed_ms = UPLOADS_KEPT_MS + GRACE_MS + HOUR_MS
    later.purging.once(3 * LEFTOVERS_SECONDS)
    assert later.stored() == stored - {sha(b"no model")}


def test_an_upload_that_is_asked_for_while_uploads_are_cleared_stays(later: Site) -> None:
    """The time of its mark is looked at again just before it is deleted."""
    wanted = upload(later, b"a model")
    later.store.renewed.add(f"uploads/{wanted}")
    later.purging.once(0)
    assert wanted in later.stored()
    assert wanted in upload_marks.marks(later.store)


def test_uploads_stay_while_the_store_does_not_answer(later: Site) -> None:
    upload(later, b"no model")
    stored, later.store.is_away = later.stored(), True
    later.purging.once(0)
    assert (later.stored(), later.count("headgate_purge_failures_total")) == (stored, 1)
    later.store.is_away = False
    later.purging.once(LEFTOVERS_SECONDS)
    assert sha(b"no model") not in later.stored()
