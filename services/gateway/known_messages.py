"""Reads the messages of requests. What was read once is known by its bytes.

A message begins with all that its caller repeats in every request, the signature, and ends with the values of its
inputs. To compare the beginning costs a fraction of what it costs to read it, and to check it against the model.
"""

from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf.message import DecodeError

from headgate.inference import grpc_predict_v2_pb2 as inference
from services.gateway.length_prefix import length_prefix
from services.gateway.request import Request, Signature, request_of

MAX_KNOWN = 256
"""When so many signatures are known, all are forgotten: then they are hardly ever repeated."""
MAX_SIGNATURE_BYTES = 4 * 1024
"""A longer one is read each time."""
RAW_FIELD = inference.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number


class _Known(NamedTuple):
    signature: Signature
    values: tuple[tuple[bytes, int, int], ...]
    """For each input: what stands before its values, where they begin, and where they end."""


class KnownMessages:
    """Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}
        self._lengths: dict[int, int] = {}
        """The length of a message -> that of its signature."""

    def request(self, message: bytes) -> Request:
        """The request of a message. Raises DecodeError."""
        known = self._known.get(message[: self._lengths.get(len(message), 0)])
        if known is None or not _fits(message, known.values):
            return self._read(message)
        return Request(known.signature, [message[start:end] for _, start, end in known.values])

    def _read(self, message: bytes) -> Request:
        request = request_of(inference.ModelInferRequest.FromString(message))
        signature = request.signature
        if request.raw and not signature.id and not signature.parameters:  # these differ from request to request
            self._learn(message, request.raw)
        return request

    def _learn(self, message: bytes, raw: Sequence[bytes]) -> None:
        """Remembers the signature, unless the caller writes the fields in an order of its own."""
        values = _placed(raw, len(message))
        length = values[0][1] - len(values[0][0])
        if not 0 < length <= MAX_SIGNATURE_BYTES or not _fits(message, values):
            return
        try:
            read = inference.ModelInferRequest.FromString(message[:length])
        except DecodeError:
            return
        if not read.raw_input_contents:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
                self._lengths.clear()
            self._known[message[:length]] = _Known(Signature(read, is_shared=True), values)
            self._lengths[len(message)] = length


def _placed(raw: Sequence[bytes], end: int) -> tuple[tuple[bytes, int, int], ...]:
    """Where the raw values stand in a message of this length that ends with them."""
    placed = []
    for values in reversed(raw):
        prefix, start = length_prefix(RAW_FIELD, len(values)), end - len(values)
        placed.append((prefix, start, end))
        end = start - len(prefix)
    return tuple(reversed(placed))


def _fits(message: bytes, values: tuple[tuple[bytes, int, int], ...]) -> bool:
    """Whether the message ends with values of these sizes."""
    if len(message) != values[-1][2]:
        return False
    return all(message[start - len(prefix) : start] == prefix for prefix, start, _ in values)
