"""The last checkpoint of a version in training, kept in the artifact store.

The trainer that takes a lost attempt over finds it there. A version has one at most: the next one replaces it, and the
end of the training removes it. Its state becomes weights, so the trainers sign it with a key of their own. It names the
commit and the libraries that it was made with; a training with other ones does not use it.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headgate.artifacts.checkpoint_keys import KEY_ID_BYTES, SIGNATURE_BYTES, CheckpointKey
from headgate.artifacts.store import MAX_FILE_BYTES, ArtifactStore, StoreError, StoreUnavailable
from services.trainer.programs.foreign_files import read_foreign

FOLDER = "checkpoints"
DOMAIN = b"headgate checkpoint v1\0"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a checkpoint belongs to: the name of a version, and a digest of everything that decides its weights."""

    version: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    attempt: int
    epoch: int
    state: bytes


def fingerprint(commit: str, configuration_sha256: bytes, environment: Mapping[str, str]) -> str:
    parts = [commit, configuration_sha256.hex(), sorted(environment.items())]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def store_checkpoint(
    store: ArtifactStore, key: CheckpointKey, origin: Origin, attempt: int, epoch: int, file: Path
) -> None:
    """Signs the child's file and stores it. When that fails it warns, and the training goes on."""
    state = read_foreign(file, MAX_FILE_BYTES)
    if state is None:
        logger.warning("checkpoint missing or too large", extra={"version": origin.version, "limit": MAX_FILE_BYTES})
        return
    head = {"version": origin.version, "fingerprint": origin.fingerprint, "attempt": attempt, "epoch": epoch}
    payload = json.dumps(head).encode() + b"\n" + state
    try:
        store.replace(path(origin.version), key.key_id.encode() + key.sign(DOMAIN + payload) + payload)
    except StoreUnavailable as error:
        logger.warning("checkpoint not stored", extra={"version": origin.version, "error": str(error)})


def find_checkpoint(store: ArtifactStore, key: CheckpointKey, origin: Origin) -> Checkpoint | None:
    """The checkpoint from which the training can go on; None when there is none that may be used."""
    try:
        stored = store.latest(path(origin.version))
    except StoreError as error:
        logger.warning("checkpoint not read", extra={"version": origin.version, "error": str(error)})
        return None
    if stored is None:
        return None
    payload = verified(stored, key)
    if payload is None:
        logger.warning("checkpoint not signed by the key for checkpoints", extra={"version": origin.version})
        return None
    text, _, state = payload.partition(b"\n")
    try:
        head = json.loads(text)
        belongs_to = Origin(head["version"], head["fingerprint"])
        found = Checkpoint(int(head["attempt"]), int(head["epoch"]), state)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        logger.warning("checkpoint cannot be read", extra={"version": origin.version, "error": str(error)})
        return None
    if belongs_to != origin:
        logger.warning("checkpoint belongs to another training", extra={"version": origin.version})
        return None
    return found


def remove_checkpoint(store: ArtifactStore, version: str) -> None:
    """To be called when the training has ended. When it fails it warns."""
    try:
        store.remove(path(version))
    except StoreUnavailable as error:
        logger.warning("checkpoint not removed", extra={"version": version, "error": str(error)})


def path(version: str) -> str:
    return f"{FOLDER}/{version}"


def verified(stored: bytes, key: CheckpointKey) -> bytes | None:
    """The payload when the key has signed it. Nothing of it is parsed before."""
    key_id, signed = stored[:KEY_ID_BYTES].decode(errors="replace"), stored[KEY_ID_BYTES:]
    signature, payload = signed[:SIGNATURE_BYTES], signed[SIGNATURE_BYTES:]
    return payload if key.has_signed(key_id, signature, DOMAIN + payload) else None
