"""Answers ListAttestations: signs on request what the folded state says of a version.

A signature is deterministic, so the same state and key give the same bundles, and nothing is kept.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from headgate.domain.names import split_numbered
from headgate.domain.refusal import ILLEGAL
from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.names import version_in
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources
from services.registry.requests import Requests, copy_of, not_found

if TYPE_CHECKING:
    from headgate.artifacts.keys import SigningKey

NO_KEYS = "this registry signs nothing: HEADGATE_KEYS names the folder with its key"


class Attestations:
    """Thread-safe. It reads the keys again at each call, so a revoked one signs no more.

    Only the present is signed: as of a moment before a quarantine, a version would get a promotion attested today.
    """

    def __init__(self, requests: Requests, keys: Path | None, now_ms: Callable[[], int]) -> None:
        self._requests, self._keys, self._now_ms = requests, keys, now_ms

    def of(self, request: registry_service.ListAttestationsRequest) -> registry_service.ListAttestationsResponse:
        """The signed statements about a version, or why there is none. Raises RpcRefused."""
        version, releases = self._found(request.parent)
        if self._keys is None:
            raise _refused(NO_KEYS)
        # Imported here: a registry that does not sign needs no library of cryptography.
        from headgate.artifacts.attestations import absence, attestations_of
        from headgate.artifacts.bundle import signed_bundle

        if reason := absence(version):
            return registry_service.ListAttestationsResponse(reason=reason)
        key = _signing_key(self._keys, version, self._now_ms())
        return registry_service.ListAttestationsResponse(
            attestations=[
                registry_service.Attestation(
                    name=each.name,
                    predicate_type=each.predicate_type,
                    result=each.result,
                    environment=each.environment,
                    bundle=signed_bundle(each.statement, key).decode(),
                )
                for each in attestations_of(version, releases)
            ]
        )

    def _found(self, name: str) -> tuple[resources.Version, list[resources.Release]]:
        """Copies of a version and of the releases of it. Raises RpcRefused."""
        model, number = version_in(name, "parent")
        with self._requests.fold.lock:
            state = self._requests.model(model, "parent")
            version = state.versions.get(number)
            if version is None:
                raise not_found(name, "parent")
            return copy_of(version), [copy_of(each) for each in state.releases.values() if each.candidate == number]


def _signing_key(keys: Path, version: resources.Version, now_ms: int) -> "SigningKey":
    """The registry's key. Raises RpcRefused unless it may sign now, and the version's own signature still counts."""
    from headgate.artifacts.key_files import KeyUnusable
    from headgate.artifacts.keys import load_signing_key, load_trusted

    try:
        key, trusted = load_signing_key(keys), load_trusted(keys)
    except KeyUnusable as error:
        raise _refused(str(error)) from error
    model = (split_numbered(version.name, "versions") or ("", 0))[0]
    for key_id, signed_at_ms in ((key.key_id, now_ms), (version.artifact.signed_by, version.artifact.signed_at_ms)):
        if key_id not in trusted:
            raise _refused(f"the key {key_id} is not among the trusted keys: put its .pub file there")
        if refusal := trusted[key_id].bounds.refusal(model, signed_at_ms):
            raise _refused(f"the key {key_id} {refusal}")
    return key


def _refused(rule: str) -> RpcRefused:
    return RpcRefused(grpc.StatusCode.FAILED_PRECONDITION, ILLEGAL, f"no attestation is signed: {rule}")
