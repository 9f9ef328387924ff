"""The Open Inference Protocol: finds the route, has the version answer, and counts the answer."""

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version as distribution_version
from typing import Any

import grpc

from headgate.domain.names import NUMBER
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference import grpc_predict_v2_pb2_grpc as inference_grpc
from headgate.inference_parameters import ARM_METADATA
from headgate.runtime.errors import RpcRefused
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.absence import unexplained
from services.gateway.arm_header import choice_by_header
from services.gateway.assignment import hash_key
from services.gateway.failures import FAILURES, Failures
from services.gateway.forward import Answer, Forward, prepared
from services.gateway.forward_queue import MAX_WAITING, DeadlinePassed, QueueFull, Ticket
from services.gateway.pace import size_class
from services.gateway.prediction_metrics import BAD, CANCELLED, DEADLINE, ERROR, OK, QUEUE_FULL
from services.gateway.repository import PLATFORM, Repository
from services.gateway.routes import NO_RELEASE, NO_VERSION
from services.gateway.routing import Routing
from services.gateway.routing_key import KeyPlaces, Metadata, routing_key
from services.gateway.sessions import Interruption, LoadedVersion
from services.gateway.table import Entry, Table
from services.gateway.tensors import TensorSpec

NO_PLACES = KeyPlaces()

Context = grpc.aio.ServicerContext[Any, Any]


class InferenceServicer(inference_grpc.GRPCInferenceServiceServicer):
    """Runs on one event loop, and so do quick forwards. Slow ones run beside it and delay their own version only.

    An answer is counted as evidence for the version that ran, stable's as the candidate's. It is bad when the caller
    had given up by the end, because its deadline passed or it cancelled the call. A request that ends while it waits
    for its version, or is refused because too many wait, is no evidence: its version did not run, and how many wait
    depends on the weights and on the traffic as much as on the version.
    """

    def __init__(
        self,
        table: Callable[[], Table],
        is_ready: Callable[[], bool],
        last_poll_at: Callable[[], float],
        is_draining: Callable[[], bool] = lambda: False,
        why_missing: Callable[[str, int], str] = unexplained,
        places: KeyPlaces = NO_PLACES,
    ) -> None:
        self._table = table
        self._is_ready = is_ready
        self._last_poll_at = last_poll_at
        self._is_draining = is_draining
        self._why_missing = why_missing
        self._places = places
        self._repository = Repository(table, self._named)
        self._failures = Failures()

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
        number = _version_number(request.version)
        pinned = number in entry.versions and not entry.why_missing(number)
        return inference.ModelReadyResponse(ready=pinned if request.version else entry.ready)

    async def ServerMetadata(
        self, request: inference.ServerMetadataRequest, context: Context
    ) -> inference.ServerMetadataResponse:
        return inference.ServerMetadataResponse(name="headgate", version=distribution_version("headgate"))

    async def ModelMetadata(
        self, request: inference.ModelMetadataRequest, context: Context
    ) -> inference.ModelMetadataResponse:
        version = self._named(request.name, request.version)
        entry = self._entry(request.name)
        return inference.ModelMetadataResponse(
            name=request.name,
            versions=[str(number) for number in sorted(entry.versions)],
            platform=PLATFORM,
            inputs=[_metadata(spec) for spec in version.inputs.values()],
            outputs=[_metadata(spec) for spec in version.outputs],
        )

    async def ModelInfer(self, request: inference.ModelInferRequest, context: Context) -> inference.ModelInferResponse:
        started = time.monotonic()
        expires_at = started + _seconds_left(context)
        routing = self._routing(request, context, started)
        pace = routing.version.pace
        try:
            forward = prepared(request, routing)
            size = size_class(forward.inputs.elements)
            if pace.is_quick(size):
                answer = forward.run()
                ended = time.monotonic()
                pace.observe(size, ended - started)
            else:
                answer = await self._beside(forward, size, expires_at)
                ended = time.monotonic()
        except FAILURES as error:
            ended = time.monotonic()
            routing.version.statistics.fail(ended - started, ended)
            raise await self._failures.refusal(request, routing, error, expires_at) from error
        # The caller gets no answer after its deadline. So a version that is too slow for its callers counts as bad.
        late = ended > expires_at
        routing.version.statistics.answer(ended - started, ended)
        routing.count(bad=not answer.finite, late=late)
        routing.metrics.answered(OK if answer.finite and not late else BAD, ended - started)
        return answer.response

    async def ModelConfig(
        self, request: inference.ModelConfigRequest, context: Context
    ) -> inference.ModelConfigResponse:
        return self._repository.config(request)

    async def ModelStatistics(
        self, request: inference.ModelStatisticsRequest, context: Context
    ) -> inference.ModelStatisticsResponse:
        return self._repository.statistics(request)

    async def RepositoryIndex(
        self, request: inference.RepositoryIndexRequest, context: Context
    ) -> inference.RepositoryIndexResponse:
        return self._repository.index(request)

    async def RepositoryModelLoad(
        self, request: inference.RepositoryModelLoadRequest, context: Context
    ) -> inference.RepositoryModelLoadResponse:
        return self._repository.load(request)

    async def RepositoryModelUnload(
        self, request: inference.RepositoryModelUnloadRequest, context: Context
    ) -> inference.RepositoryModelUnloadResponse:
        return self._repository.unload(request)

    async def _beside(self, forward: Forward, size: int, expires_at: float) -> Answer:
        """The answer from the version's own thread. Raises the forward's errors, and RpcRefused when it did not run."""
        version, not_run = forward.routing.version, forward.routing.entry.metrics.count_not_run
        interruption = Interruption()
        work, observe = partial(forward.run, interruption), partial(version.pace.observe, size)
        size_bytes = forward.request.ByteSize()
        try:
            ticket = version.queue.put(work, interruption.interrupt, observe, expires_at, size_bytes)
        except QueueFull:
            not_run(QUEUE_FULL)
            raise _queue_full(version, size) from None
        try:
            return await ticket.done
        except DeadlinePassed:
            not_run(DEADLINE)
            raise _deadline_passed(f"the requests before it at {version.model} version {version.version}") from None
        except asyncio.CancelledError:
            self._count_given_up(forward.routing, ticket)
            raise

    def _count_given_up(self, routing: Routing, ticket: Ticket[Answer]) -> None:
        """Counts a request whose caller has given up: as a bad answer if the model runs for it already."""
        if routing.version.queue.withdraw(ticket):
            routing.entry.metrics.count_not_run(DEADLINE if time.monotonic() >= ticket.expires_at else CANCELLED)
        elif not self._is_draining():  # at the end of the grace it is the gateway that gives up
            routing.count(bad=True, late=True)
            routing.metrics.count(BAD)

    def _entry(self, model: str) -> Entry:
        entry = self._table().entries.get(model)
        if entry is None:
            self._check_ready()
            raise RpcRefused(grpc.StatusCode.NOT_FOUND, "unknown-model", f"there is no model {model!r}", "model_name")
        return entry

    def _pinned(self, entry: Entry, version: str) -> LoadedVersion:
        number, model = _version_number(version), entry.route.model
        loaded = entry.versions.get(number)
        if loaded is None:
            self._check_ready()
            why = self._why_missing(model, number)
            rule = f"version {version!r} of {model} {why}; loaded here: {sorted(entry.versions)}"
            raise RpcRefused(grpc.StatusCode.NOT_FOUND, "version-not-loaded", rule, "model_version")
        if number in entry.withheld:
            rule = f"version {version!r} of {model} {entry.withheld[number]}"
            raise RpcRefused(grpc.StatusCode.FAILED_PRECONDITION, "not-deployable", rule, "model_version")
        return loaded

    def _named(self, model: str, version: str) -> LoadedVersion:
        """The version with this number, or without one the version that stands for the model."""
        entry = self._entry(model)
        found = self._pinned(entry, version) if version else entry.default
        if found is None:
            raise self._no_version(entry)
        return found

    def _no_version(self, entry: Entry) -> RpcRefused:
        route = entry.route
        reasons = [f"version {number} {reason}" for number in route.versions if (reason := entry.why_missing(number))]
        why = "; ".join(reasons) or f"none is live; release one with: headgate release start {route.model}/NUMBER"
        rule = f"no version of {route.model} is ready to serve here: {why}"
        return RpcRefused(grpc.StatusCode.UNAVAILABLE, "no-ready-version", rule)

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
        key_hash, metadata, silent_seconds = 0, _metadata_of(context), now - self._last_poll_at()
        if (asked := metadata(ARM_METADATA)) is not None:
            choice = choice_by_header(entry, asked, silent_seconds)
        else:
            if entry.route.release != NO_RELEASE:
                key_hash = hash_key(entry.route.salt, routing_key(request, metadata, self._places))
            choice = entry.choose(key_hash, silent_seconds)
        arm = metrics.candidate if choice.arm == telemetry.ARM_CANDIDATE else metrics.stable
        if choice.version is None:
            arm.count(ERROR)
            raise self._no_version(entry)
        return Routing(entry, choice.version, choice.arm, key_hash, choice.counted, arm)


