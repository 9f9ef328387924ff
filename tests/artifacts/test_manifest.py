"""An artifact is trusted only when a key that counts for it has signed its manifest, and all of that is right."""

import base64
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from headgate.artifacts.blobs import AGAIN
from headgate.artifacts.bundle import encoded, signed_bundle
from headgate.artifacts.keys import (
    SigningKey,
    TrustedKey,
    TrustedKeys,
    key_id,
    new_signing_key,
    trust,
)
from headgate.artifacts.manifest import ArtifactUntrusted, seal, sign, signers, store_files, unseal
from headgate.artifacts.model_statement import PREDICATE_TYPE, model_statement
from headgate.artifacts.store import ArtifactCorrupt, ArtifactStore, open_store, path
from headgate.artifacts.trust_file import Bounds
from headgate.v1 import facts_pb2 as facts

SUBJECT = "models/fraud/versions/3"
FILES = {"model.onnx": b"graph", "training.json": b"{}"}
KEY = new_signing_key()
DAY_MS = 86_400_000
SIGNED_AT_MS = 1_800_000_000_000
OLD = json.loads((Path(__file__).parent / "signed_with_ed25519.json").read_text())
OLD_SIGNATURE = OLD["manifest"]["signatures"][0]
MUTATIONS = 10_000


@pytest.fixture
def store() -> ArtifactStore:
    return open_store("memory:///")


def sealed(store: ArtifactStore, key: SigningKey = KEY) -> facts.Artifact:
    return seal(store, FILES, SUBJECT, key, SIGNED_AT_MS)


def manifest_of(store: ArtifactStore, artifact: facts.Artifact) -> Any:
    return json.loads(store.get(artifact.manifest_sha256))


def with_manifest(store: ArtifactStore, artifact: facts.Artifact, manifest: Any) -> facts.Artifact:
    changed = facts.Artifact()
    changed.CopyFrom(artifact)
    changed.manifest_sha256 = store.put(manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode())
    return changed


def bounded(**bounds: Any) -> TrustedKeys:
    return {KEY.key_id: TrustedKey(KEY.private.public_key(), Bounds(**bounds))}


def test_a_sealed_artifact_can_be_unsealed_with_the_key_of_its_signer(store: ArtifactStore) -> None:
    artifact = sealed(store)
    files = unseal(store, artifact, SUBJECT, trust(new_signing_key(), KEY))
    assert {name: store.get(sha256) for name, sha256 in files.items()} == FILES
    assert sealed(store) == artifact
    assert signers(store, artifact) == (artifact.signed_by,) == (KEY.key_id,)


def test_nothing_is_signed_that_the_store_does_not_hold(store: ArtifactStore) -> None:
    stored = store_files(store, FILES)
    store.replace(path(stored.files[0].sha256), b"grapg")
    with pytest.raises(ArtifactCorrupt):
        sign(store, stored, SUBJECT, KEY, SIGNED_AT_MS)


def test_an_artifact_of_an_unknown_signer_is_not_trusted(store: ArtifactStore) -> None:
    artifact, other = sealed(store), new_signing_key()
    with pytest.raises(ArtifactUntrusted, match=f"names the key .*, and the trusted keys here are {other.key_id}"):
        unseal(store, artifact, SUBJECT, trust(other))
    with pytest.raises(ArtifactUntrusted, match=f"^the manifest {artifact.manifest_sha256} .* no key is trusted here"):
        unseal(store, artifact, SUBJECT, {})


def test_a_signer_with_the_id_of_a_trusted_key_is_not_trusted(store: ArtifactStore) -> None:
    thief = SigningKey(KEY.key_id, new_signing_key().private)
    with pytest.raises(ArtifactUntrusted, match=f"the trusted key {KEY.key_id} was made for other bytes: {AGAIN}"):
        unseal(store, sealed(store, thief), SUBJECT, trust(KEY))


@pytest.mark.parametrize(
    ("bounds", "why"),
    [
        ({"revoked": "the disk was sold"}, "is revoked: the disk was sold"),
        (
            {"not_before_ms": SIGNED_AT_MS + DAY_MS},
            "is trusted from 2027-01-16.* on, and this was signed at 2027-01-15",
        ),
        ({"not_after_ms": SIGNED_AT_MS - DAY_MS}, "is trusted until 2027-01-14.*, and this was signed at 2027-01-15"),
        ({"models": ("churn", "risk.*")}, r"is trusted for churn and risk\.\*, not for fraud"),
        ({"models": ()}, "is trusted for no model, not for fraud"),
    ],
)
def test_a_key_that_does_not_count_for_this_model_and_time_is_named(
    store: ArtifactStore, bounds: dict[str, Any], why: str
) -> None:
    with pytest.raises(ArtifactUntrusted, match=f"the key {KEY.key_id} {why}"):
        unseal(store, sealed(store), SUBJECT, bounded(**bounds))


