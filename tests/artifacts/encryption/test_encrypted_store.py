"""What an encrypted store shows to whoever has its folder, and what it refuses after somebody has changed it."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.artifacts.blobs import ArtifactCorrupt, ArtifactError, StoreError
from headgate.artifacts.encryption.header import HEADER_BYTES, header_of
from headgate.artifacts.encryption.key_encryption import EncryptionUnusable, KeyUnavailable
from headgate.artifacts.encryption.key_file import KeyFile, create_key_file
from headgate.artifacts.encryption.tink_keys import SEGMENT_BYTES
from headgate.artifacts.store import ArtifactStore, open_store, path

WEIGHTS = bytes(range(256)) * 1_000
"""Several segments, which repeat a text that anybody would find again."""


class Stored:
    """A store with a key, its folder, and one blob in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "artifacts"
        self.key = folder / "encryption.key"
        create_key_file(self.key)
        self.store = self.opened()
        self.sha256 = self.store.put(WEIGHTS)
        self.file = self.folder / path(self.sha256)
        self.data_key = next(each for each in (self.folder / "data-keys").rglob("*") if each.is_file())

    def opened(self) -> ArtifactStore:
        return open_store(self.folder.as_uri(), keys=KeyFile(self.key))


@pytest.fixture(name="stored")
def _stored(tmp_path: Path) -> Stored:
    return Stored(tmp_path)


def test_a_captured_folder_shows_no_plaintext_of_blobs_and_checkpoints(stored: Stored) -> None:
    stored.store.replace("checkpoints/models/fraud/versions/3", WEIGHTS)
    files = [file for file in stored.folder.rglob("*") if file.is_file()]
    assert len(files) == 4  # two objects, and a data key of each
    assert not any(WEIGHTS[:32] in file.read_bytes() for file in files)
    assert stored.store.latest("checkpoints/models/fraud/versions/3") == WEIGHTS
    assert stored.store.size_of(stored.sha256) == len(WEIGHTS)


@pytest.fixture(name="changing", scope="module")
def _changing(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return Stored(tmp_path_factory.mktemp("changing"))


@given(st.integers(min_value=0), st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_anywhere_is_refused(changing: Stored, position: int, bit: int) -> None:
    sound = changing.file.read_bytes()
    changed = bytearray(sound)
    changed[position % len(changed)] ^= 1 << bit
    changing.file.write_bytes(changed)
    try:
        with pytest.raises(StoreError):
            changing.store.get(changing.sha256)
    finally:
        changing.file.write_bytes(sound)


def segments(content: bytes) -> tuple[bytes, list[bytes]]:
    """The header with the first segment, which is shorter by Tink's own header, and the other segments."""
    first = HEADER_BYTES + SEGMENT_BYTES
    return content[:first], [
        content[start : start + SEGMENT_BYTES] for start in range(first, len(content), SEGMENT_BYTES)
    ]


def reordered(content: bytes) -> bytes:
    head, rest = segments(content)
    return head + rest[1] + rest[0] + b"".join(rest[2:])


def without_a_segment(content: bytes) -> bytes:
    head, rest = segments(content)
    return head + b"".join(rest[1:])


def resized(content: bytes) -> bytes:
    header = header_of(content)
    assert header is not None
    return replace(header, size=header.size + 1).encoded() + content[HEADER_BYTES:]


CHANGES: Mapping[str, Callable[[bytes], bytes]] = {
    "cut by a byte": lambda content: content[:-1],
    "cut after a segment": lambda content: segments(content)[0],
    "cut to the header": lambda content: content[:HEADER_BYTES],
    "nothing left": lambda _: b"",
    "longer": lambda content: content + b"\0",
    "reordered": reordered,
    "without a segment": without_a_segment,
    "a larger size in the header": resized,
}


@pytest.mark.parametrize("change", CHANGES)
def test_bytes_that_were_cut_or_moved_are_refused(stored: Stored, change: str) -> None:
    sound = stored.file.read_bytes()
    stored.file.write_bytes(CHANGES[change](sound))
    with pytest.raises(ArtifactCorrupt):
        stored.store.get(stored.sha256)
    stored.store.put(WEIGHTS)
    assert stored.store.get(stored.sha256) == WEIGHTS


def test_ciphertexts_exchanged_between_files_are_refused(stored: Stored) -> None:
    other = stored.store.put(WEIGHTS[::-1])
    content = (stored.folder / path(other)).read_bytes()
    stored.file.write_bytes(content)
    with pytest.raises(ArtifactCorrupt, match=stored.sha256):
        stored.store.get(stored.sha256)


def test_a_checkpoint_of_another_version_is_refused(stored: Stored) -> None:
    for version in (1, 2):
        stored.store.replace(f"checkpoints/models/fraud/versions/{version}", b"state %d" % version)
    folder = stored.folder / "checkpoints/models/fraud/versions"
    (folder / "2").write_bytes((folder / "1").read_bytes())
    with pytest.raises(ArtifactCorrupt, match="versions/2"):
        stored.store.latest("checkpoints/models/fraud/versions/2")


@pytest.mark.parametrize("record", [b"", b"{}", b"[" * 10_000, b'{"name": "x", "wrapped_by": "y", "wrapped": "z"}'])
def test_a_data_key_that_cannot_be_read_is_refused(stored: Stored, record: bytes) -> None:
    stored.data_key.write_bytes(record)
    with pytest.raises(ArtifactError, match="data key"):
        stored.store.get(stored.sha256)


def test_the_data_key_of_another_file_is_refused(stored: Stored) -> None:
    record = stored.data_key.read_bytes()
    other = stored.store.put(b"other")
    header = header_of((stored.folder / path(other)).read_bytes())
    assert header is not None
    (stored.folder / "data-keys" / header.data_key[:2] / header.data_key).write_bytes(record)
    with pytest.raises(ArtifactCorrupt, match=f"has not wrapped the data key of {path(other)}"):
        stored.store.get(other)
    assert stored.store.get(stored.sha256) == WEIGHTS


def test_a_store_with_another_key_names_the_key_it_needs_and_reads_all_else(stored: Stored) -> None:
    needed = KeyFile(stored.key).key_id()
    stored.key.unlink()
    create_key_file(stored.key)
    store = stored.opened()
    with pytest.raises(KeyUnavailable, match=rf"under the key {needed}, and .*restore that key"):
        store.get(stored.sha256)
    assert store.get(store.put(b"new")) == b"new"


def test_a_store_without_a_key_names_the_key_and_the_setting(stored: Stored) -> None:
    needed = KeyFile(stored.key).key_id()
    with pytest.raises(KeyUnavailable, match=f"under the key {needed}: name the key in HEADGATE_ENCRYPTION_KEY"):
        open_store(stored.folder.as_uri()).get(stored.sha256)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o660, 0o620, 0o601])
