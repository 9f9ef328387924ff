"""The Open Inference Protocol: finds the route, checks the request, runs the model and counts the answer."""

import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version as distribution_version
from typing import Any

import grpc

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference import grpc_predict_v2_pb2_grpc as inference_grpc
from headgate.runtime.errors import RpcRefused
from headgate.telemetry.counters import ARM_NAMES
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.assignment import hash_key
from services.gateway.categories import unknown_category
from services.gateway.prediction_metrics import BAD, ERROR, OK, REFUSED, ArmMetrics
from services.gateway.routes import NO_RELEASE, NO_VERSION
from services.gateway.sessions import LoadedVersion
from services.gateway.table import Entry, Table
from services.gateway.tensors import (
    Array,
    InvalidInput,
    TensorSpec,
    all_finite,
    read_inputs,
    requested_outputs,
    write_outputs,
)

logger = logging.getLogger(__name__)

ROUTING_KEY_METADATA = "x-routing-key"
ROUTING_KEY_PARAMETER = "routing_key"
PLATFORM = "onnxruntime_onnx"
MAX_FAILURES_REMEMBERED = 1_000

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Routing:
    """The version that answers one request, and the arm that its answer is counted for."""

    entry: Entry
    version: LoadedVersion
    arm: telemetry.Arm.ValueType
    key_hash: int
    counted: bool
    metrics: ArmMetrics
    pinned: bool = False

    def count(self, bad: bool) -> None:
        """Counts the answer as evidence, unless it must not be counted."""
        if self.counted:
            self.entry.counter.count(self.arm, self.key_hash, bad)


class InferenceServicer(inference_grpc.GRPCInferenceServiceServicer):
    """Runs on one event loop. So does the model, because a small network takes less time than a switch of threads."""

    def __init__(
        self, table: Callable[[], Table], is_ready: Callable[[], bool], last_poll_at: Callable[[], float]
    ) -> None:
        self._table = table
        self._is_ready = is_ready
        self._last_poll_at = last_poll_at
        self._failed: set[tuple[str, int]] = set()

    async def ServerLive(self, request: inference.ServerLiveRequest, context: Context) -> inference.ServerLiveResponse:
        return inference.ServerLiveResponse(live=True)

    async def ServerReady(
        self, request: inference.ServerReadyRequest, context: Context
    ) -> inference.ServerReadyResponse:
        return inference.ServerReadyResponse(ready=self._is_ready())

    async def ModelReady(self, request: inference.ModelReadyRequest, context: Context) -> inference.ModelReadyResponse:
        entry = self._table().entries.get(request.name)
        if entry is None:
            return inference.ModelReadyResponse(ready=False)
        pinned = _version_number(request.version) in entry.versions
        return inference.ModelReadyResponse(ready=pinned if request.version else entry.ready)

    async def ServerMetadata(
        self, request: inference.ServerMetadataRequest, context: Context
    ) -> inference.ServerMetadataResponse:
        return inference.ServerMetadataResponse(name="headgate", version=distribution_version("headgate"))

    async def ModelMetadata(
        self, request: inference.ModelMetadataRequest, context: Context
    ) -> inference.ModelMetadataResponse:
        entry = self._entry(request.name)
        version = self._pinned(entry, request.version) if request.version else entry.default
        if version is None:
            raise _no_version(request.name)
        return inference.ModelMetadataResponse(
            name=request.name,
            versions=[str(number) for number in sorted(entry.versions)],
            platform=PLATFORM,
            inputs=[_metadata(spec) for spec in version.inputs.values()],
            outputs=[_metadata(spec) for spec in version.outputs],
        )

    async def ModelInfer(self, request: inference.ModelInferRequest, context: Context) -> inference.ModelInferResponse:
        started = time.monotonic()
        seconds_left = _seconds_left(context)
        routing = self._routing(request, context, started)
        names, arrays = self._read(request, routing)
        results = self._predict(routing, arrays, names)
        finite = all_finite(results)
        # The caller gets no answer after its deadline. So a version that is too slow for its callers counts as bad.
        good = finite and time.monotonic() - started <= seconds_left
        routing.count(bad=not good)
        response = _response(request, routing, names, results, finite)
        routing.metrics.answered(OK if good else BAD, time.monotonic() - started)
        return response

    def _entry(self, model: str) -> Entry:
        entry = self._table().entries.get(model)
        if entry is None:
            self._check_ready()
            raise RpcRefused(grpc.StatusCode.NOT_FOUND, "unknown-model", f"there is no model {model!r}", "model_name")
        return entry

    def _pinned(self, entry: Entry, version: str) -> LoadedVersion:
        loaded = entry.versions.get(_version_number(version))
        if loaded is None:
            self._check_ready()
            rule = f"version {version!r} of {entry.route.model} is not loaded here; loaded: {sorted(entry.versions)}"
            raise RpcRefused(grpc.StatusCode.NOT_FOUND, "version-not-loaded", rule, "model_version")
        return loaded

    def _check_ready(self) -> None:
        """Raises UNAVAILABLE while the gateway is not ready: it cannot know yet that a model or version is missing."""
        if not self._is_ready():
            raise RpcRefused(grpc.StatusCode.UNAVAILABLE, "not-ready", "this gateway is not ready yet")

    def _routing(self, request: inference.ModelInferRequest, context: Context, now: float) -> Routing:
        entry = self._entry(request.model_name)
        metrics = entry.metrics
        if request.model_version:
            version = self._pinned(entry, request.model_version)
            return Routing(
                entry, version, telemetry.ARM_UNSPECIFIED, 0, counted=False, metrics=metrics.pinned, pinned=True
            )
        key_hash = 0
        if entry.route.release != NO_RELEASE:
            key_hash = hash_key(entry.route.salt, _routing_key(request, context))
        choice = entry.choose(key_hash, now - self._last_poll_at())
        arm = metrics.candidate if choice.arm == telemetry.ARM_CANDIDATE else metrics.stable
        if choice.version is None:
            arm.count(ERROR)
            raise _no_version(request.model_name)
        return Routing(entry, choice.version, choice.arm, key_hash, choice.counted, arm)

    def _read(self, request: inference.ModelInferRequest, routing: Routing) -> tuple[list[str], dict[str, Array]]:
        try:
            return _read(request, routing.version)
        except InvalidInput as error:
            routing.metrics.count(REFUSED)
            if routing.arm == telemetry.ARM_CANDIDATE and _fits(request, routing.entry.stable):
                routing.count(bad=True)
            raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "invalid-input", str(error), "inputs") from error

    def _predict(self, routing: Routing, arrays: dict[str, Array], names: Sequence[str]) -> list[Array]:
        try:
            return routing.version.predict(arrays, names)
        except Exception as error:  # the model is foreign code: any error of it is one bad answer
            routing.count(bad=True)
            if rule := unknown_category(error, arrays, lambda tried: routing.version.predict(tried, names)):
                routing.metrics.count(REFUSED)
                raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "invalid-input", rule, "inputs") from error
            routing.metrics.count(ERROR)
            self._log_first_failure(routing.version, error)
            rule = f"{routing.version.model} version {routing.version.version} failed with {type(error).__name__}"
            raise RpcRefused(grpc.StatusCode.INTERNAL, "model-failed", rule) from error

    def _log_first_failure(self, version: LoadedVersion, error: Exception) -> None:
        """Logs one failure per version, because a broken version may fail on every request."""
        key = (version.model, version.version)
        if key not in self._failed and len(self._failed) < MAX_FAILURES_REMEMBERED:
            self._failed.add(key)
            logger.warning("model failed: %s", error, extra={"model": version.model, "version": version.version})


