"""A blob is found by its digest, and an artifact is trusted only with a valid signature."""

import base64
import json
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from headgate.artifacts import store as stores
from headgate.artifacts import store_objects
from headgate.artifacts.blobs import AGAIN
from headgate.artifacts.encryption.key_file import KeyFile, create_key_file
from headgate.artifacts.keys import (
    KeyUnusable,
    SigningKey,
    create_keys,
    load_signing_key,
    load_trusted,
    new_signing_key,
    trust,
)
from headgate.artifacts.manifest import PAYLOAD_TYPE, ArtifactUntrusted, encoded, seal, signed_payload, unseal
from headgate.artifacts.store import (
    ArtifactCorrupt,
    ArtifactMissing,
    ArtifactStore,
    ArtifactTooLarge,
    StoreUnavailable,
    StoreUnusable,
    digest,
    open_store,
    path,
)
from headgate.v1 import facts_pb2 as facts
from tests.server_process import free_ports

SUBJECT = "models/fraud/versions/3"


@pytest.fixture(name="store", params=["file", "memory", "encrypted file", "encrypted memory"])
def _store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    keys = None
    if request.param.startswith("encrypted"):
        create_key_file(tmp_path / "encryption.key")
        keys = KeyFile(tmp_path / "encryption.key")
    return open_store(f"file://{tmp_path}/a b" if request.param.endswith("file") else "memory:///", keys=keys)


def test_a_blob_is_read_back_by_its_digest(store: ArtifactStore) -> None:
    sha256 = store.put(b"weights")
    assert sha256 == digest(b"weights")
    assert store.put(b"weights") == sha256
    assert store.get(sha256) == b"weights"


@pytest.mark.parametrize("name", ["0" * 64, "nothing", "../../../etc/passwd", ""])
def test_a_blob_that_was_never_stored_is_missing(store: ArtifactStore, name: str) -> None:
    with pytest.raises(ArtifactMissing):
        store.get(name)


def test_an_object_that_changes_is_kept_under_its_name_until_it_is_removed(store: ArtifactStore) -> None:
    assert store.latest("checkpoints/models/fraud") is None
    for state in (b"epoch 1", b"epoch 2"):
        store.replace("checkpoints/models/fraud", state)
    assert store.latest("checkpoints/models/fraud") == b"epoch 2"
    for _ in range(2):
        store.remove("checkpoints/models/fraud")
    assert store.latest("checkpoints/models/fraud") is None


def test_objects_are_listed_with_the_time_at_which_the_store_took_them(store: ArtifactStore) -> None:
    before = store.time_ms()
    for name in ("uploads/a", "uploads/b", "checkpoints/c"):
        store.replace(name, b"")
    after = store.time_ms()
    times = dict(store.listed("uploads"))
    assert times.keys() == {"uploads/a", "uploads/b"}
    assert all(before <= at_ms <= after for at_ms in times.values())
    assert store.stored_at_ms("uploads/a") == times["uploads/a"]
    store.remove("uploads/a")
    assert store.stored_at_ms("uploads/a") is None
    assert list(store.names("uploads")) == ["uploads/b"]


USES: Mapping[str, Callable[[ArtifactStore], object]] = {
    "put": lambda store: store.put(b"weights"),
    "get": lambda store: store.get("0" * 64),
    "has_blob": lambda store: store.has_blob("0" * 64),
    "delete_blob": lambda store: store.delete_blob("0" * 64, 1),
    "replace": lambda store: store.replace("checkpoints/a", b""),
    "latest": lambda store: store.latest("checkpoints/a"),
    "remove": lambda store: store.remove("checkpoints/a"),
    "names": lambda store: list(store.names("checkpoints")),
    "listed": lambda store: list(store.listed("uploads")),
    "stored_at_ms": lambda store: store.stored_at_ms("uploads/a"),
}


