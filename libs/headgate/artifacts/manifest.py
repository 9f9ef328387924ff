"""An artifact is a set of files under one signed manifest. The manifest also names the version of the artifact.

The manifest is in a DSSE envelope. It is parsed only after its signature has been checked.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headgate.artifacts.blobs import AGAIN, ArtifactError, Blobs, StoreError
from headgate.artifacts.keys import SigningKey, TrustedKeys, has_signed
from headgate.domain.names import SHA256
from headgate.domain.printable import printable
from headgate.domain.words import listed
from headgate.v1 import facts_pb2 as facts

if TYPE_CHECKING:
    from headgate.artifacts.store import ArtifactStore

PAYLOAD_TYPE = "application/vnd.headgate.manifest.v1+json"
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MAX_FILES = 64
MAX_SIGNATURES = 16
MAX_SHOWN_KEYS = 3
KEY_ID_CHARACTERS = 32


class ArtifactUntrusted(ArtifactError):
    """The manifest is not signed by a trusted key, or it is for another artifact or version."""


def seal(store: "ArtifactStore", files: Mapping[str, bytes], subject: str, key: SigningKey) -> facts.Artifact:
    """Stores the files and a signed manifest. `subject` is the version's resource name, models/NAME/versions/NUMBER."""
    check_names(files)
    entries = [
        facts.ArtifactFile(name=name, sha256=store.put(data), size_bytes=len(data))
        for name, data in sorted(files.items())
    ]
    listed = {entry.name: {"sha256": entry.sha256, "size": entry.size_bytes} for entry in entries}
    payload = json.dumps({"subject": subject, "files": listed}, sort_keys=True, separators=(",", ":")).encode()
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key.key_id, "sig": base64.b64encode(key.sign(encoded(payload))).decode()}],
    }
    manifest_sha256 = store.put(json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode())
    return facts.Artifact(manifest_sha256=manifest_sha256, files=entries)


def unseal(store: Blobs, artifact: facts.Artifact, subject: str, trusted: TrustedKeys) -> dict[str, str]:
    """Checks the manifest and returns the digest of each file by name. Read the files with `store.get`.

    Raises ArtifactUntrusted and the errors of the store.
    """
    try:
        return _unsealed(store.get(artifact.manifest_sha256), artifact, subject, trusted)
    except ArtifactUntrusted as error:
        raise ArtifactUntrusted(f"the manifest {artifact.manifest_sha256} is refused: {error}") from error


def _unsealed(envelope: bytes, artifact: facts.Artifact, subject: str, trusted: TrustedKeys) -> dict[str, str]:
    payload = signed_payload(envelope, trusted)
    try:
        manifest = json.loads(payload)
        signed_subject = manifest["subject"]
        files = {name: (entry["sha256"], entry["size"]) for name, entry in manifest["files"].items()}
        check_names(files)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactUntrusted(f"its content has the wrong shape ({error}): {AGAIN}") from error
    if signed_subject != subject:
        raise ArtifactUntrusted(f"it was signed for {signed_subject!r}, not for {subject!r}: {AGAIN}")
    if files != {file.name: (file.sha256, file.size_bytes) for file in artifact.files}:
        raise ArtifactUntrusted(f"its files are not the files in the record of the version: {AGAIN}")
    if not all(isinstance(sha256, str) and SHA256.fullmatch(sha256) for sha256, _ in files.values()):
        raise ArtifactUntrusted(f"the digest of one of its files is not a SHA-256: {AGAIN}")
    return {name: sha256 for name, (sha256, _) in files.items()}


def artifact_problems(
    store: "ArtifactStore", artifact: facts.Artifact, subject: str, trusted: TrustedKeys
) -> list[str]:
    """What is wrong with the manifest and the stored files, each problem with its file. Empty when all is as signed."""
    try:
        files = unseal(store, artifact, subject, trusted)
    except ArtifactUntrusted as error:
        return [str(error)]
    except StoreError as error:
        return [f"the manifest: {error}"]
    problems = []
    for name, sha256 in files.items():
        try:
            store.view(sha256)
        except StoreError as error:
            problems.append(f"{name}: {error}")
    return problems


def signed_payload(envelope: bytes, trusted: TrustedKeys) -> bytes:
    """The payload of the envelope, if a trusted key has signed it."""
    try:
        parts: Any = json.loads(envelope)
        payload = base64.b64decode(parts["payload"], validate=True)
        signatures = [
            (str(entry["keyid"]), base64.b64decode(entry["sig"], validate=True))
            for entry in parts["signatures"][:MAX_SIGNATURES]
        ]
        payload_type = parts["payloadType"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactUntrusted(f"its envelope has the wrong shape ({error}): {AGAIN}") from error
    if payload_type != PAYLOAD_TYPE:
        raise ArtifactUntrusted(f"its envelope holds {payload_type!r}, not a manifest: {AGAIN}")
    for key_id, signature in signatures:
        if has_signed(trusted, key_id, signature, encoded(payload)):
            return payload
    raise ArtifactUntrusted(_why_no_key([key_id for key_id, _ in signatures], trusted))


def _why_no_key(named: Sequence[str], trusted: TrustedKeys) -> str:
    """Why no trusted key has signed a manifest whose signatures name these keys, and what to do."""
    if not named:
        return f"no trusted key has signed it, because it has no signature: {AGAIN}"
    if forged := [key_id for key_id in named if key_id in trusted]:
        return f"the signature of the trusted key {shown(forged)} was made for other bytes: {AGAIN}"
    known = f"the trusted keys here are {shown(sorted(trusted))}" if trusted else "no key is trusted here"
    return (
        f"no trusted key has signed it; it names the key {shown(named)}, and {known}. If that key is a trainer's of"
        f" yours, copy its .pub file into trusted/ of the folder of the keys; otherwise {AGAIN}"
    )


def shown(key_ids: Sequence[str]) -> str:
    """Ids of keys in an error, a few of them, without control characters: anybody may have written them."""
    return listed([printable(key_id)[:KEY_ID_CHARACTERS] for key_id in key_ids], MAX_SHOWN_KEYS)


def encoded(payload: bytes) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding of the payload."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def check_names(files: Mapping[str, object]) -> None:
    if len(files) > MAX_FILES:
        raise ValueError(f"an artifact has at most {MAX_FILES} files, not {len(files)}")
    for name in files:
        if not FILE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a file name that an artifact allows")
