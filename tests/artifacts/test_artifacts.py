"""A blob is found by its digest."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from headgate.artifacts import store as stores
from headgate.artifacts import store_objects
from headgate.artifacts.encryption.key_file import KeyFile, create_key_file
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
from tests.server_process import free_ports


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


def test_a_blob_that_is_missing_or_changed_fails_its_check(store: ArtifactStore) -> None:
    sha256 = store.put(b"weights")
    store.check(sha256)
    store.replace(path(sha256), b"weightz")
    with pytest.raises(ArtifactCorrupt):
        store.check(sha256)
    store.remove(path(sha256))
    with pytest.raises(ArtifactMissing):
        store.check(sha256)


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
