"""The wait before a gRPC server stops: it cancels the calls that it has read but not started, so none may be left."""

import logging
import time
from collections.abc import Callable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from headgate.runtime.deadline import Deadline

QUIET_SECONDS = 0.2
"""How long no call may have come."""
_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}  # nosec

_logger = logging.getLogger(__name__)


def _ask_own_health(address: str, deadline: Deadline) -> None:
    with grpc.insecure_channel(address) as channel:
        try:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=deadline.left())
        except grpc.RpcError as error:
            _logger.debug("the stopping server did not answer at %s: %s", address, error.code().name)


def on_loopback(host: str, port: int) -> str:
    """Where a process reaches its own port, which listens on `host`."""
    return f"{_LOOPBACK_OF.get(host, host)}:{port}"


def await_quiet(
    last_call_at: Callable[[], float],
    own_address: str,
    limit_seconds: float,
    ask_health: Callable[[str, Deadline], None] = _ask_own_health,
) -> None:
    """Returns when no call has started for QUIET_SECONDS and none waits to be started, or at the limit.

    `last_call_at` answers when the last call started, on the monotonic clock. Silence alone proves nothing: on a busy
    machine the server may not have had the processor. So it also answers a call of our own at `own_address`. A server
    starts calls in the order in which they came, so when others came before it, one of those has started meanwhile.
    """
    deadline = Deadline(limit_seconds)
    while deadline.left():
        while (left := min(deadline.left(), last_call_at() + QUIET_SECONDS - time.monotonic())) > 0:
            time.sleep(left)
        before = last_call_at()
        ask_health(own_address, deadline)
        if last_call_at() == before:
            return
