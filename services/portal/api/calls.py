"""Calls the services over gRPC in the name of whoever calls the portal. All of it runs on one event loop."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2
from grpc_status import rpc_status

from headgate.domain.refusal import NOT_FOUND
from services.portal.api.statuses import refused

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""As much as a service sends at once."""
Metadata = Sequence[tuple[str, str]]


class Services:
    """A channel to each service, opened at its first call.

    `addresses` has host:port by the full name of the gRPC service. `credentials` gives those of TLS; None for plain
    text. A caller is known by its token alone, whatever certificate goes along.
    """

    def __init__(
        self, addresses: Mapping[str, str], credentials: Callable[[], grpc.ChannelCredentials] | None = None
    ) -> None:
        self._addresses, self._credentials = addresses, credentials
        self._channels: dict[str, grpc.aio.Channel] = {}

    def has(self, method: MethodDescriptor) -> bool:
        """Whether the address of the service with this RPC is known."""
        return method.containing_service.full_name in self._addresses

    async def call(self, method: MethodDescriptor, request: Message, metadata: Metadata, seconds: float) -> Message:
        """The answer of an RPC with one answer. Raises grpc.aio.AioRpcError."""
        calling: Any = self._channel(method).unary_unary(_path(method), *_codec(method))
        answer: Message = await calling(request, timeout=seconds, metadata=metadata)
        return answer

    def stream(self, method: MethodDescriptor, request: Message, metadata: Metadata, seconds: float | None) -> Any:
        """The call of an RPC with many answers, to be read and cancelled."""
        calling: Any = self._channel(method).unary_stream(_path(method), *_codec(method))
        return calling(request, timeout=seconds, metadata=metadata)

    async def close(self) -> None:
        """Ends all calls."""
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            await channel.close()

    def _channel(self, method: MethodDescriptor) -> grpc.aio.Channel:
        address = self._addresses[method.containing_service.full_name]
        if address not in self._channels:
            options = [("grpc.max_receive_message_length", MAX_ANSWER_BYTES)]
            if self._credentials is None:
                self._channels[address] = grpc.aio.insecure_channel(address, options)
            else:
                self._channels[address] = grpc.aio.secure_channel(address, self._credentials(), options)
        return self._channels[address]


def failed(error: grpc.aio.AioRpcError, seconds: float | None) -> status_pb2.Status:
    """What a caller sees of a failed call: what the service said, or a sentence of our own where none answered."""
    found: status_pb2.Status | None = rpc_status.from_call(error)
    code = error.code()
    if found is not None and found.details:
        return found
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        limit = f"within {seconds:g} s" if seconds else "in time"
        rule = f"no answer {limit}: the request may still take effect, so check before you repeat it"
        return refused(code, "deadline-exceeded", rule)
    if code is grpc.StatusCode.UNAVAILABLE:
        return refused(code, "unavailable", "the service behind this call does not answer: try again later")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return refused(code, NOT_FOUND, "the service behind this call is of an older Headgate and does not know it")
    return refused(code, code.name.lower().replace("_", "-"), error.details() or "")


def _path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def _codec(method: MethodDescriptor) -> tuple[Any, Any]:
    return GetMessageClass(method.input_type).SerializeToString, GetMessageClass(method.output_type).FromString
