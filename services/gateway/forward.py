"""One forward: reads the tensors of a request, runs the model, and writes the response.

It runs on any thread. So it changes nothing and counts nothing: its end says what to count.
"""

from collections.abc import Sequence
from typing import NamedTuple

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference_parameters import BAD, MAX_MESSAGE_BYTES
from services.gateway.answered_by import answered_by
from services.gateway.categories import unknown_category
from services.gateway.classification import class_counts, classified
from services.gateway.fault import Cause
from services.gateway.memory import out_of_memory
from services.gateway.parameters import check_parameters, refuse_shared_memory
from services.gateway.rejection import cause_of, rejected_inputs
from services.gateway.routing import Routing
from services.gateway.sessions import Interruption, LoadedVersion
from services.gateway.tensors import (
    Array,
    DeclaredInputs,
    TensorSpec,
    all_finite,
    declared_inputs,
    read_inputs,
    requested_outputs,
    write_outputs,
)

MAX_BYTES_PER_BYTE = 10
"""A typed INT8 below 0 takes ten bytes in a response, more than any other element in relation to its array."""
MIB = 2**20


class Answer(NamedTuple):
    """The response, and whether all its numbers are finite."""

    response: inference.ModelInferResponse
    finite: bool


class UnknownCategory(Exception):
    """The model ran and failed on a category that it does not know."""


class OutOfMemory(Exception):
    """The model ran and needed more memory than forwards may use."""


class AnswerTooLarge(Exception):
    """The model answered, and gRPC cannot send so large a response."""


class ModelFailed(Exception):
    """The model ran and failed. The cause is whatever it raised.

    `reason` is what that says, and `rule` the sentence for the caller when the inputs are the reason.
    """

    def __init__(self, message: str, reason: Cause, rule: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.rule = rule


class Forward(NamedTuple):
    """One request for one version, with the outputs that it asks for."""

    request: inference.ModelInferRequest
    routing: Routing
    inputs: DeclaredInputs
    outputs: Sequence[TensorSpec]
    class_counts: Sequence[int] = ()
    """How many classes to answer in place of each output, 0 for the output itself. Empty for none at all."""

    def run(self, interruption: Interruption | None = None) -> Answer:
        """The version's answer. Raises InvalidInput before the model runs, and this module's errors after it."""
        names = [spec.name for spec in self.outputs]
        return self.answer(_predict(self.routing.version, self.read(), names, interruption))

    def read(self) -> dict[str, Array]:
        """The input arrays by name. Raises InvalidInput."""
        return read_inputs(self.request, self.inputs)

    def answer(self, results: Sequence[Array]) -> Answer:
        """The response with these results. Raises AnswerTooLarge."""
        finite = all_finite(results)
        response = self._response(results, finite)
        if may_be_too_large(results):
            _require_sendable(response)
        return Answer(response, finite)

    def _response(self, results: Sequence[Array], finite: bool) -> inference.ModelInferResponse:
        response = answered_by(self.request, self.routing)
        if not finite:
            response.parameters[BAD].bool_param = True
        outputs = self.outputs
        if self.class_counts:
            answered = [
                classified(spec, array, count) if count else (spec, array)
                for spec, array, count in zip(outputs, results, self.class_counts, strict=True)
            ]
            outputs, results = [spec for spec, _ in answered], [array for _, array in answered]
        write_outputs(response, outputs, results, raw=bool(self.request.raw_input_contents))
        return response


def prepared(request: inference.ModelInferRequest, routing: Routing) -> Forward:
    """The forward, once the tensors that the request declares fit the version. Raises InvalidInput."""
    version = routing.version
    if request.parameters:
        check_parameters(request.parameters)
    for tensor in request.inputs:
        if tensor.parameters:
            refuse_shared_memory(tensor.parameters, f"input {tensor.name!r}")
    outputs = requested_outputs(request, version.outputs)
    return Forward(request, routing, declared_inputs(request, version.inputs), outputs, _class_counts(request, outputs))


def _class_counts(request: inference.ModelInferRequest, outputs: Sequence[TensorSpec]) -> Sequence[int]:
    for output in request.outputs:
        refuse_shared_memory(output.parameters, f"output {output.name!r}")
    if not request.outputs:
        return ()
    counts = class_counts(request.outputs, outputs)
    return counts if any(counts) else ()


def _predict(
    version: LoadedVersion, arrays: dict[str, Array], names: Sequence[str], interruption: Interruption | None
) -> list[Array]:
    try:
        return version.predict(arrays, names, interruption)
    except Exception as error:  # the model is foreign code: any error of it is one bad answer
        if rule := unknown_category(error, arrays, lambda tried: version.predict(tried, names, interruption)):
            raise UnknownCategory(rule) from error
        if rule := out_of_memory(error):
            raise OutOfMemory(f"{version.model} version {version.version} {rule}; send fewer rows at once") from error
        failed = f"{version.model} version {version.version} failed with {type(error).__name__}"
        raise ModelFailed(failed, cause_of(error), rejected_inputs(error, arrays) or failed) from error


def may_be_too_large(results: Sequence[Array]) -> bool:
    """Whether the size of a response with these arrays has to be looked at. Looking costs as much as sending it."""
    size = 0
    for array in results:
        if array.dtype.hasobject:
            return True
        size += array.nbytes
    return size * MAX_BYTES_PER_BYTE > MAX_MESSAGE_BYTES


def _require_sendable(response: inference.ModelInferResponse) -> None:
    size = response.ByteSize()
    if size > MAX_MESSAGE_BYTES:
        raise AnswerTooLarge(
            f"the answer of {response.model_name} version {response.model_version} has {size / MIB:.1f} MiB, and"
            f" {MAX_MESSAGE_BYTES / MIB:.0f} MiB can be sent; send fewer rows at once, or ask for fewer outputs"
        )