def test_a_key_counts_for_what_was_signed_while_it_was_trusted(store: ArtifactStore) -> None:
    bounds = {"not_before_ms": SIGNED_AT_MS, "not_after_ms": SIGNED_AT_MS, "models": ("fr*",)}
    assert unseal(store, sealed(store), SUBJECT, bounded(**bounds)).keys() == FILES.keys()


def test_an_artifact_signed_for_another_version_is_not_trusted(store: ArtifactStore) -> None:
    with pytest.raises(ArtifactUntrusted, match="it was signed for 'models/fraud/versions/3', not for"):
        unseal(store, sealed(store), "models/fraud/versions/4", trust(KEY))


def test_an_artifact_with_other_files_than_its_manifest_is_not_trusted(store: ArtifactStore) -> None:
    artifact = sealed(store)
    artifact.files[0].sha256 = store.put(b"another graph")
    with pytest.raises(ArtifactUntrusted, match="its files are not the files in the record"):
        unseal(store, artifact, SUBJECT, trust(KEY))


@pytest.mark.parametrize("second", ["wrong", "right"])
def test_a_bundle_with_two_signatures_is_refused(store: ArtifactStore, second: str) -> None:
    artifact = sealed(store)
    manifest = manifest_of(store, artifact)
    signatures = manifest["dsseEnvelope"]["signatures"]
    signatures.append({"sig": "AAAA"} if second == "wrong" else signatures[0])
    with pytest.raises(ArtifactUntrusted, match="it has 2 signatures, and a bundle has one"):
        unseal(store, with_manifest(store, artifact, manifest), SUBJECT, trust(KEY))


def test_a_bundle_that_a_certificate_has_signed_is_refused(store: ArtifactStore) -> None:
    artifact = sealed(store)
    manifest = manifest_of(store, artifact)
    manifest["verificationMaterial"] = {"x509CertificateChain": {"certificates": [{"rawBytes": "AAAA"}]}}
    manifest["dsseEnvelope"]["signatures"][0].pop("keyid")
    with pytest.raises(ArtifactUntrusted, match="a certificate has signed it, and only keys are trusted here"):
        unseal(store, with_manifest(store, artifact, manifest), SUBJECT, trust(KEY))


def changed(change: Callable[[Any], None]) -> bytes:
    statement = json.loads(model_statement(SUBJECT, {"model.onnx": "ab" * 32}))
    change(statement)
    return json.dumps(statement).encode()


def with_file(**member: object) -> bytes:
    return changed(lambda statement: statement["predicate"]["resources"][0].update(member))


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"[" * 100_000, "its content has the wrong shape"),
        (b"[]", "its content has the wrong shape"),
        (b'{"_type": "x", "predicateType": "y"}', "is no statement of OpenSSF Model Signing"),
        (changed(lambda it: it["subject"].append(it["subject"][0])), "wrong shape"),
        (changed(lambda it: it["predicate"]["serialization"].update(method="shards")), "not the SHA-256 of whole"),
        (changed(lambda it: it["predicate"].update(resources=it["predicate"]["resources"] * 2)), "stands in it twice"),
        (with_file(name="../x"), "not a file name"),
        (with_file(name=7), "is no text"),
        (with_file(digest="cd" * 32), "digest of all files does not fit"),
        (with_file(algorithm="md5"), "is not a SHA-256"),
        (changed(lambda it: it.update(predicateType=f"{PREDICATE_TYPE}1")), "is no statement of OpenSSF"),
    ],
)
def test_a_signed_statement_of_another_shape_is_not_trusted(store: ArtifactStore, payload: bytes, why: str) -> None:
    artifact = with_manifest(store, facts.Artifact(), signed_bundle(payload, KEY))
    with pytest.raises(ArtifactUntrusted, match=f"^the manifest {artifact.manifest_sha256} is refused: .*{why}"):
        unseal(store, artifact, SUBJECT, trust(KEY))


