"""The address of a log decides which adapter opens it, and where its data is."""

from pathlib import Path

import pytest

from headgate.log.open import open_log
from headgate.log.port import LogError
from headgate.log.sqlite.log import SqliteLog


def test_an_absolute_and_a_relative_sqlite_address_name_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in (f"sqlite://{tmp_path}/deep/absolute.db", "sqlite:deep/relative.db"):
        log = open_log(url)
        assert isinstance(log, SqliteLog)
        log.close()
    assert {path.name for path in (tmp_path / "deep").glob("*.db")} == {"absolute.db", "relative.db"}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "log.db",
        "/var/log.db",
        "redis://localhost",
        "sqlite:",
        "sqlite://",
        "sqlite://host/log.db",
        "kafka:",
        "kafka://",
        "kafka://user:secret@broker:9092",
        "kafka://broker:9092/topic",
        "kafka://broker:9092?value_deserializer=x",
        "kafka://broker:9092?sasl_plain_password=secret#1",
        "kafka://broker:9092?sasl_plain_password=secret#",
    ],
)
def test_any_other_address_is_refused_with_the_reason(url: str) -> None:
    with pytest.raises(LogError) as refused:
        open_log(url)
    assert "expected" in str(refused.value) or "is not an option" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("login", ["user:secret", "user:sec/ret", "user:sec#ret", "secret"])
def test_a_user_before_the_brokers_is_refused_with_the_options_that_name_it(login: str) -> None:
    with pytest.raises(
        LogError, match="expected them as the options sasl_plain_username and sasl_plain_pass"
    ) as refused:
        open_log(f"kafka://{login}@broker:9092")
    assert not {"sec", "ret", "broker"} & set(str(refused.value).replace("/", " ").split())


@pytest.mark.parametrize("url", ["kafka://broker:99999", "kafka://one:9092,two", "kafka://broker:0"])
def test_a_broker_without_a_port_that_exists_is_refused(url: str) -> None:
    with pytest.raises(LogError, match="expected host:port with a port from 1 to 65535"):
        open_log(url)
