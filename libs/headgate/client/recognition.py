"""Asks the registry whether it knows the caller, by a call that everybody may make who has proven who they are."""

import grpc

from headgate.client.stubs import TIMEOUT_SECONDS, Stubs
from headgate.v1 import registry_service_pb2 as registry_service


def recognition(stubs: Stubs) -> grpc.StatusCode:
    """OK when the registry knows the caller, or asks nobody; UNAUTHENTICATED when it does not take the proof.

    Any other code means that it has not decided, as when it does not answer.
    """
    try:
        stubs.registry.GetLogTime(registry_service.GetLogTimeRequest(), timeout=TIMEOUT_SECONDS)
    except grpc.RpcError as error:
        found: grpc.StatusCode = error.code()
        return found
    return grpc.StatusCode.OK
