"""A signed in-toto statement: a DSSE envelope in a Sigstore bundle, as OpenSSF Model Signing 1.0 has it.

A bundle is read as a whole and checked in all its parts before its signature is. Only keys sign here. A bundle that a
certificate has signed is read, so that the refusal can say so.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.artifacts.keys import SigningKey
from headgate.domain.strict_json import read_json
from headgate.domain.words import counted

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MEDIA_TYPES = re.compile(r"application/vnd\.dev\.sigstore\.bundle(\.v0\.\d+\+json|\+json;version=0\.\d+)")
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
MAX_BYTES = 1 << 20
"""The largest bundle that is read. Ours have some kilobytes."""

Json = Mapping[str, Any]


class NotABundle(ValueError):
    """The bytes are no bundle with one signature of an in-toto statement. The message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle holds. `key_id` is empty when a certificate has signed it."""

    payload: bytes
    signature: bytes
    key_id: str

    @property
    def signed(self) -> bytes:
        """The bytes that the signature is for."""
        return encoded(PAYLOAD_TYPE, self.payload)


def statement_of(subjects: list[Json], predicate_type: str, predicate: Json) -> bytes:
    """An in-toto statement as JSON. The same content gives the same bytes."""
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": subjects,
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return _json(statement)


def signed_bundle(statement: bytes, key: SigningKey) -> bytes:
    """The bundle of a statement that this key signs."""
    signature = key.sign(encoded(PAYLOAD_TYPE, statement))
    return _json(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": key.key_id}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(statement).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"keyid": key.key_id, "sig": base64.b64encode(signature).decode()}],
            },
        }
    )


def read_bundle(data: bytes) -> Bundle:
    """Raises NotABundle. It checks no signature: ask the key that `key_id` names whether it has signed `signed`."""
    if len(data) > MAX_BYTES:
        raise NotABundle(f"it has {len(data)} bytes, and a bundle has at most {MAX_BYTES}")
    try:
        return _bundle(read_json(data))
    except NotABundle:
        raise
    except ValueError as error:
        raise NotABundle(f"it is no JSON: {error}") from error


def envelope_of(bundle: bytes) -> bytes:
    """The DSSE envelope alone, for tools that read no bundles."""
    return _json(json.loads(bundle)["dsseEnvelope"])


def encoded(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding of the payload."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _bundle(parts: object) -> Bundle:
    whole = _object(parts, "the bundle", {"mediaType", "verificationMaterial", "dsseEnvelope"})
    if not MEDIA_TYPES.fullmatch(_text(whole["mediaType"], "mediaType")):
        raise NotABundle("its mediaType is not that of a Sigstore bundle")
    key_id = _signer(_object(whole["verificationMaterial"], "verificationMaterial"))
    envelope = _object(whole["dsseEnvelope"], "dsseEnvelope", {"payload", "payloadType", "signatures"})
    if envelope["payloadType"] != PAYLOAD_TYPE:
        raise NotABundle(f"its payloadType is not {PAYLOAD_TYPE}")
    signatures = _list(envelope["signatures"], "signatures")
    if len(signatures) != 1:
        raise NotABundle(f"it has {counted(len(signatures), 'signature')}, and a bundle has one")
    signature = _object(signatures[0], "the signature", {"sig"}, {"keyid"})
    if signature.get("keyid") not in (None, "", key_id):
        raise NotABundle("its signature names another key than its verificationMaterial")
    return Bundle(_bytes(envelope["payload"], "payload"), _bytes(signature["sig"], "sig"), key_id)


def _signer(material: Json) -> str:
    """The id of the key that signed; empty for a certificate."""
    _list(material.get("tlogEntries", []), "tlogEntries")
    if "publicKey" in material:
        key = _object(material["publicKey"], "publicKey")
        if "hint" not in key and "rawBytes" not in key:
            raise NotABundle("its publicKey has no hint")
        return _text(key.get("hint", ""), "hint")
    if "x509CertificateChain" in material:
        chain = _object(material["x509CertificateChain"], "x509CertificateChain")
        if not _list(chain.get("certificates"), "certificates"):
            raise NotABundle("its chain has no certificate")
        return ""
    if "certificate" not in material:
        raise NotABundle("its verificationMaterial names neither a key nor a certificate")
    _object(material["certificate"], "certificate")
    if not material.get("tlogEntries"):
        raise NotABundle("it has a certificate of Sigstore, and no entry of a transparency log")
    return ""


def _object(value: object, what: str, needed: set[str] | None = None, optional: set[str] | None = None) -> Json:
    """The object; one with `needed` has those members, and none but these and the optional ones."""
    if not isinstance(value, dict):
        raise NotABundle(f"{what} is no object")
    if needed is not None:
        if missing := sorted(needed - value.keys()):
            raise NotABundle(f"{what} has no {missing[0]}")
        if value.keys() - needed - (optional or set()):
            raise NotABundle(f"{what} has members that nobody knows")
    return value


def _list(value: object, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise NotABundle(f"{what} is no list")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise NotABundle(f"{what} is no text")
    return value


def _bytes(value: object, what: str) -> bytes:
    text = _text(value, what)
    try:
        found = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise NotABundle(f"{what} is not base64") from error
    if not found:
        raise NotABundle(f"{what} is empty")
    return found


def _json(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
