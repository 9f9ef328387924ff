"""A rotation rewraps data keys only. It works while others read and write, and stops at no object that is broken."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from headgate.artifacts.encryption.key_encryption import EncryptionUnusable, KeyEncryption, KeyUnavailable
from headgate.artifacts.encryption.key_file import KeyFile, create_key_file
from headgate.artifacts.encryption.open import key_encryption
from headgate.artifacts.store import ArtifactCorrupt, ArtifactStore, open_store, path
from headgate.artifacts.store_rotation import encrypt, rewrap, standing
from tests.artifacts.encryption.vault import TOKEN, Transit, vault


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[tuple[str, Transit]]:
    with vault() as running:
        yield running


@pytest.fixture(name="keys", params=["file", "vault"])
def _keys(request: pytest.FixtureRequest, tmp_path: Path, server: tuple[str, Transit]) -> KeyEncryption:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    create_key_file(tmp_path / "encryption.key")
    url = server[0] if request.param == "vault" else (tmp_path / "encryption.key").as_uri()
    keys = key_encryption(url, tmp_path / "token")
    assert keys is not None
    return keys


@pytest.fixture(name="store")
def _store(tmp_path: Path, keys: KeyEncryption) -> ArtifactStore:
    return open_store((tmp_path / "artifacts").as_uri(), keys=keys)


def test_a_rotation_rewraps_the_data_keys_and_leaves_the_data_as_it_is(
    tmp_path: Path, keys: KeyEncryption, store: ArtifactStore
) -> None:
    digests = [store.put(b"weights %d" % number) for number in range(5)]
    before = {sha256: (tmp_path / "artifacts" / path(sha256)).read_bytes() for sha256 in digests}
    old = keys.key_id()
    new = keys.rotate()
    assert new == keys.key_id() != old
    between = store.put(b"between")
    assert standing(store).wrapped_by == {old: 5, new: 1}
    found = rewrap(store, keys)
    assert (found.rewrapped, found.kept, found.problems) == (5, 1, [])
    assert standing(store).wrapped_by == {new: 6}
    assert {sha256: (tmp_path / "artifacts" / path(sha256)).read_bytes() for sha256 in digests} == before
    assert [store.get(sha256) for sha256 in digests] == [b"weights %d" % number for number in range(5)]
    assert store.get(between) == b"between"
    assert rewrap(store, keys).rewrapped == 0


def test_reads_and_writes_go_on_during_rotations(keys: KeyEncryption, store: ArtifactStore) -> None:
    digests = [store.put(b"weights %d" % number) for number in range(4)]
    done = Event()

    def use() -> int:
        rounds = 0
        while not done.is_set() or not rounds:
            for number, sha256 in enumerate(digests):
                assert store.get(sha256) == b"weights %d" % number
                assert store.put(b"weights %d" % number) == sha256
            rounds += 1
        return rounds

    with ThreadPoolExecutor(2) as pool:
        users = [pool.submit(use) for _ in range(2)]
        try:
            for _ in range(3):
                keys.rotate()
                assert rewrap(store, keys).problems == []
        finally:
            done.set()
        assert all(user.result() for user in users)


def test_a_broken_data_key_stops_no_other(tmp_path: Path, keys: KeyEncryption, store: ArtifactStore) -> None:
    store.put(b"broken")
    [file] = [each for each in (tmp_path / "artifacts" / "data-keys").rglob("*") if each.is_file()]
    file.write_bytes(b"{}")
    sound = store.put(b"sound")
    new = keys.rotate()
    found = rewrap(store, keys)
    assert found.rewrapped == 1
    assert [problem.partition(":")[0] for problem in found.problems] == [f"data-keys/{file.parent.name}/{file.name}"]
    assert standing(store).wrapped_by == {new: 1}
    assert store.get(sound) == b"sound"


def test_files_in_the_clear_are_counted_and_encrypted(tmp_path: Path, keys: KeyEncryption) -> None:
    clear = open_store((tmp_path / "artifacts").as_uri())
    digests = [clear.put(b"weights"), clear.put(b"more weights")]
    damaged = clear.put(b"damaged")
    (tmp_path / "artifacts" / path(damaged)).write_bytes(b"changed")
    store = open_store((tmp_path / "artifacts").as_uri(), keys=keys)
    assert standing(store).clear == 3
    count, problems = encrypt(store)
    assert (count, len(problems), standing(store).clear) == (2, 1, 1)
    assert b"weights" not in (tmp_path / "artifacts" / path(digests[0])).read_bytes()
    assert store.get(digests[0]) == b"weights"


def test_a_retired_key_reads_nothing_any_more_and_the_present_one_stays(tmp_path: Path) -> None:
    create_key_file(tmp_path / "key")
    keys = KeyFile(tmp_path / "key")
    store = open_store((tmp_path / "artifacts").as_uri(), keys=keys)
    sha256, old = store.put(b"weights"), keys.key_id()
    keys.rotate()
    keys.retire(old)
    with pytest.raises(KeyUnavailable, match=old):
        store.get(sha256)
    assert standing(store).wrapped_by == {old: 1}
    for not_old in (keys.key_id(), "nonsense"):
        with pytest.raises(KeyUnavailable, match="no old key"):
            keys.retire(not_old)


def test_the_tokens_and_keys_of_a_vault_are_named_when_they_do_not_fit(
    tmp_path: Path, server: tuple[str, Transit]
) -> None:
    url, token = server[0], tmp_path / "token"
    token.write_text("hvs.wrong")
    with pytest.raises(KeyUnavailable, match=r"refuses GET keys .*403.*check the token in .*/token and its policy"):
        key_of(url, token).key_id()
    token.write_text("")
    with pytest.raises(KeyUnavailable, match="holds no token"):
        key_of(url, token).key_id()
    token.write_text(TOKEN)
    with pytest.raises(KeyUnavailable, match=r"vault-transit/other.*404"):
        key_of(url.replace("/headgate", "/other"), token).key_id()
    store = open_store((tmp_path / "artifacts").as_uri(), keys=key_of(url, token))
    sha256 = store.put(b"weights")
    another = open_store((tmp_path / "artifacts").as_uri(), keys=key_of(url.replace("/headgate", "/other"), token))
    with pytest.raises(KeyUnavailable, match="is encrypted under the key vault-transit/headgate-v"):
        another.get(sha256)


def test_a_data_key_that_a_vault_did_not_wrap_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with vault() as (url, transit):
        store = open_store("memory:///", keys=key_of(url, tmp_path / "token"))
        sha256 = store.put(b"weights")
        transit.versions[:] = Transit().versions
        with pytest.raises(ArtifactCorrupt, match="has not wrapped the data key"):
            store.get(sha256)
        assert "POST /v1/transit/decrypt/headgate" in transit.calls
    with pytest.raises(KeyUnavailable, match="does not answer"):
        store.get(sha256)


def key_of(url: str, token: Path) -> KeyEncryption:
    keys = key_encryption(url, token)
    assert keys is not None
    return keys


@pytest.mark.parametrize(
    "url",
    [
        "encryption.key",
        "file:encryption.key",
        "file://host/key",
        "vault+https://host",
        "vault+https://host/key",
        "vault+http://host/transit/key",
        "vault+https://host:0/transit/key",
        "vault+https://user:secret@host/transit/key",
        "vault+ftp://host/transit/key",
    ],
)
def test_a_url_that_names_no_key_is_refused_in_one_sentence(url: str, tmp_path: Path) -> None:
    with pytest.raises(EncryptionUnusable, match=r"^[^\n]+$") as refused:
        key_encryption(url, tmp_path / "token")
    assert "secret" not in str(refused.value)


def test_a_vault_without_a_token_is_refused() -> None:
    with pytest.raises(EncryptionUnusable, match="HEADGATE_ENCRYPTION_TOKEN"):
        key_encryption("vault+https://host/transit/key")
    assert key_encryption("") is None