def _seconds_left(context: Context) -> float:
    """The time until the caller's deadline. Raises RpcRefused when it has passed: no version runs for nobody."""
    left: float | None = context.time_remaining()
    if left is None:
        return math.inf
    if left <= 0:
        rule = "the deadline passed while the call waited for the calls before it"
        raise RpcRefused(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline-passed", rule)
    return left


def _read(request: inference.ModelInferRequest, version: LoadedVersion) -> tuple[list[str], dict[str, Array]]:
    return requested_outputs(request, version.outputs), read_inputs(request, version.inputs)


def _fits(request: inference.ModelInferRequest, stable: LoadedVersion | None) -> bool:
    """Whether stable accepts the request. If it does, the candidate has changed the inputs that callers rely on."""
    if stable is None:
        return False
    try:
        _read(request, stable)
    except InvalidInput:
        return False
    return True


def _response(
    request: inference.ModelInferRequest, routing: Routing, names: Sequence[str], results: Sequence[Array], finite: bool
) -> inference.ModelInferResponse:
    version = routing.version
    response = inference.ModelInferResponse(
        model_name=request.model_name, model_version=str(version.version), id=request.id
    )
    if not routing.pinned:
        response.parameters["arm"].string_param = ARM_NAMES[routing.arm]
        response.parameters["release"].int64_param = routing.entry.route.release
    if not finite:
        response.parameters["headgate_bad"].bool_param = True
    specs = {spec.name: spec for spec in version.outputs}
    write_outputs(response, [specs[name] for name in names], results, raw=bool(request.raw_input_contents))
    return response


def _routing_key(request: inference.ModelInferRequest, context: Context) -> str:
    for name, value in context.invocation_metadata() or ():
        if name == ROUTING_KEY_METADATA:
            return value if isinstance(value, str) else value.decode(errors="replace")
    if ROUTING_KEY_PARAMETER in request.parameters:
        parameter = request.parameters[ROUTING_KEY_PARAMETER]
        if parameter.WhichOneof("parameter_choice") != "string_param":
            rule = f"parameter {ROUTING_KEY_PARAMETER!r}: expected a string"
            raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "invalid-routing-key", rule, "parameters")
        return parameter.string_param
    return request.id or os.urandom(8).hex()


def _version_number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else NO_VERSION


def _no_version(model: str) -> RpcRefused:
    rule = f"no version of {model} is ready to serve here"
    return RpcRefused(grpc.StatusCode.UNAVAILABLE, "no-ready-version", rule)


def _metadata(spec: TensorSpec) -> inference.ModelMetadataResponse.TensorMetadata:
    return inference.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype, shape=spec.wire_shape)
