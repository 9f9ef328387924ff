"""The parameters of a request. The known ones are checked; all others are ignored, as Triton does.

`priority`, `sequence_id`, `sequence_start` and `sequence_end` have no effect: models answer each request alone.
"""

from collections.abc import Mapping
from typing import Any

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference_parameters import ROUTING_KEY
from services.gateway.tensors import InvalidInput

TIMEOUT = "timeout"
"""Microseconds after which the caller wants no answer any more."""
MICROSECONDS_PER_SECOND = 1e6

_WHOLE, _TEXT, _FLAG = ("int64_param", "uint64_param"), ("string_param",), ("bool_param",)
_WORDS = {"int64_param": "a whole number", "string_param": "a string", "bool_param": "true or false"}
KNOWN: Mapping[str, tuple[str, ...]] = {
    ROUTING_KEY: _TEXT,
    TIMEOUT: _WHOLE,
    "priority": _WHOLE,
    "sequence_id": (*_WHOLE, *_TEXT),
    "sequence_start": _FLAG,
    "sequence_end": _FLAG,
}
"""The kinds of value that each parameter may have."""
MAX_UINT64 = 2**64 - 1
MAX_TIMEOUT_MICROSECONDS = 24 * 3_600 * 1_000_000
RANGES: Mapping[str, tuple[int, int, str]] = {
    TIMEOUT: (0, MAX_TIMEOUT_MICROSECONDS, "microseconds"),
    "priority": (0, MAX_UINT64, "a priority"),
    "sequence_id": (0, MAX_UINT64, "an id"),
}
"""The least and the largest whole number, and what it counts. A timeout of 0 is none, as with Triton."""

SHARED_MEMORY = "shared_memory_region"


def check_parameters(parameters: Mapping[str, inference.InferParameter]) -> None:
    """Raises InvalidInput, with the parameter."""
    for name, parameter in parameters.items():
        kinds = KNOWN.get(name)
        if kinds is not None and parameter.WhichOneof("parameter_choice") not in kinds:
            expected = " or ".join(_WORDS[kind] for kind in kinds if kind in _WORDS)
            raise InvalidInput(f"parameter {name!r}: expected {expected}", "parameters")
        if name in RANGES:
            _refuse_beyond(name, parameter)


def _refuse_beyond(name: str, parameter: inference.InferParameter) -> None:
    low, high, unit = RANGES[name]
    value = getattr(parameter, parameter.WhichOneof("parameter_choice") or "int64_param")
    if not isinstance(value, str) and not low <= value <= high:
        raise InvalidInput(f"parameter {name!r}: expected {unit} from {low} to {high}, got {value}", "parameters")


def timeout_seconds(parameters: Mapping[str, inference.InferParameter]) -> float | None:
    """How long the caller waits by its parameter. None when it does not say, or says 0."""
    if TIMEOUT not in parameters:
        return None
    parameter = parameters[TIMEOUT]
    microseconds: Any = parameter.uint64_param or parameter.int64_param
    return microseconds / MICROSECONDS_PER_SECOND if microseconds > 0 else None


def refuse_shared_memory(parameters: Mapping[str, inference.InferParameter], what: str) -> None:
    """Raises InvalidInput for a tensor that lies in memory which the gateway cannot reach."""
    if SHARED_MEMORY in parameters:
        rule = "shared memory is not offered here; send and take the bytes of the tensor in the messages"
        raise InvalidInput(f"{what}: {rule}", "inputs" if what.startswith("input") else "outputs")
