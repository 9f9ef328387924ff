"""An artifact is a set of files under one signed manifest. The manifest also names the version of the artifact.

The manifest is a bundle of OpenSSF Model Signing. It is parsed only after its signature has been checked. Manifests of
older versions, DSSE envelopes with signatures of Ed25519, are checked as they were.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.artifacts import old_manifest
from headgate.artifacts.blobs import AGAIN, ArtifactError, Blobs, StoreError
from headgate.artifacts.bundle import NotABundle, read_bundle, signed_bundle
from headgate.artifacts.keys import SigningKey, TrustedKeys
from headgate.artifacts.model_statement import model_statement, read_model_statement
from headgate.domain.names import split_numbered
from headgate.domain.printable import printable
from headgate.domain.words import listed
from headgate.v1 import facts_pb2 as facts

if TYPE_CHECKING:
    from headgate.artifacts.store import ArtifactStore

FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MAX_FILES = 64
MAX_SHOWN_KEYS = 3
KEY_ID_CHARACTERS = 64
UNTRUSTED_KEY = "To use the model, publish a new commit or import it again: it is signed by the present key"


class ArtifactUntrusted(ArtifactError):
    """The manifest is not signed by a trusted key, or it is for another artifact or version."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A manifest of either form, of which nothing is checked yet: `read` may be called once a signature was."""

    data: bytes
    signatures: Sequence[tuple[str, bytes]]
    """Ids of keys, each with its signature of `data`."""
    read: Callable[[], tuple[str, Mapping[str, str]]]
    """The subject, and the digest of each file by name. Raises NotAModel."""


def store_files(store: "ArtifactStore", files: Mapping[str, bytes]) -> facts.Artifact:
    """Stores the files. The artifact has no manifest yet: `sign` makes it."""
    check_names(files)
    entries = [
        facts.ArtifactFile(name=name, sha256=store.put(data), size_bytes=len(data))
        for name, data in sorted(files.items())
    ]
    return facts.Artifact(files=entries)


def sign(
    store: "ArtifactStore", artifact: facts.Artifact, subject: str, key: SigningKey, signed_at_ms: int
) -> facts.Artifact:
    """The artifact with a manifest that this key has signed, and that is stored.

    Each file is read back from the store and hashed, so nothing is signed that the store does not hold.
    `subject` is the version's resource name, models/NAME/versions/NUMBER. Raises the errors of the store.
    """
    digests = {file.name: file.sha256 for file in artifact.files}
    check_names(digests)
    for sha256 in digests.values():
        store.check(sha256)
    manifest_sha256 = store.put(signed_bundle(model_statement(subject, digests), key))
    return facts.Artifact(
        manifest_sha256=manifest_sha256, files=artifact.files, signed_by=key.key_id, signed_at_ms=signed_at_ms
    )


def seal(
    store: "ArtifactStore", files: Mapping[str, bytes], subject: str, key: SigningKey, signed_at_ms: int = 0
) -> facts.Artifact:
    """Stores the files and a manifest that is signed."""
    return sign(store, store_files(store, files), subject, key, signed_at_ms)


def unseal(store: Blobs, artifact: facts.Artifact, subject: str, trusted: TrustedKeys) -> dict[str, str]:
    """Checks the manifest and returns the digest of each file by name. Read the files with `store.get`.

    Raises ArtifactUntrusted and the errors of the store.
    """
    try:
        return _unsealed(store.get(artifact.manifest_sha256), artifact, subject, trusted)
    except ArtifactUntrusted as error:
        raise ArtifactUntrusted(f"the manifest {artifact.manifest_sha256} is refused: {error}") from error


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


def signers(store: Blobs, artifact: facts.Artifact) -> tuple[str, ...]:
    """The keys that the manifest names. It checks no signature. Raises ArtifactUntrusted and the errors of the store.

    A record of today names its key; for an older one the manifest is read.
    """
    if artifact.signed_by:
        return (artifact.signed_by,)
    return tuple(key_id for key_id, _ in _parsed(store.get(artifact.manifest_sha256), artifact).signatures)


