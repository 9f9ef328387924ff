import threading

import pytest

from headgate.artifacts.keys import new_signing_key, trust
from headgate.artifacts.layout import MODEL_FILE
from headgate.artifacts.manifest import ArtifactUntrusted, seal
from headgate.artifacts.store import open_store
from headgate.v1 import facts_pb2 as facts
from services.gateway import shelf as shelves
from services.gateway.sessions import ModelUnusable, loader
from services.gateway.shelf import Shelf
from tests.gateway import networks
from tests.gateway.stage import until

ONE = ("fraud", 1)
TWO = ("fraud", 2)


@pytest.fixture
def shelf_of():
    opened = []

    def open_shelf(load, on_change=lambda: None):
        shelf = Shelf(load, on_change)
        opened.append(shelf)
        shelf.start()
        return shelf

    yield open_shelf
    for shelf in opened:
        shelf.close()


def test_what_is_wanted_becomes_ready_and_what_is_not_goes(shelf_of):
    shelf = shelf_of(lambda model, version, artifact: (model, version))
    shelf.want({ONE: facts.Artifact(), TWO: facts.Artifact()})
    until(lambda: shelf.ready().keys() == {ONE, TWO})
    shelf.want({TWO: facts.Artifact()})
    assert shelf.ready().keys() == {TWO}


def test_a_passing_fault_is_not_reported(shelf_of, monkeypatch):
    monkeypatch.setattr(shelves, "FIRST_RETRY_SECONDS", 0.001)
    faults = iter([OSError("later"), OSError("later")])

    def load(model, version, artifact):
        for fault in faults:
            raise fault
        return "loaded"

    shelf = shelf_of(load)
    shelf.want({ONE: facts.Artifact()})
    until(lambda: shelf.ready() == {ONE: "loaded"})
    assert shelf.failures() == {}


def test_a_lasting_fault_is_reported_with_its_reason_and_holds_up_nobody(shelf_of, monkeypatch):
    monkeypatch.setattr(shelves, "FIRST_RETRY_SECONDS", 0.001)
    reported = threading.Event()

    def load(model, version, artifact):
        if version == 1:
            raise ModelUnusable("no good")
        return "loaded"

    shelf = shelf_of(load, reported.set)
    shelf.want({ONE: facts.Artifact(), TWO: facts.Artifact()})
    until(lambda: shelf.failures() == {ONE: "ModelUnusable: no good"} and shelf.ready() == {TWO: "loaded"})
    assert reported.is_set()


@pytest.fixture
def sealed():
    store, key = open_store("memory:///"), new_signing_key()
    artifact = seal(store, {MODEL_FILE: networks.affine()}, "models/fraud/versions/1", key)
    return store, key, artifact


def test_a_signed_model_is_loaded(sealed):
    store, key, artifact = sealed
    loaded = loader(store, lambda: trust(key))("fraud", 1, artifact)
    assert loaded.predict({"x": networks.row()}, ["y"])[0].tolist() == [[2, 2, 2]]


def test_a_model_is_not_loaded_for_another_version_or_signed_by_a_stranger(sealed):
    store, key, artifact = sealed
    with pytest.raises(ArtifactUntrusted):
        loader(store, lambda: trust(key))("fraud", 2, artifact)
    with pytest.raises(ArtifactUntrusted):
        loader(store, lambda: trust(new_signing_key()))("fraud", 1, artifact)


def test_a_version_without_an_artifact_or_a_model_is_not_loaded(sealed):
    store, key, _ = sealed
    load = loader(store, lambda: trust(key))
    with pytest.raises(ModelUnusable, match="no artifact"):
        load("fraud", 1, facts.Artifact())
    empty = seal(store, {"readme.txt": b"nothing"}, "models/fraud/versions/1", key)
    with pytest.raises(ModelUnusable, match=r"no model\.onnx"):
        load("fraud", 1, empty)
