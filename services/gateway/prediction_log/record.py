"""Makes the record of one prediction for the prediction log: its tensors in raw form, or the digest of large ones.

It runs on the thread of the prediction log, never on the way to a caller.
"""

import hashlib
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from headgate.artifacts.datatypes import BYTES
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.v1 import predictions_pb2 as predictions
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.forward import Answer
from services.gateway.prediction_log.sampling import ALL
from services.gateway.tensors import BYTES_LENGTH_PREFIX, CONTENTS_FIELDS, NUMPY_TYPES

OVERHEAD_BYTES = 1_000
"""About what a prediction holds beside its elements."""
ELEMENT_BYTES = 8
MAX_REQUEST_ID = 256
"""Characters of a request's id that are recorded."""

Tensor = inference.ModelInferRequest.InferInputTensor | inference.ModelInferResponse.InferOutputTensor


class Taken(NamedTuple):
    """One prediction as the request path hands it over: references alone, nothing is copied.

    `ended_at` is a moment of the monotonic clock.
    """

    request: inference.ModelInferRequest
    raw: Sequence[bytes]
    """The raw values of the request's inputs."""
    request_id: str
    response: inference.ModelInferResponse
    version: int
    arm: telemetry.Arm.ValueType
    release: int
    epoch: int
    key_hash: int
    rate: float
    ended_at: float
    duration_us: int
    bad: bool
    size_bytes: int


class Recording(NamedTuple):
    """What an operator lets a gateway record."""

    gateway: str
    environment: str
    content_bytes: int
    """The most bytes of contents in one record."""
    without_inputs: frozenset[str]
    """Models whose inputs are left out; `*` for all."""


def taken_from(answer: Answer, key_hash: int, rate: float, seconds: float, bad: bool) -> Taken:
    """A prediction that has just been answered."""
    request, routing, fit = answer.forward
    route = routing.entry.route
    return Taken(
        request.signature.message,
        request.raw,
        request.id,
        answer.message(),
        routing.version.version,
        routing.arm,
        route.release,
        route.epoch,
        key_hash,
        rate,
        time.monotonic(),
        round(seconds * 1e6),
        bad,
        OVERHEAD_BYTES + ELEMENT_BYTES * fit.inputs.elements,
    )


def record_of(taken: Taken, recording: Recording, at_ms: int) -> predictions.Prediction:
    """The record of a prediction. Outputs come first, so a large input never costs a small answer its place."""
    request, response, model = taken.request, taken.response, taken.request.model_name
    left_out = bool({model, ALL} & recording.without_inputs)
    outputs, left = _tensors(response.outputs, response.raw_output_contents, recording.content_bytes)
    inputs, _ = _tensors(request.inputs, taken.raw, left, left_out)
    return predictions.Prediction(
        id=str(uuid.uuid4()),
        gateway=recording.gateway,
        environment=recording.environment,
        model=model,
        version=taken.version,
        arm=taken.arm,
        release=taken.release,
        epoch=taken.epoch,
        request_id=taken.request_id[:MAX_REQUEST_ID],
        key_hash=taken.key_hash,
        at_ms=at_ms,
        duration_us=taken.duration_us,
        rate=taken.rate,
        bad=taken.bad,
        inputs=inputs,
        outputs=outputs,
        inputs_left_out=left_out,
    )


def _tensors(
    tensors: Iterable[Tensor], raw: Sequence[bytes], left: int, left_out: bool = False
) -> tuple[list[predictions.PredictionTensor], int]:
    """The tensors with the contents that fit into the bytes that are left, and what is left then."""
    found = []
    for index, tensor in enumerate(tensors):
        content = raw[index] if raw else raw_form(tensor)
        made = predictions.PredictionTensor(
            name=tensor.name, datatype=tensor.datatype, shape=tensor.shape, size_bytes=len(content)
        )
        if left_out:
            pass  # Not even its digest: whoever knows the few possible inputs could try them all.
        elif len(content) <= left:
            made.raw = content
            left -= len(content)
        else:
            made.sha256 = hashlib.sha256(content).digest()
        found.append(made)
    return found, left


def raw_form(tensor: Tensor) -> bytes:
    """The typed contents of a tensor as raw contents would have them."""
    elements = getattr(tensor.contents, CONTENTS_FIELDS[tensor.datatype])
    if tensor.datatype == BYTES:
        return b"".join(len(element).to_bytes(BYTES_LENGTH_PREFIX, "little") + element for element in elements)
    return np.array(elements, np.dtype(NUMPY_TYPES[tensor.datatype]).newbyteorder("<")).tobytes()