def _unsealed(manifest: bytes, artifact: facts.Artifact, subject: str, trusted: TrustedKeys) -> dict[str, str]:
    signed = _parsed(manifest, artifact)
    _require_trusted(signed, subject, artifact.signed_at_ms, trusted)
    try:
        signed_subject, files = signed.read()
        check_names(files)
    except ValueError as error:
        raise ArtifactUntrusted(f"{error}: {AGAIN}") from error
    if signed_subject != subject:
        raise ArtifactUntrusted(f"it was signed for {signed_subject!r}, not for {subject!r}: {AGAIN}")
    if files != {file.name: file.sha256 for file in artifact.files}:
        raise ArtifactUntrusted(f"its files are not the files in the record of the version: {AGAIN}")
    return dict(files)


def _parsed(manifest: bytes, artifact: facts.Artifact) -> Signed:
    try:
        if (old := old_manifest.read_envelope(manifest)) is not None:
            sizes = {file.name: file.size_bytes for file in artifact.files}
            return Signed(old.signed, old.signatures, lambda: old_manifest.read_payload(old.payload, sizes))
        bundle = read_bundle(manifest)
    except NotABundle as error:
        raise ArtifactUntrusted(f"its envelope has the wrong shape: {error}: {AGAIN}") from error
    if not bundle.key_id:
        raise ArtifactUntrusted(f"a certificate has signed it, and only keys are trusted here: {AGAIN}")
    return Signed(bundle.signed, [(bundle.key_id, bundle.signature)], lambda: read_model_statement(bundle.payload))


def _require_trusted(signed: Signed, subject: str, signed_at_ms: int, trusted: TrustedKeys) -> None:
    """Raises ArtifactUntrusted unless a trusted key has signed, and every trusted key that it names has."""
    known = [(key_id, signature) for key_id, signature in signed.signatures if key_id in trusted]
    if forged := [key_id for key_id, signature in known if not trusted[key_id].has_signed(signature, signed.data)]:
        raise ArtifactUntrusted(f"the signature of the trusted key {shown(forged)} was made for other bytes: {AGAIN}")
    model = (split_numbered(subject, "versions") or ("", 0))[0]
    refusals = {key_id: trusted[key_id].bounds.refusal(model, signed_at_ms) for key_id, _ in known}
    if not refusals:
        raise ArtifactUntrusted(_why_no_key([key_id for key_id, _ in signed.signatures], trusted))
    if all(refusals.values()):
        why = "; ".join(f"the key {shown([key_id])} {refusal}" for key_id, refusal in refusals.items())
        raise ArtifactUntrusted(f"{why}. {UNTRUSTED_KEY}")


def _why_no_key(named: Sequence[str], trusted: TrustedKeys) -> str:
    """Why no trusted key has signed a manifest whose signatures name these keys, and what to do."""
    if not named:
        return f"no trusted key has signed it, because it has no signature: {AGAIN}"
    known = f"the trusted keys here are {shown(sorted(trusted))}" if trusted else "no key is trusted here"
    return (
        f"no trusted key has signed it; it names the key {shown(named)}, and {known}. If that key is one of yours,"
        f" copy its .pub file into trusted/ of the folder of the keys; otherwise {AGAIN}"
    )


def shown(key_ids: Sequence[str]) -> str:
    """Ids of keys in an error, a few of them, without control characters: anybody may have written them."""
    return listed([printable(key_id)[:KEY_ID_CHARACTERS] for key_id in key_ids], MAX_SHOWN_KEYS)


def check_names(files: Iterable[str]) -> None:
    """Raises ValueError."""
    names = list(files)
    if len(names) > MAX_FILES:
        raise ValueError(f"an artifact has at most {MAX_FILES} files, not {len(names)}")
    for name in names:
        if not FILE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a file name that an artifact allows")
