"""One forward: reads the tensors of a request, runs the model, and writes the response.

It runs on any thread. So it changes nothing and counts nothing: its end says what to count.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

from headgate.artifacts.datatypes import BYTES
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference_parameters import BAD, MAX_MESSAGE_BYTES
from services.gateway.answered_by import answered_by
from services.gateway.categories import unknown_category
from services.gateway.classification import class_counts, classified
from services.gateway.fault import Cause
from services.gateway.memory import out_of_memory
from services.gateway.parameters import check_parameters, refuse_shared_memory
from services.gateway.rejection import cause_of, rejected_inputs
from services.gateway.request import Request, Signature
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
MAX_HEADS = 64
"""When so many are kept for one signature, all are forgotten."""
MAX_FITS = 8
"""When a signature is known to fit so many versions, all are forgotten."""


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


class Fit(NamedTuple):
    """What a signature asks of a version that it fits."""

    specs: Mapping[str, TensorSpec]
    """The inputs of the version."""
    inputs: DeclaredInputs
    outputs: Sequence[TensorSpec]
    names: Sequence[str]
    """Of the outputs."""
    class_counts: Sequence[int]
    """How many classes to answer in place of each output, 0 for the output itself. Empty for none at all."""
    heads: dict[Hashable, tuple[bytes, ...]] | None
    """What stood around the values of answers; None where their size depends on the values."""
    rows: int = 0
    group: Hashable = None
    """Requests of one group may run together: their tensors differ in the number of rows alone. None for no group."""

    def keep(self, key: Hashable, head: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Keeps a head for the next answer with this key, and returns it."""
        if self.heads is not None:
            if len(self.heads) >= MAX_HEADS:
                self.heads.clear()
            self.heads[key] = head
        return head


class Forward(NamedTuple):
    """One request for one version."""

    request: Request
    routing: Routing
    fit: Fit

    def run(self, interruption: Interruption | None = None) -> "Answer":
        """The version's answer. Raises InvalidInput before the model runs, and this module's errors after it."""
        return self.answer(_predict(self.routing.version, self.read(), self.fit.names, interruption))

    def read(self) -> dict[str, Array]:
        """The input arrays by name. Raises InvalidInput."""
        return read_inputs(self.fit.inputs.tensors, self.request.raw)

    def answer(self, results: Sequence[Array]) -> "Answer":
        """The answer with these results. Raises AnswerTooLarge."""
        answer = Answer(self, results, all_finite(results))
        if may_be_too_large(results):
            _require_sendable(answer.message())
        return answer


class Answer(NamedTuple):
    """The results of a forward, and whether all their numbers are finite."""

    forward: Forward
    results: Sequence[Array]
    finite: bool

    def message(self) -> inference.ModelInferResponse:
        """The response of the protocol."""
        request, routing, _ = self.forward
        response = answered_by(request.id, routing)
        if not self.finite:
            response.parameters[BAD].bool_param = True
        specs, arrays = self.outputs()
        write_outputs(response, specs, arrays, raw=bool(request.raw))
        return response

    def outputs(self) -> tuple[Sequence[TensorSpec], Sequence[Array]]:
        """The outputs as the caller wants them: themselves, or their classes."""
        fit = self.forward.fit
        if not fit.class_counts:
            return fit.outputs, self.results
        answered = [
            classified(spec, array, count) if count else (spec, array)
            for spec, array, count in zip(fit.outputs, self.results, fit.class_counts, strict=True)
        ]
        return [spec for spec, _ in answered], [array for _, array in answered]


def prepared(request: Request, routing: Routing) -> Forward:
    """The forward, once the tensors that the request declares fit the version. Raises InvalidInput."""
    signature, version = request.signature, routing.version
    fit = signature.fits.get(version.version)
    if fit is None or fit.specs is not version.inputs:  # it may have been loaded again
        fit = _fit(signature, version)
        if len(signature.fits) >= MAX_FITS:
            signature.fits.clear()
        signature.fits[version.version] = fit
    return Forward(request, routing, fit)


def _fit(signature: Signature, version: LoadedVersion) -> Fit:
    """Raises InvalidInput."""
    request = signature.message
    if request.parameters:
        check_parameters(request.parameters)
    for tensor in request.inputs:
        if tensor.parameters:
            refuse_shared_memory(tensor.parameters, f"input {tensor.name!r}")
    outputs = requested_outputs(request, version.outputs)
    inputs, counts = declared_inputs(request, version.inputs), _class_counts(request, outputs)
    keeps_heads = signature.is_shared and not counts and all(spec.datatype != BYTES for spec in outputs)
    names = [spec.name for spec in outputs]
    rows, group = _group(inputs, names) if version.answers_rows_apart else (0, None)
    return Fit(version.inputs, inputs, outputs, names, counts, {} if keeps_heads else None, rows, group)


def _group(inputs: DeclaredInputs, names: Sequence[str]) -> tuple[int, Hashable]:
    """The number of rows, and which requests may run together; no group where the inputs differ in their rows."""
    counts = {each.shape[0] for each in inputs.tensors}
    rests = sorted((each.name, *each.shape[1:]) for each in inputs.tensors)
    return (0, None) if len(counts) != 1 else (counts.pop(), (tuple(rests), tuple(names)))


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
