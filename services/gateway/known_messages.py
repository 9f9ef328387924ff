"""Reads the messages of requests. What was read once is known by its bytes.

A message begins with all that its caller repeats in every request, the signature, and ends with the values of its
inputs. To compare the beginning costs a fraction of what it costs to read it, and to check it against the model. The id
of the request stands between model and tensors.
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
_FIELDS = inference.ModelInferRequest.DESCRIPTOR.fields_by_name
RAW_FIELD = _FIELDS["raw_input_contents"].number
BEFORE_ID = bytes(length_prefix(_FIELDS[name].number, 0)[0] for name in ("model_name", "model_version"))
ID = length_prefix(_FIELDS["id"].number, 0)[0]
"""How these fields begin. Their lengths follow."""
ONE_BYTE = 0x80
"""A length below this takes one byte. A longer id is read in full."""


class _Known(NamedTuple):
    signature: Signature
    values: tuple[tuple[bytes, int, int], ...]
    """For each input: what stands before its values, where they begin, and where they end."""


class KnownMessages:
    """Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}
        self._lengths: dict[int, int] = {}
        """The length of a message without its id -> that of its signature."""

    def request(self, message: bytes) -> Request:
        """The request of a message. Raises DecodeError."""
        before, start, end = _place_of_id(message)
        id_bytes = end - before
        length = self._lengths.get(len(message) - id_bytes, 0)
        known = self._known.get(message[:before] + message[end : length + id_bytes])
        if known is None or not _fits(message, known.values, id_bytes):
            return self._read(message)
        try:
            request_id = message[start:end].decode()
        except UnicodeDecodeError:
            return self._read(message)
        values = [message[begin + id_bytes : stop + id_bytes] for _, begin, stop in known.values]
        return Request(known.signature, values, request_id)

    def _read(self, message: bytes) -> Request:
        request = request_of(inference.ModelInferRequest.FromString(message))
        if request.raw and not request.signature.parameters:  # these differ from request to request
            before, _, end = _place_of_id(message)
            self._learn(message[:before] + message[end:], request.raw)
        return request

    def _learn(self, message: bytes, raw: Sequence[bytes]) -> None:
        """Remembers the signature of a message without an id, unless its fields stand in an order of their own."""
        values = _placed(raw, len(message))
        length = values[0][1] - len(values[0][0])
        if not 0 < length <= MAX_SIGNATURE_BYTES or not _fits(message, values):
            return
        try:
            read = inference.ModelInferRequest.FromString(message[:length])
        except DecodeError:
            return
        if not read.raw_input_contents and not read.id:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
                self._lengths.clear()
            self._known[message[:length]] = _Known(Signature(read, is_shared=True), values)
            self._lengths[len(message)] = length


def _place_of_id(message: bytes) -> tuple[int, int, int]:
    """Where the field of the id begins, where its text begins, and where both end. The same place without an id."""
    at, last = 0, len(message) - 1
    while at < last and message[at] in BEFORE_ID and message[at + 1] < ONE_BYTE:
        at += 2 + message[at + 1]
    if at < last and message[at] == ID and message[at + 1] < ONE_BYTE:
        return at, at + 2, at + 2 + message[at + 1]
    return at, at, at


def _placed(raw: Sequence[bytes], end: int) -> tuple[tuple[bytes, int, int], ...]:
    """Where the raw values stand in a message of this length that ends with them."""
    placed = []
    for values in reversed(raw):
        prefix, start = length_prefix(RAW_FIELD, len(values)), end - len(values)
        placed.append((prefix, start, end))
        end = start - len(prefix)
    return tuple(reversed(placed))


def _fits(message: bytes, values: tuple[tuple[bytes, int, int], ...], id_bytes: int = 0) -> bool:
    """Whether the message ends with values of these sizes. Its id takes so many bytes."""
    if len(message) != values[-1][2] + id_bytes:
        return False
    return all(message[start + id_bytes - len(prefix) : start + id_bytes] == prefix for prefix, start, _ in values)
