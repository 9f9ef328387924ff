"""A request for a prediction: its signature, and beside it the raw values of its inputs and its id."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from headgate.inference import grpc_predict_v2_pb2 as inference


class Signature:
    """All that a request says but its raw values and its id: the model, the tensors with types and shapes, parameters.

    Requests of one client mostly have the same signature. They share one of these then, and what it led to is known.
    So nobody changes its message.
    """

    __slots__ = ("fits", "is_shared", "message", "model", "parameters", "version")

    def __init__(self, message: inference.ModelInferRequest, is_shared: bool = False) -> None:
        self.message = message
        self.is_shared = is_shared
        self.model = message.model_name
        self.version = message.model_version
        self.fits: dict[int, Any] = {}
        """What it asks of the versions that it fits, by their numbers (`services/gateway/forward.py`)."""
        self.parameters = message.parameters or None
        """None where there are none."""


class Request(NamedTuple):
    """`raw` has the values of one input each. It is empty where the signature's message has typed contents."""

    signature: Signature
    raw: Sequence[bytes]
    id: str = ""

    @property
    def model_name(self) -> str:
        """The model, under the name that the message has for it."""
        return self.signature.model

    @property
    def size_bytes(self) -> int:
        """About the size of the request as a message."""
        return self.signature.message.ByteSize() + sum(map(len, self.raw))


def request_of(message: inference.ModelInferRequest) -> Request:
    """The request of a message, with a signature of its own. The message must not change any more."""
    return Request(Signature(message), tuple(message.raw_input_contents), message.id)