def _seconds_left(context: Context) -> float:
    """The time until the caller's deadline. Raises RpcRefused when it has passed: no version runs for nobody."""
    left: float | None = context.time_remaining()
    if left is None:
        return math.inf
    if left <= 0:
        raise _deadline_passed("the calls before it")
    return left


def _deadline_passed(waited_for: str) -> RpcRefused:
    rule = f"the deadline passed while the call waited for {waited_for}"
    return RpcRefused(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline-passed", rule)


def _queue_full(version: LoadedVersion, size: int) -> RpcRefused:
    seconds = version.pace.average_seconds(size)
    rule = (
        f"{version.model} version {version.version} is slow (about {seconds:.3g} s for a request like this) and answers"
        f" one request after the other. At most {MAX_WAITING} requests wait for it, and all places are taken."
        " Send fewer requests at once and try again later, or have gateways added"
    )
    return RpcRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue-full", rule, retry_after_seconds=seconds)


def _metadata_of(context: Context) -> Metadata:
    pairs = context.invocation_metadata() or ()

    def metadata(name: str) -> str | None:
        for key, value in pairs:
            if key == name:
                return value if isinstance(value, str) else value.decode(errors="replace")
        return None

    return metadata


def _version_number(text: str) -> int:
    return int(text) if NUMBER.fullmatch(text) else NO_VERSION


def _metadata(spec: TensorSpec) -> inference.ModelMetadataResponse.TensorMetadata:
    return inference.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype, shape=spec.wire_shape)
