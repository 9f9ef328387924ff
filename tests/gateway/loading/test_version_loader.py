import json
import threading

import pytest

from headgate.artifacts.blobs import StoreUnavailable
from headgate.artifacts.keys import new_signing_key, trust
from headgate.artifacts.layout import MODEL_FILE, TRAINING_FILE
from headgate.artifacts.manifest import ArtifactUntrusted, seal
from headgate.artifacts.rows_apart import record
from headgate.artifacts.store import open_store
from headgate.v1 import facts_pb2 as facts
from services.gateway.loading import next_load as loading
from services.gateway.loading import onnx_loading
from services.gateway.loading.eviction import Role
from services.gateway.loading.next_load import wanted_version
from services.gateway.loading.onnx_loading import loader
from services.gateway.loading.version_loader import VersionLoader, why_it_failed
from services.gateway.sessions import LoadedVersion, ModelUnusable
from tests.gateway import networks
from tests.gateway.harness import until

ONE = ("fraud", 1)
TWO = ("fraud", 2)
WANTED = wanted_version(facts.Artifact(), Role.LIVE)


class Session:
    """Takes the place of a session of ONNX Runtime."""


def opened(model, version):
    return LoadedVersion(model, version, Session(), {}, ())


@pytest.fixture
def loader_of():
    opened = []

    def open_loader(load, on_change=lambda models: None):
        versions = VersionLoader(load, on_change)
        opened.append(versions)
        versions.start()
        return versions

    yield open_loader
    for versions in opened:
        versions.close()


def test_wanted_versions_become_ready_and_others_are_dropped(loader_of):
    versions = loader_of(lambda model, version, artifact: opened(model, version))
    versions.set_wanted({ONE: WANTED, TWO: WANTED})
    until(lambda: versions.loads().ready.keys() == {ONE, TWO})
    versions.set_wanted({TWO: WANTED})
    assert versions.loads().ready.keys() == {TWO}


def test_a_load_that_succeeds_at_a_later_attempt_is_not_reported_as_failed(loader_of, monkeypatch):
    monkeypatch.setattr(loading, "FIRST_RETRY_SECONDS", 0.001)
    faults = iter([OSError("later"), OSError("later")])

    def load(model, version, artifact):
        for fault in faults:
            raise fault
        return opened(model, version)

    versions = loader_of(load)
    versions.set_wanted({ONE: WANTED})
    until(lambda: versions.loads().ready.keys() == {ONE})
    assert versions.loads().failures == {}


def test_a_load_that_keeps_failing_is_reported_with_its_reason_and_does_not_stop_other_loads(loader_of, monkeypatch):
    monkeypatch.setattr(loading, "FIRST_RETRY_SECONDS", 0.001)
    reported = threading.Event()

    def load(model, version, artifact):
        if version == 1:
            raise ModelUnusable("no good")
        return opened(model, version)

    versions = loader_of(load, lambda models: reported.set())
    versions.set_wanted({ONE: WANTED, TWO: WANTED})
    until(lambda: versions.loads().failures == {ONE: "no good"} and versions.loads().ready.keys() == {TWO})
    assert reported.is_set()


def test_the_reason_of_a_failed_load_is_a_sentence_and_other_libraries_are_named():
    assert why_it_failed(ModelUnusable("no good")) == "no good"
    assert why_it_failed(StoreUnavailable("the link was lost")) == "its files cannot be had now: the link was lost"
    assert why_it_failed(OSError("no room")) == "OSError: no room"


def served(onnx_bytes):
    """Takes the place of the trial. Every model passes."""


@pytest.fixture
def sealed():
    store, key = open_store("memory:///"), new_signing_key()
    artifact = seal(store, {MODEL_FILE: networks.affine()}, "models/fraud/versions/1", key)
    return store, key, artifact


def test_a_signed_model_is_loaded(sealed):
    store, key, artifact = sealed
    loaded = loader(store, lambda: trust(key), served)("fraud", 1, artifact)
    assert loaded.predict({"x": networks.row()}, ["y"])[0].tolist() == [[2, 2, 2]]


@pytest.mark.parametrize(
    ("training", "batches", "together"),
    [
        (json.dumps(record(8, (1, 4, 8), 1e-4, 1e-5)).encode(), True, True),
        (json.dumps(record(8, (1, 4, 8), 1e-4, 1e-5)).encode(), False, False),
        (b"{}", True, False),
        (None, True, False),
    ],
)
def test_requests_run_together_where_the_record_of_the_export_and_the_setting_say_so(training, batches, together):
    store, key = open_store("memory:///"), new_signing_key()
    files = {MODEL_FILE: networks.affine()} | ({} if training is None else {TRAINING_FILE: training})
    artifact = seal(store, files, "models/fraud/versions/1", key)
    loaded = loader(store, lambda: trust(key), served, batches=batches)("fraud", 1, artifact)
    assert loaded.answers_rows_apart == together


def test_a_model_of_another_version_or_signed_with_an_unknown_key_is_not_loaded(sealed):
    store, key, artifact = sealed
    with pytest.raises(ArtifactUntrusted):
        loader(store, lambda: trust(key), served)("fraud", 2, artifact)
    with pytest.raises(ArtifactUntrusted):
        loader(store, lambda: trust(new_signing_key()), served)("fraud", 1, artifact)


def test_a_version_without_an_artifact_or_a_model_is_not_loaded(sealed):
    store, key, _ = sealed
    load = loader(store, lambda: trust(key), served)
    with pytest.raises(ModelUnusable, match="no artifact"):
        load("fraud", 1, facts.Artifact())
    empty = seal(store, {"readme.txt": b"nothing"}, "models/fraud/versions/1", key)
    with pytest.raises(ModelUnusable, match=r"no model\.onnx"):
        load("fraud", 1, empty)


def test_a_model_that_fails_its_trial_does_not_come_into_the_gateway(sealed, monkeypatch):
    store, key, artifact = sealed
    monkeypatch.setattr(onnx_loading, "load_onnx", lambda *_: pytest.fail("loaded after a failed trial"))

    def refused(onnx_bytes):
        raise ModelUnusable("it killed the side process")

    with pytest.raises(ModelUnusable, match="killed the side process"):
        loader(store, lambda: trust(key), refused)("fraud", 1, artifact)
