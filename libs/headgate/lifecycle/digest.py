"""The digest of a folded state. It is the same for all folds of one log, byte for byte."""

import hashlib
from collections.abc import Mapping
from typing import Protocol

from google.protobuf.message import Message

from headgate.domain.state import AccessState, ModelState
from headgate.lifecycle.stream import Stream
from headgate.v1 import registry_service_pb2 as registry_service

DIGEST_DOMAIN = b"headgate.v1.State\x00"


class FoldedStreams(Protocol):
    """A fold that follows the log, or one that was made for a check."""

    @property
    def streams(self) -> Mapping[str, Stream]: ...

    @property
    def void_records(self) -> int: ...


def fold_digest(fold: FoldedStreams) -> registry_service.FoldDigest:
    """Head and state digest of every stream, sorted by name. All folds of one log give the same message."""
    digests = [
        registry_service.StreamDigest(
            stream=name, sequence=stream.sequence, head_digest=stream.digest, state_digest=state_digest(stream)
        )
        for name, stream in sorted(fold.streams.items())
    ]
    return registry_service.FoldDigest(streams=digests, void_records=fold.void_records)


def state_digest(stream: Stream) -> bytes:
    """SHA-256 over the resources of the stream in canonical order. The length of each resource stands before it."""
    sha = hashlib.sha256(DIGEST_DOMAIN)
    for resource in _resources(stream):
        data = resource.SerializeToString(deterministic=True)
        sha.update(len(data).to_bytes(8, "big") + data)
    return sha.digest()


def _resources(stream: Stream) -> list[Message]:
    state = stream.state
    if isinstance(state, AccessState):
        return [state.access]
    if not isinstance(state, ModelState):
        return [state.environment]
    releases = [state.releases[number] for number in sorted(state.releases)]
    return [state.model, *state.versions.values(), *releases]
