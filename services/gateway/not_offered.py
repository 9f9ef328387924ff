"""Methods that clients of Triton know and a gateway does not have. Each is refused with what to do instead."""

from collections.abc import Mapping
from typing import Any, NoReturn

import grpc

from headgate.runtime.errors import RpcRefused

_MEMORY = "shared memory is not offered; send and take the bytes of tensors in the messages"
REASONS: Mapping[str, str] = {
    "TraceSetting": "a caller cannot change traces; set HEADGATE_TRACES of the gateway",
    "LogSettings": "a caller cannot change the log; set HEADGATE_LOG_LEVEL of the gateway",
    **{
        f"{kind}SharedMemory{what}": _MEMORY
        for kind in ("System", "Cuda")
        for what in ("Status", "Register", "Unregister")
    },
}
"""Method -> why it is not there, and what to do."""


class NotOffered(grpc.GenericRpcHandler):
    """Refuses these methods of one service with UNIMPLEMENTED."""

    def __init__(self, service: str) -> None:
        self._prefix = f"/{service}/"

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method in REASONS; None for any other."""
        name = handler_call_details.method.removeprefix(self._prefix)
        if name not in REASONS:
            return None

        async def refuse(request: bytes, context: Any) -> NoReturn:
            raise RpcRefused(grpc.StatusCode.UNIMPLEMENTED, "not-offered", f"{name}: {REASONS[name]}")

        return grpc.unary_unary_rpc_method_handler(refuse)
