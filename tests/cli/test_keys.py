"""`headgate keys create`, and publishing a repository that the trainer fetches from another address."""

import json
from pathlib import Path

import pytest
import yaml

from headgate.artifacts.keys import load_trusted
from headgate.log import topics
from headgate.log.envelope import decode
from headgate.log.open import open_log
from headgate.log.port import PARTITIONS
from tests.cli.test_cli import embedded, home, repository, run

__all__ = ["embedded", "home", "repository"]


def test_the_keys_are_made_once_and_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert run(monkeypatch, "keys", "create", "keys", "-o", "yaml") == 0
    printed = capsys.readouterr().out
    first, second = printed[: len(printed) // 2], printed[len(printed) // 2 :]
    assert first == second
    assert list(load_trusted(home / "keys")) == [yaml.safe_load(first)["key_id"]]
    assert (home / "keys/registry/signing.key").stat().st_mode & 0o077 == 0
    assert run(monkeypatch, "keys", "create", "keys") == 0
    assert capsys.readouterr().out.startswith("key_id          ")


def test_a_file_that_is_not_a_key_is_named_and_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "keys/registry").mkdir(parents=True)
    (home / "keys/registry/signing.key").write_text("not a key")
    assert run(monkeypatch, "keys", "create", "keys") == 1
    assert "signing.key" in capsys.readouterr().err
    assert (home / "keys/registry/signing.key").read_text() == "not a key"


def test_a_repository_can_be_published_under_another_address(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "publish", str(repository), "--url", "https://git.example.org/fraud.git") == 0
    log = open_log(embedded)
    records = [record for partition in range(PARTITIONS) for record in log.read(topics.INBOX, partition, 0)]
    log.close()
    body = json.loads(decode(records[0]).data or b"")
    assert body["customData"]["repository"] == "https://git.example.org/fraud.git"