def test_a_key_that_others_reach_is_refused_with_the_way_to_mend_it(stored: Stored, mode: int) -> None:
    stored.key.chmod(mode)
    with pytest.raises(EncryptionUnusable, match=rf"has the mode {mode:04o}.*chmod 0600"):
        KeyFile(stored.key)
    with pytest.raises(KeyUnavailable, match=rf"has the mode {mode:04o}"):
        stored.store.get(stored.sha256)
    stored.key.chmod(0o440)  # as Kubernetes mounts a secret
    assert stored.store.get(stored.sha256) == WEIGHTS


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 10_000, b'{"primaryKeyId": 1, "key": []}'])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(EncryptionUnusable, match="holds no keys"):
        KeyFile(file)
    with pytest.raises(EncryptionUnusable, match="there is no key file"):
        KeyFile(tmp_path / "none")


def test_a_key_file_is_made_once_and_its_owner_alone_reads_it(tmp_path: Path) -> None:
    create_key_file(tmp_path / "key")
    first = KeyFile(tmp_path / "key").key_id()
    create_key_file(tmp_path / "key")
    assert KeyFile(tmp_path / "key").key_id() == first
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_what_was_stored_in_the_clear_is_still_read(tmp_path: Path) -> None:
    clear = open_store((tmp_path / "artifacts").as_uri())
    sha256 = clear.put(WEIGHTS)
    clear.replace("checkpoints/x", b"state")
    create_key_file(tmp_path / "key")
    store = open_store((tmp_path / "artifacts").as_uri(), keys=KeyFile(tmp_path / "key"))
    assert store.get(sha256) == WEIGHTS
    assert store.latest("checkpoints/x") == b"state"


def test_a_file_is_encrypted_as_its_bytes_are(stored: Stored, tmp_path: Path) -> None:
    content = os.urandom(5 << 20)  # more than one part
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    sha256 = stored.store.put(content)
    stored.store.delete_blob(sha256, 1 << 60)
    stored.store.put_file(file, sha256)
    assert content[:64] not in (stored.folder / path(sha256)).read_bytes()
    assert stored.store.get(sha256) == content


def test_deleting_and_replacing_leave_no_data_key_behind(stored: Stored) -> None:
    for _ in range(3):
        stored.store.put(WEIGHTS)
        stored.store.replace("checkpoints/x", b"state")
    stored.store.remove("checkpoints/x")
    assert stored.store.delete_blob(stored.sha256, 1 << 60) > len(WEIGHTS)
    assert not [each for each in stored.folder.rglob("*") if each.is_file()]
