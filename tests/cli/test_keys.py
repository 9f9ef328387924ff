"""`headgate keys`, and publishing a repository that the trainer fetches from another address."""

import json
from pathlib import Path

import pytest
import yaml

from headgate.artifacts.key_changes import rotate
from headgate.artifacts.keys import SIGNING_KEY, create_keys, load_signing_key, load_trusted
from headgate.artifacts.trust_file import Bounds
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


def listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    """What `headgate keys list` prints, by the id of the key."""
    capsys.readouterr()
    assert run(monkeypatch, "keys", "list", "--keys", "keys", "-o", "json") == 0
    return {key["id"]: key for key in json.loads(capsys.readouterr().out)}


def test_a_rotation_gives_the_registry_a_new_key_and_keeps_the_old_public_one(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = create_keys(home / "keys")
    assert run(monkeypatch, "keys", "rotate", "--keys", "keys") == 0
    new = load_signing_key(home / "keys")
    found = listed(monkeypatch, capsys)
    assert {key_id: key["signs"] for key_id, key in found.items()} == {
        old.key_id: "",
        new.key_id: "artifacts, by the registry",
    }
    assert found[new.key_id]["algorithm"] == "ECDSA P-256"
    assert (home / "keys" / SIGNING_KEY).stat().st_mode & 0o077 == 0


def test_a_key_is_revoked_with_its_reason_and_the_comments_of_the_file_stay(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = create_keys(home / "keys")
    rotate(home / "keys")
    file = home / "keys/trusted/trust.toml"
    file.write_text(f"# ours\n[{old.key_id}]\nmodels = ['fraud'] # alone\n")
    assert run(monkeypatch, "keys", "revoke", old.key_id, "--reason", 'a "lost" disk', "--keys", "keys") == 0
    assert (
        file.read_text()
        == f"# ours\n[{old.key_id}]\nmodels = ['fraud'] # alone\nrevoked = \"a \\U00000022lost\\U00000022 disk\"\n"
    )
    assert listed(monkeypatch, capsys)[old.key_id]["revoked"] == 'a "lost" disk'


def test_a_trust_file_that_cannot_be_edited_is_written_anew_and_the_command_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = create_keys(home / "keys")
    rotate(home / "keys")
    (home / "keys/trusted/trust.toml").write_text(f"'{old.key_id}' = {{ models = ['fraud'] }} # ours\n")
    assert run(monkeypatch, "keys", "revoke", old.key_id, "--reason", "lost", "--keys", "keys") == 0
    assert "without its comments" in capsys.readouterr().err
    assert load_trusted(home / "keys")[old.key_id].bounds == Bounds(models=("fraud",), revoked="lost")


@pytest.mark.parametrize(
    ("key_id", "reason", "why"),
    [
        ("SIGNING", "lost", "headgate keys rotate"),
        ("abc", "lost", "there is no trusted key abc"),
        ("OLD", " ", "the reason must be one line"),
        ("OLD", "see https://me:hunter2secret@example.org", "without a password"),
    ],
)
def test_what_cannot_be_revoked_is_refused_and_the_trust_file_stays(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key_id: str,
    reason: str,
    why: str,
) -> None:
    create_keys(home / "keys")
    old, new = rotate(home / "keys")
    named = {"SIGNING": new.key_id, "OLD": old.key_id}.get(key_id, key_id)
    assert run(monkeypatch, "keys", "revoke", named, "--reason", reason, "--keys", "keys") == 1
    assert why in " ".join(capsys.readouterr().err.split())
    assert not (home / "keys/trusted/trust.toml").exists()


def test_a_repository_can_be_published_under_another_address(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "publish", str(repository), "--url", "https://git.example.org/fraud.git") == 0
    log = open_log(embedded)
    records = [record for partition in range(PARTITIONS) for record in log.read(topics.INBOX, partition, 0)]
    log.close()
    body = json.loads(decode(records[0]).data or b"")
    assert body["customData"]["repository"] == "https://git.example.org/fraud.git"
