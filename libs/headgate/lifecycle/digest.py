"""The digest of a folded state: two folds of the same log agree on it, byte for byte."""

import hashlib

from google.protobuf.message import Message

from headgate.domain.state import ModelState
from headgate.lifecycle.stream import Stream

DIGEST_DOMAIN = b"headgate.v1.State\x00"


def state_digest(stream: Stream) -> bytes:
    """SHA-256 over the stream's resources in canonical order, each with its length before it."""
    sha = hashlib.sha256(DIGEST_DOMAIN)
    for resource in _resources(stream):
        data = resource.SerializeToString(deterministic=True)
        sha.update(len(data).to_bytes(8, "big") + data)
    return sha.digest()


def _resources(stream: Stream) -> list[Message]:
    state = stream.state
    if not isinstance(state, ModelState):
        return [state.environment]
    releases = [state.releases[number] for number in sorted(state.releases)]
    return [state.model, *state.versions.values(), *releases]