@pytest.mark.parametrize("use", USES)
def test_a_bucket_that_does_not_answer_is_unavailable_and_no_fault_of_the_artifact(
    use: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [port] = free_ports(1)
    bucket = {"ENDPOINT": f"http://127.0.0.1:{port}", "ALLOW_HTTP": "true", "REGION": "x"}
    for name, value in (bucket | {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setattr(stores, "RETRY_SECONDS", 0.1)
    with pytest.raises(StoreUnavailable, match=r"^the store cannot be used: [^\n]+$"):
        USES[use](open_store("s3://bucket/prefix"))


@pytest.mark.parametrize("use", ["put", "replace", "latest"])
def test_a_folder_that_is_a_file_makes_the_store_unavailable(use: str, tmp_path: Path) -> None:
    for folder in ("checkpoints", "blobs"):
        (tmp_path / folder).write_text("no directory")
    with pytest.raises(StoreUnavailable, match=r"^the store cannot be used: [^\n]+$"):
        USES[use](open_store(f"file://{tmp_path}"))


def test_changed_bytes_are_never_returned_and_the_next_put_repairs_them(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    sha256 = store.put(b"weights")
    (tmp_path / path(sha256)).write_bytes(b"weightz")
    with pytest.raises(ArtifactCorrupt):
        store.get(sha256)
    store.put(b"weights")
    assert store.get(sha256) == b"weights"


def test_a_blob_above_the_limit_is_neither_written_nor_read(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha256 = store.put(b"weights")
    monkeypatch.setattr(stores, "MAX_FILE_BYTES", 3)
    with pytest.raises(ArtifactTooLarge):
        store.put(b"weights again")
    with pytest.raises(ArtifactTooLarge):
        store.get(sha256)


def sealed(store: ArtifactStore, key: SigningKey) -> facts.Artifact:
    return seal(store, {"model.onnx": b"graph", "training.json": b"{}"}, SUBJECT, key)


def test_a_sealed_artifact_can_be_unsealed_with_the_key_of_its_signer(store: ArtifactStore) -> None:
    key = new_signing_key()
    artifact = sealed(store, key)
    files = unseal(store, artifact, SUBJECT, trust(new_signing_key(), key))
    assert {name: store.get(sha256) for name, sha256 in files.items()} == {
        "model.onnx": b"graph",
        "training.json": b"{}",
    }
    assert sealed(store, key) == artifact


def test_an_artifact_of_an_unknown_signer_is_not_trusted(store: ArtifactStore) -> None:
    artifact = sealed(store, new_signing_key())
    other = new_signing_key()
    with pytest.raises(ArtifactUntrusted, match=f"names the key .*, and the trusted keys here are {other.key_id}"):
        unseal(store, artifact, SUBJECT, trust(other))
    with pytest.raises(ArtifactUntrusted, match=f"^the manifest {artifact.manifest_sha256} .* no key is trusted here"):
        unseal(store, artifact, SUBJECT, {})


def test_a_signer_with_the_id_of_a_trusted_key_is_not_trusted(store: ArtifactStore) -> None:
    honest, thief = new_signing_key(), new_signing_key()
    artifact = sealed(store, SigningKey(honest.key_id, thief.private))
    with pytest.raises(ArtifactUntrusted, match=f"the trusted key {honest.key_id} was made for other bytes: {AGAIN}"):
        unseal(store, artifact, SUBJECT, trust(honest))


def test_a_manifest_without_a_signature_is_not_trusted_and_names_of_keys_are_shown_as_text(
    store: ArtifactStore,
) -> None:
    key = new_signing_key()
    envelope = {"payloadType": PAYLOAD_TYPE, "payload": "", "signatures": []}
    with pytest.raises(ArtifactUntrusted, match="because it has no signature: publish a new commit"):
        signed_payload(json.dumps(envelope).encode(), trust(key))
    envelope["signatures"] = [{"keyid": "\x1b[31m" + "k" * 99, "sig": ""}] * 5
    with pytest.raises(ArtifactUntrusted, match=r"names the key [^\x1b]{32}, [^\x1b]{32}, [^\x1b]{32} and 2 more, and"):
        signed_payload(json.dumps(envelope).encode(), trust(key))


def test_an_artifact_signed_for_another_version_is_not_trusted(store: ArtifactStore) -> None:
    key = new_signing_key()
    with pytest.raises(ArtifactUntrusted):
        unseal(store, sealed(store, key), "models/fraud/versions/4", trust(key))


def test_an_artifact_with_other_files_than_its_manifest_is_not_trusted(store: ArtifactStore) -> None:
    key = new_signing_key()
    artifact = sealed(store, key)
    artifact.files[0].sha256 = store.put(b"another graph")
    with pytest.raises(ArtifactUntrusted):
        unseal(store, artifact, SUBJECT, trust(key))


@pytest.mark.parametrize("envelope", [b"", b"[]", b"{}", b'{"payload":"!","signatures":[],"payloadType":""}'])
def test_a_manifest_without_a_valid_envelope_is_not_trusted(store: ArtifactStore, envelope: bytes) -> None:
    with pytest.raises(ArtifactUntrusted):
        unseal(store, facts.Artifact(manifest_sha256=store.put(envelope)), SUBJECT, trust(new_signing_key()))


@pytest.mark.parametrize("name", ["../model.onnx", "a/b", "", ".hidden", "x" * 129])
def test_a_file_name_that_could_leave_the_artifact_is_refused(store: ArtifactStore, name: str) -> None:
    with pytest.raises(ValueError, match="not a file name"):
        seal(store, {name: b""}, SUBJECT, new_signing_key())


def test_keys_are_created_once_and_only_their_owner_can_read_the_private_one(tmp_path: Path) -> None:
    key = create_keys(tmp_path)
    assert create_keys(tmp_path).key_id == key.key_id == load_signing_key(tmp_path).key_id
    assert list(load_trusted(tmp_path)) == [key.key_id]
    assert stat.S_IMODE((tmp_path / "signing.key").stat().st_mode) == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["signing.key", "trusted"]


def test_a_missing_or_invalid_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match=r"signing\.key"):
        load_signing_key(tmp_path)
    (tmp_path / "trusted").mkdir()
    (tmp_path / "trusted" / "x.pub").write_text("no key")
    with pytest.raises(KeyUnusable, match=r"x\.pub"):
        load_trusted(tmp_path)


NESTED = b"[" * 100_000


@pytest.mark.parametrize(
    "envelope", [NESTED, b"", b"\xff", b"[]", b"1" * 10_000, b'{"payload": 1}', b'{"payload": "\\u00e9"}']
)
def test_an_envelope_of_another_shape_is_not_trusted(store: ArtifactStore, envelope: bytes) -> None:
    with pytest.raises(ArtifactUntrusted, match="its envelope has the wrong shape"):
        signed_payload(envelope, {})


def test_a_signed_manifest_that_is_nested_too_deeply_is_not_trusted(store: ArtifactStore) -> None:
    key = new_signing_key()
    signature = {"keyid": key.key_id, "sig": base64.b64encode(key.sign(encoded(NESTED))).decode()}
    envelope = {"payloadType": PAYLOAD_TYPE, "payload": base64.b64encode(NESTED).decode(), "signatures": [signature]}
    artifact = facts.Artifact(manifest_sha256=store.put(json.dumps(envelope).encode()))
    with pytest.raises(ArtifactUntrusted, match="is refused: its content has the wrong shape"):
        unseal(store, artifact, SUBJECT, trust(key))


@pytest.mark.parametrize(
    "url",
    [
        "foo://x",
        "nonsense",
        "",
        "/directory",
        "file:relative",
        "file://host/directory",
        "file://",
        "s3://",
        "s3://bucket/models#2",
        "s3://bucket/models?versionId=2",
        "az://container",
        "https://[bad",
        "file:///proc/no/directory",
    ],
)
def test_a_url_that_names_no_store_is_refused_in_one_sentence(url: str) -> None:
    expected = r"^(expected file:///directory, or a bucket .*|the store cannot be opened): [^\n]+$"
    with pytest.raises(StoreUnusable, match=expected) as refused:
        open_store(url)
    assert "Debug" not in str(refused.value)


def test_a_directory_that_is_missing_is_created_only_when_asked(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match=f"^the folder {tmp_path}/store does not exist$"):
        open_store(f"file://{tmp_path}/store", create=False)
    open_store(f"file://{tmp_path}/store")
    open_store(f"file://{tmp_path}/store", create=False)


def test_the_reason_shows_no_password() -> None:
    with pytest.raises(StoreUnusable) as refused:
        open_store("foo://user:secret@host")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 16, 25])
def test_a_blob_of_several_parts_is_read_back_whole_and_checked(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(store_objects, "PART_BYTES", 8)
    sha256 = store.put(bytes(range(size)))
    assert store.view(sha256) == bytes(range(size))
    store.replace(path(sha256), bytes(size - 1))
    with pytest.raises(ArtifactCorrupt):
        store.view(sha256)
