"""`headgate encryption` in the folder of a `headgate up`, on a real store."""

from pathlib import Path

import pytest
import yaml

from headgate.artifacts.encryption.key_file import KeyFile
from headgate.artifacts.store import open_store
from headgate.cli.exit_codes import Exit
from headgate.cli.session import ENCRYPTION_KEY, HOME, KEYS
from tests.cli.test_cli import home, run

__all__ = ["home"]


@pytest.fixture(name="key")
def _key(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    key = home / HOME / KEYS / ENCRYPTION_KEY
    (home / HOME / "artifacts").mkdir(parents=True)
    assert run(monkeypatch, "encryption", "create", str(key)) == 0
    return key


def test_a_rotation_is_shown_and_the_old_key_is_retired_once_nothing_needs_it(
    home: Path, key: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def printed(*words: str) -> dict[str, str]:
        capsys.readouterr()
        assert run(monkeypatch, "encryption", *words, "-o", "yaml") == 0
        found: dict[str, str] = yaml.safe_load(capsys.readouterr().out)
        return found

    url, keys = (home / HOME / "artifacts").as_uri(), KeyFile(key)
    clear = open_store(url).put(b"in the clear")
    store = open_store(url, keys=keys)
    sha256, old = store.put(b"weights"), keys.key_id()
    assert printed("status") == {"present_key": old, old: "1", "in_the_clear": "1"}
    keys.rotate()
    assert run(monkeypatch, "encryption", "retire", old) == Exit.FAILED
    assert "still wraps 1 data key" in capsys.readouterr().err
    rotated = printed("rotate", "--no-new-key")
    assert rotated == {"present_key": keys.key_id(), "rewrapped": "1", "already": "0", "removed": "0"}
    assert printed("rotate")["present_key"] not in (old, rotated["present_key"])
    for each in (old, rotated["present_key"]):
        assert run(monkeypatch, "encryption", "retire", each) == 0
    assert run(monkeypatch, "encryption", "encrypt") == 0
    assert printed("status") == {"present_key": keys.key_id(), keys.key_id(): "2", "in_the_clear": "0"}
    assert (store.get(sha256), store.get(clear)) == (b"weights", b"in the clear")


@pytest.mark.parametrize("verb", ["status", "rotate", "encrypt"])
def test_a_command_without_a_key_or_with_a_wrong_one_says_what_to_do(
    verb: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "encryption", verb) == Exit.USAGE
    assert "no key is named: give --encryption-key" in capsys.readouterr().err
    assert run(monkeypatch, "encryption", verb, "--encryption-key", "http://x") == Exit.USAGE
    assert "expected file:///path" in capsys.readouterr().err


def test_a_damaged_object_is_named_and_fails_the_command(
    home: Path, key: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_store((home / HOME / "artifacts").as_uri(), keys=KeyFile(key)).put(b"weights")
    [record] = [each for each in (home / HOME / "artifacts" / "data-keys").rglob("*") if each.is_file()]
    record.write_bytes(b"")
    for verb in ("status", "rotate"):
        assert run(monkeypatch, "encryption", verb) == Exit.FAILED
        assert "its data key cannot be read" in capsys.readouterr().err
