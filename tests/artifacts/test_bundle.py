"""A bundle has the form of OpenSSF Model Signing 1.0: what has it is read, and what has not is refused by name."""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headgate.artifacts.bundle import Bundle, NotABundle, envelope_of, read_bundle, signed_bundle
from headgate.artifacts.keys import TrustedKey, new_signing_key
from headgate.artifacts.model_statement import NotAModel, model_statement, read_model_statement

KEY = new_signing_key()
STATEMENT = model_statement("models/fraud/versions/3", {"model.onnx": "ab" * 32})
OURS: Any = json.loads(signed_bundle(STATEMENT, KEY))
VECTORS = "OMS_VECTORS"
"""A variable with the folder of the specification's own bundles, in valid, invalid and invalid-payload."""


def with_material(material: Any) -> bytes:
    bundle = copy.deepcopy(OURS)
    bundle["verificationMaterial"] = material
    bundle["dsseEnvelope"]["signatures"][0].pop("keyid")
    return json.dumps(bundle, indent=4).encode()


CERTIFICATE = {"rawBytes": "AAAA"}
VALID = {
    "key": with_material({"publicKey": {"hint": KEY.key_id}, "tlogEntries": []}),
    "old key": with_material({"publicKey": {"rawBytes": "AAAA"}}),
    "certificate": with_material({"x509CertificateChain": {"certificates": [CERTIFICATE]}, "tlogEntries": []}),
    "sigstore": with_material({"certificate": CERTIFICATE, "tlogEntries": [{"logIndex": "1"}]}),
}


@pytest.mark.parametrize("kind", VALID)
def test_bundles_of_all_kinds_of_signers_are_read(kind: str) -> None:
    bundle = read_bundle(VALID[kind])
    assert read_model_statement(bundle.payload) == ("models/fraud/versions/3", {"model.onnx": "ab" * 32})
    assert bundle.key_id == (KEY.key_id if kind == "key" else "")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda it: it.pop("dsseEnvelope"), "the bundle has no dsseEnvelope"),
        (lambda it: it.pop("verificationMaterial"), "the bundle has no verificationMaterial"),
        (lambda it: it.update(messageSignature={}), "members that nobody knows"),
        (lambda it: it.update(mediaType="application/json"), "not that of a Sigstore bundle"),
        (lambda it: it.update(mediaType=1), "mediaType is no text"),
        (lambda it: it["verificationMaterial"].pop("publicKey"), "names neither a key nor a certificate"),
        (lambda it: it["verificationMaterial"].update(publicKey={}), "its publicKey has no hint"),
        (lambda it: it["verificationMaterial"].update(tlogEntries={}), "tlogEntries is no list"),
        (lambda it: it["verificationMaterial"]["publicKey"].update(hint="ab"), "names another key"),
        (lambda it: it["dsseEnvelope"].update(payloadType="text/plain"), "its payloadType is not"),
        (lambda it: it["dsseEnvelope"].update(payload="*"), "payload is not base64"),
        (lambda it: it["dsseEnvelope"].update(payload=""), "payload is empty"),
        (lambda it: it["dsseEnvelope"].update(signatures=[]), "it has 0 signatures"),
        (lambda it: it["dsseEnvelope"]["signatures"][0].update(sig=None), "sig is no text"),
        (lambda it: it["dsseEnvelope"]["signatures"][0].update(cert="x"), "members that nobody knows"),
    ],
)
def test_a_bundle_with_a_fault_is_refused_by_name(change: Callable[[Any], object], why: str) -> None:
    bundle = copy.deepcopy(OURS)
    change(bundle)
    with pytest.raises(NotABundle, match=why):
        read_bundle(json.dumps(bundle).encode())


@pytest.mark.parametrize(
    ("material", "why"),
    [
        ({"certificate": CERTIFICATE}, "no entry of a transparency log"),
        ({"x509CertificateChain": {"certificates": []}}, "its chain has no certificate"),
    ],
)
def test_a_certificate_without_what_proves_it_is_refused(material: Any, why: str) -> None:
    with pytest.raises(NotABundle, match=why):
        read_bundle(with_material(material))


@pytest.mark.parametrize("data", [b"", b'{"mediaType": 1, "mediaType": 2}', b"{}", b"null"])
def test_what_is_no_json_object_of_a_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(NotABundle):
        read_bundle(data)


def test_the_envelope_of_a_bundle_is_dsse_and_names_the_key() -> None:
    envelope = json.loads(envelope_of(json.dumps(OURS).encode()))
    assert envelope.keys() == {"payload", "payloadType", "signatures"}
    assert envelope["signatures"][0]["keyid"] == KEY.key_id
    bundle = read_bundle(json.dumps(OURS).encode())
    assert TrustedKey(KEY.private.public_key()).has_signed(bundle.signature, bundle.signed)


def test_the_bundles_of_the_specification_are_read_and_refused_as_it_says() -> None:
    """Also of its published files, where the variable names a folder with them."""
    folder = os.environ.get(VECTORS)
    for file in sorted(Path(folder).glob("*/*.json")) if folder else ():
        expected = file.parent.name
        assert read(file.read_bytes()) == expected, file
    ours = {"valid": VALID["key"], "invalid": b"", "invalid-payload": signed_bundle(b"{}", KEY)}
    assert {name: read(data) for name, data in ours.items()} == {name: name for name in ours}


def read(data: bytes) -> str:
    """Which of the specification's folders a bundle belongs to."""
    try:
        bundle: Bundle = read_bundle(data)
        read_model_statement(bundle.payload)
    except NotABundle:
        return "invalid"
    except NotAModel:
        return "invalid-payload"
    return "valid"
