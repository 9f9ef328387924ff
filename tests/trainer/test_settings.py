"""A trainer refuses to start with an address of a package index that nobody can reach, and shows no password of it."""

from contextlib import closing
from pathlib import Path

import pytest

from headgate.log.open import embedded_address, open_log
from headgate.runtime.settings import SettingsError, from_env
from services.trainer.app import hidden
from services.trainer.settings import Settings

NEEDED = {"HEADGATE_LOG": "sqlite:x", "HEADGATE_ARTIFACTS": "file:///a", "HEADGATE_KEYS": "/k"}


def with_index(address: str) -> Settings:
    return from_env(Settings, NEEDED | {"HEADGATE_PACKAGE_INDEX": address})


@pytest.mark.parametrize("address", ["", "https://reader:secret@packages.example/simple", "http://127.0.0.1:8080/"])
def test_an_address_of_an_index_is_taken_as_it_is(address: str) -> None:
    assert with_index(address).packages().installing.index == address


@pytest.mark.parametrize("address", ["packages.example", "ftp://packages.example", "https://", "https://host:99999/"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match=r"^HEADGATE_PACKAGE_INDEX=.*: expected the address of a package index"):
        with_index(address)


def test_the_refusal_shows_no_password() -> None:
    with pytest.raises(SettingsError) as refused:
        with_index("ftp://reader:secret@packages.example/simple")
    assert "secret" not in str(refused.value)


def test_the_code_of_commits_reads_no_secret_that_the_settings_name(tmp_path: Path) -> None:
    names = ("keys", "git_credentials", "tls_key", "authentication_first_token")
    environ = {f"HEADGATE_{name.upper()}": str(tmp_path / name) for name in names}
    assert {tmp_path / name for name in names} <= set(hidden(from_env(Settings, NEEDED | environ)))


def test_the_code_of_commits_reaches_neither_an_embedded_log_nor_the_artifacts(tmp_path: Path) -> None:
    log, store = tmp_path / "log.db", tmp_path / "all models"
    environ = {"HEADGATE_LOG": embedded_address(log), "HEADGATE_ARTIFACTS": store.as_uri()}
    with closing(open_log(embedded_address(log))):
        beside_it = set(tmp_path.iterdir())
    assert log in beside_it
    assert beside_it | {store} <= set(hidden(from_env(Settings, NEEDED | environ)))


def test_the_code_of_commits_reads_no_password_or_key_for_the_brokers() -> None:
    options = "sasl_plain_password_file=/s/password&ssl_keyfile=/s/key&ssl_certfile=/s/both&ssl_cafile=/s/authority"
    environ = {"HEADGATE_LOG": f"kafka://broker:9092?{options}", "HEADGATE_ARTIFACTS": "s3://bucket"}
    found = hidden(from_env(Settings, NEEDED | environ))
    assert found == tuple(map(Path, ("/k", "/s/password", "/s/key", "/s/both")))