def test_every_mutated_manifest_is_refused_by_name_or_says_the_same(store: ArtifactStore) -> None:
    artifact, chance = sealed(store), random.Random(7)
    manifest = store.get(artifact.manifest_sha256)
    files, refused = unseal(store, artifact, SUBJECT, trust(KEY)), 0
    for _ in range(MUTATIONS):
        try:
            assert unseal(Given(mutated(manifest, chance)), artifact, SUBJECT, trust(KEY)) == files
        except ArtifactUntrusted:
            refused += 1
    # What says the same has another hint of an id or a member that nobody reads, such as tlogEntries.
    assert refused > 0.95 * MUTATIONS


class Given:
    """A store whose every blob has these bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def get(self, sha256: str) -> bytes:
        return self._data


def mutated(data: bytes, chance: random.Random) -> bytes:
    at, much = chance.randrange(len(data)), chance.randrange(1, 9)
    match chance.randrange(5):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        case 1:
            return data[:at] + data[at + much :]
        case 2:
            return data[:at] + chance.randbytes(much) + data[at:]
        case 3:
            return data[:at]
        case _:
            other = chance.randrange(len(data))
            return data[:at] + data[other : other + much] + data[at + much :]


def old_artifact(store: ArtifactStore, manifest: Any = None) -> facts.Artifact:
    return with_manifest(store, store_files(store, FILES), manifest or OLD["manifest"])


def old_trust(bounds: Bounds = Bounds()) -> TrustedKeys:  # noqa: B008 - it is frozen
    public = load_pem_public_key(OLD["public_key"].encode())
    return {key_id(public): TrustedKey(public, bounds)}  # type: ignore[arg-type]


def test_an_old_manifest_with_a_signature_of_ed25519_is_still_trusted(store: ArtifactStore) -> None:
    artifact = old_artifact(store)
    assert unseal(store, artifact, SUBJECT, old_trust()).keys() == FILES.keys()
    assert signers(store, artifact) == tuple(old_trust())
    with pytest.raises(ArtifactUntrusted, match="is revoked: lost"):
        unseal(store, artifact, SUBJECT, old_trust(Bounds(revoked="lost")))
    with pytest.raises(ArtifactUntrusted, match="it was signed for"):
        unseal(store, artifact, "models/fraud/versions/4", old_trust())
    artifact.files[0].size_bytes += 1
    with pytest.raises(ArtifactUntrusted, match="its files are not the files in the record"):
        unseal(store, artifact, SUBJECT, old_trust())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"signatures": []}, "because it has no signature: publish a new commit"),
        ({"payload": "!"}, "its envelope has the wrong shape"),
        ({"payload": base64.b64encode(b"{}").decode()}, "was made for other bytes"),
        ({"signatures": [OLD_SIGNATURE, {**OLD_SIGNATURE, "sig": "AAAA"}]}, "was made for other bytes"),
        (
            {"signatures": [{"keyid": "\x1b[31m" + "k" * 99, "sig": ""}] * 5},
            r"names the key [^\x1b]{64}, [^\x1b]{64}, [^\x1b]{64} and 2 more, and",
        ),
    ],
)
def test_an_old_manifest_that_was_changed_is_refused(store: ArtifactStore, change: dict[str, Any], why: str) -> None:
    with pytest.raises(ArtifactUntrusted, match=why):
        unseal(store, old_artifact(store, {**OLD["manifest"], **change}), SUBJECT, old_trust())


@pytest.mark.parametrize("manifest", [b"", b"\xff", b"[]", b"{}", b"1" * 10_000, b"[" * 100_000, b"x" * (1 << 21)])
def test_what_is_no_bundle_is_not_trusted(store: ArtifactStore, manifest: bytes) -> None:
    with pytest.raises(ArtifactUntrusted, match="its envelope has the wrong shape"):
        unseal(store, with_manifest(store, facts.Artifact(), manifest), SUBJECT, trust(KEY))


@pytest.mark.parametrize("name", ["../model.onnx", "a/b", "", ".hidden", "x" * 129])
def test_a_file_name_that_could_leave_the_artifact_is_refused(store: ArtifactStore, name: str) -> None:
    with pytest.raises(ValueError, match="not a file name"):
        seal(store, {name: b""}, SUBJECT, KEY)


def test_the_bytes_that_are_signed_are_those_of_dsse() -> None:
    assert encoded("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
