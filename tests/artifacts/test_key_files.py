"""The files of keys: made once, readable for their owner alone, and named when they cannot be used."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as some

from headgate.artifacts import checkpoint_keys
from headgate.artifacts.checkpoint_keys import load_checkpoint_key
from headgate.artifacts.key_files import KeyUnusable
from headgate.artifacts.keys import SIGNING_KEY, create_keys, load_signing_key, load_trusted
from headgate.artifacts.trust_file import Bounds, read_bounds, trust_text

PRIVATE = (SIGNING_KEY, checkpoint_keys.FILE)


def test_keys_are_created_once_and_only_their_owner_can_read_the_private_ones(tmp_path: Path) -> None:
    key = create_keys(tmp_path)
    assert create_keys(tmp_path).key_id == key.key_id == load_signing_key(tmp_path).key_id
    assert list(load_trusted(tmp_path)) == [key.key_id]
    assert {stat.S_IMODE((tmp_path / file).stat().st_mode) for file in PRIVATE} == {0o600}
    found = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file())
    assert found == ["registry/signing.key", "trainer/checkpoints.key", f"trusted/{key.key_id}.pub"]


def test_a_signing_key_of_an_older_version_signs_checkpoints_and_stays_trusted(tmp_path: Path) -> None:
    old = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "signing.key").write_bytes(pem(old))
    create_keys(tmp_path)
    assert load_checkpoint_key(tmp_path).private.private_bytes_raw() == old.private_bytes_raw()
    assert not (tmp_path / "signing.key").exists()
    assert create_keys(tmp_path).key_id == load_signing_key(tmp_path).key_id


def pem(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_a_missing_or_invalid_key_is_named(tmp_path: Path) -> None:
    for file, load in zip(PRIVATE, (load_signing_key, load_checkpoint_key), strict=True):
        with pytest.raises(KeyUnusable, match=str(file)):
            load(tmp_path)
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_bytes(pem(ec.generate_private_key(ec.SECP384R1())))
        with pytest.raises(KeyUnusable, match=f"{file} is no "):
            load(tmp_path)
    (tmp_path / "trusted").mkdir()
    (tmp_path / "trusted" / "x.pub").write_text("no key")
    with pytest.raises(KeyUnusable, match=r"x\.pub"):
        load_trusted(tmp_path)


def test_the_trust_file_gives_a_key_its_times_and_its_models(tmp_path: Path) -> None:
    key = create_keys(tmp_path)
    file = tmp_path / "trusted" / "trust.toml"
    file.write_text(f'[{key.key_id}]\nnot_before = 2026-01-31T00:00:00Z\nmodels = ["fraud", "risk.*"]\n')
    bounds = load_trusted(tmp_path)[key.key_id].bounds
    assert bounds == Bounds(not_before_ms=1_769_817_600_000, models=("fraud", "risk.*"))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("not_before = 2026-01-31T00:00:00", "a time with its offset"),
        ("not_after = 7", "a time with its offset"),
        ('models = "fraud"', "a list of models"),
        ('models = ["risk.*.x"]', "a list of models"),
        ("revoked = true", "revoked: expected text"),
        ("reviked = 'typo'", "one of the keys not_before"),
        ("x = ", "trust.toml"),
    ],
)
def test_a_trust_file_with_a_fault_is_refused_as_a_whole(tmp_path: Path, line: str, why: str) -> None:
    key = create_keys(tmp_path)
    (tmp_path / "trusted" / "trust.toml").write_text(f"[{key.key_id}]\n{line}\n")
    with pytest.raises(KeyUnusable, match=why):
        load_trusted(tmp_path)


def test_a_key_in_the_trust_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    create_keys(tmp_path)
    (tmp_path / "trusted" / "trust.toml").write_text('[abc]\nrevoked = "lost"\n')
    with pytest.raises(KeyUnusable, match=r"there is no public key abc\.pub"):
        load_trusted(tmp_path)


TIMES = some.none() | some.integers(0, 4_000_000_000_000)
MODELS = some.lists(some.sampled_from(["*", "fraud", "fr*", "risk.*"]), max_size=3).map(tuple)
WHY = some.text(some.characters(exclude_categories=["Cs"]), max_size=20).filter(lambda text: text == "" or text.strip())


@settings(max_examples=50)
@given(some.dictionaries(some.text("0123456789abcdef", min_size=1), some.builds(Bounds, TIMES, TIMES, MODELS, WHY)))
def test_what_is_written_into_the_trust_file_is_read_back(tmp_path_factory: object, found: dict[str, Bounds]) -> None:
    file = tmp_path_factory.getbasetemp() / "trust.toml"  # type: ignore[attr-defined]
    file.write_text(trust_text(found), encoding="utf-8")
    assert read_bounds(file) == found
