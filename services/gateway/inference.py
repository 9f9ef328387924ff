"""What the Open Inference Protocol asks of a gateway, without a transport.

Every server of the protocol, gRPC or REST, parses a request, calls `Inference`, and sends what it returns. It finds the
route, has the version answer, and counts the answer.
"""

import math
import random
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version as distribution_version
from typing import NamedTuple

import grpc

from headgate.domain.names import NUMBER
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference_parameters import ARM_METADATA
from headgate.runtime.errors import RpcRefused
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.absence import ASLEEP, unexplained
from services.gateway.arm_header import choice_by_header
from services.gateway.assignment import HASH_BITS, hash_key
from services.gateway.batching import Batching
from services.gateway.failures import FAILURES, Failure, Failures
from services.gateway.forward import Answer, Forward, prepared
from services.gateway.forward_queue import MAX_WAITING, MAX_WAITING_SECONDS, DeadlinePassed, QueueFull, Ticket
from services.gateway.loading.on_demand import Asleep, LoadOnDemand, Loads, NothingSleeps, not_loaded
from services.gateway.loading.waits import NotLoaded
from services.gateway.pace import size_class
from services.gateway.parameters import timeout_seconds
from services.gateway.pending import Pending, cancelled
from services.gateway.prediction_log.log import PredictionLog
from services.gateway.prediction_metrics import BAD, CANCELLED, DEADLINE, ERROR, OK, QUEUE_FULL
from services.gateway.promise import Promise
from services.gateway.repository import PLATFORM, Repository
from services.gateway.request import Request
from services.gateway.routes import NO_RELEASE, NO_VERSION
from services.gateway.routing import Routing
from services.gateway.routing_key import KeyPlaces, Metadata, routing_key
from services.gateway.sessions import Interruption, LoadedVersion
from services.gateway.table import Entry, Table
from services.gateway.tensors import TensorSpec

NO_PLACES = KeyPlaces()
NOTHING_SLEEPS = NothingSleeps()
NO_BATCHES = Batching(False, lambda _: None)

Ended = Promise[Answer]


def no_metadata(name: str) -> str | None:
    """The metadata of a call that has none."""
    return None


class Call(NamedTuple):
    """What a server knows about a call beside its request.

    `metadata` gives the first value of a header or of gRPC metadata by its lower-case name, or None. `expires_at` is
    the caller's deadline on the monotonic clock.
    """

    metadata: Metadata = no_metadata
    expires_at: float = math.inf


class Inference:
    """The methods of the protocol. Every method may be called on any thread, and by several threads at once.

    None of them waits: a quick version answers on the caller's thread within a few milliseconds, and a slow one runs on
    its own thread, where it delays nobody else. Each raises RpcRefused for a request that it refuses. Any other error
    is a fault of the gateway: the server logs it and shows its caller no more than an incident id.

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
        prediction_log: PredictionLog | None = None,
        loads: Loads = NOTHING_SLEEPS,
        own_key: str = "",
        batching: Batching = NO_BATCHES,
    ) -> None:
        """With an `own_key` it decides the arm of every request, whatever key the caller gives."""
        self._table = table
        self._is_ready = is_ready
        self._last_poll_at = last_poll_at
        self._is_draining = is_draining
        self._why_missing = why_missing
        self._places = places
        self._prediction_log = prediction_log
        self._batching = batching
        self._on_demand = LoadOnDemand(loads)
        self._own_key = own_key
        self.repository = Repository(table, self._named)
        """Triton's additions to the protocol."""
        self._failures = Failures()

    def server_live(self) -> inference.ServerLiveResponse:
        """Live as long as it answers."""
        return inference.ServerLiveResponse(live=True)

    def server_ready(self) -> inference.ServerReadyResponse:
        """Ready once the gateway has tried to load every version that must answer."""
        return inference.ServerReadyResponse(ready=self._is_ready())

    def server_metadata(self) -> inference.ServerMetadataResponse:
        """Name and version of this server."""
        return inference.ServerMetadataResponse(name="headgate", version=distribution_version("headgate"))

    def model_ready(self, request: inference.ModelReadyRequest) -> inference.ModelReadyResponse:
        """Whether the model can answer, or the version that the request names."""
        entry = self._table().entries.get(request.name)
        if entry is None:
            return inference.ModelReadyResponse(ready=False)
        number = _version_number(request.version)
        pinned = number in entry.route.versions and not entry.why_missing(number)
        return inference.ModelReadyResponse(ready=pinned if request.version else entry.ready)

    def model_metadata(self, request: inference.ModelMetadataRequest) -> inference.ModelMetadataResponse:
        """The tensors of the version that the request names, or of the one that stands for the model."""
        version = self._named(request.name, request.version)
        entry = self._entry(request.name)
        return inference.ModelMetadataResponse(
            name=request.name,
            versions=[str(number) for number in entry.offered],
            platform=PLATFORM,
            inputs=[_metadata(spec) for spec in version.inputs.values()],
            outputs=[_metadata(spec) for spec in version.outputs],
        )

    def infer(self, request: Request, call: Call) -> Answer | Pending:
        """The answer of a quick version, or what comes later: a slow version's, or a refusal that takes time.

        Until a Pending is done, its server must call `give_up` as soon as the caller waits no longer.
        """
        started = time.monotonic()
        if call.expires_at <= started:  # no version runs for nobody
            raise _deadline_passed("the calls before it")
        parameters = request.signature.parameters
        if parameters and (timeout := timeout_seconds(parameters)) is not None:
            call = call._replace(expires_at=min(call.expires_at, started + timeout))
        try:
            routing = self._routing(request, call.metadata, started)
        except Asleep as asleep:
            return self._on_demand.answer(
                asleep.entry, call.expires_at, partial(self._begin, request, asleep.routed, started, call)
            )
        pace = routing.version.pace
        try:
            forward = prepared(request, routing)
            size = size_class(forward.fit.inputs.elements)
            if not pace.is_quick(size):
                return self._beside(forward, size, started, call)
            cpu_began = time.thread_time() if pace.is_doubted else None
            answer = forward.run()
            if cpu_began is None:
                pace.observe_clock(size, time.monotonic() - started)
            else:
                pace.observe(size, time.thread_time() - cpu_began)
        except FAILURES as error:
            pending = Pending()
            self._fail(pending, request, routing, error, started, call.expires_at)
            return pending
        return self._counted(answer, started, call)

    def _begin(
        self,
        request: Request,
        routed: Callable[[LoadedVersion], Routing],
        started: float,
        call: Call,
        version: LoadedVersion,
    ) -> Pending:
        """Begins a request whose version was loaded for it, on the version's own thread. Raises RpcRefused."""
        routing = routed(version)
        try:
            forward = prepared(request, routing)
            return self._beside(forward, size_class(forward.fit.inputs.elements), started, call)
        except FAILURES as error:
            pending = Pending()
            self._fail(pending, request, routing, error, started, call.expires_at)
            return pending

    def _beside(self, forward: Forward, size: int, started: float, call: Call) -> Pending:
        """Has the version's own thread answer. Raises RpcRefused when too many requests wait for it."""
        version = forward.routing.version
        interruption = Interruption()
        work, observe = partial(forward.run, interruption), partial(version.pace.observe, size)
        size_bytes = forward.request.size_bytes
        try:
            seconds = version.pace.average_seconds(size)
            part = self._batching.part_of(forward, seconds)
            ticket = version.queue.put(
                work, interruption.interrupt, observe, call.expires_at, size_bytes, seconds, part
            )
        except QueueFull:
            forward.routing.entry.metrics.count_not_run(QUEUE_FULL)
            raise _queue_full(version, seconds) from None
        pending = Pending(partial(self._give_up, forward.routing, ticket))
        ticket.done.add_done_callback(partial(self._end, pending, forward, started, call))
        return pending

    def _end(self, pending: Pending, forward: Forward, started: float, call: Call, ended: Ended) -> None:
        """Ends a call that waited for its version. Runs on the version's thread."""
        if not pending.end():
            return
        try:
            self._answer_late(pending, forward, started, call, ended)
        except Exception as error:  # noqa: BLE001  # whoever waits for the answer handles its error
            pending.done.set_exception(error)

    def _answer_late(self, pending: Pending, forward: Forward, started: float, call: Call, ended: Ended) -> None:
        version = forward.routing.version
        try:
            answer = ended.result()
        except DeadlinePassed:
            forward.routing.entry.metrics.count_not_run(DEADLINE)
            raise _deadline_passed(f"the requests before it at {version.model} version {version.version}") from None
        except FAILURES as error:
            self._fail(pending, forward.request, forward.routing, error, started, call.expires_at)
            return
        pending.done.set_result(self._counted(answer, started, call))

    def _counted(self, answer: Answer, started: float, call: Call) -> Answer:
        """Counts an answer. A late one is bad: its caller never gets it, so the version is too slow for them."""
        request, routing, _ = answer.forward
        now = time.monotonic()
        late = now > call.expires_at
        routing.version.statistics.answer(now - started, now)
        routing.count_evidence(bad=not answer.finite, late=late)
        bad = late or not answer.finite
        routing.metrics.answered(BAD if bad else OK, now - started)
        if self._prediction_log is not None:
            key = partial(routing_key, request, call.metadata, self._places)
            self._prediction_log.answered(key, answer, now - started, bad)
        return answer

    def _fail(
        self,
        pending: Pending,
        request: Request,
        routing: Routing,
        error: Failure,
        started: float,
        expires_at: float,
    ) -> None:
        """Counts a request without an answer. Raises its refusal, or lets `pending` refuse it once that is decided."""
        now = time.monotonic()
        routing.version.statistics.fail(now - started, now)
        refusal = self._failures.refusal(request, routing, error, expires_at)
        if isinstance(refusal, RpcRefused):
            raise refusal from error
        pending.go_on(refusal.decide_now)
        refusal.then(pending.refuse)

    def _give_up(self, routing: Routing, ticket: Ticket[Answer], pending: Pending) -> None:
        """Counts a request whose caller has given up: as a bad answer if the model runs for it already."""
        has_expired = time.monotonic() >= ticket.expires_at
        if routing.version.queue.withdraw(ticket):
            routing.entry.metrics.count_not_run(DEADLINE if has_expired else CANCELLED)
        elif not self._is_draining():  # at the end of the grace it is the gateway that gives up
            routing.count_evidence(bad=True, late=True)
            routing.metrics.count(BAD)
        pending.done.set_exception(_deadline_passed("its answer") if has_expired else cancelled())

    def _entry(self, model: str) -> Entry:
        entry = self._table().entries.get(model)
        if entry is None:
            self._check_ready()
            raise RpcRefused(grpc.StatusCode.NOT_FOUND, "unknown-model", f"there is no model {model!r}", "model_name")
        return entry

    def _pinned(self, entry: Entry, version: str) -> LoadedVersion:
        number, model = _version_number(version), entry.route.model
        loaded = entry.versions.get(number)
        if loaded is None and not entry.is_asleep(number):
            self._check_ready()
            why = self._why_missing(model, number)
            rule = f"version {version!r} of {model} {why}; served here: {entry.offered}"
            raise RpcRefused(grpc.StatusCode.NOT_FOUND, "version-not-loaded", rule, "model_version")
        if number in entry.withheld:
            rule = f"version {version!r} of {model} {entry.withheld[number]}"
            raise RpcRefused(grpc.StatusCode.FAILED_PRECONDITION, "not-deployable", rule, "model_version")
        if loaded is None:
            raise Asleep(entry, partial(_pinned_routing, entry))
        return loaded

    async def loaded(self, model: str, version: str) -> None:
        """Has a version that sleeps loaded, for who asks about it, and waits for it. Raises RpcRefused."""
        try:
            self._found(model, version)
        except Asleep as asleep:
            await self._on_demand.loaded(asleep.entry)

    def _named(self, model: str, version: str) -> LoadedVersion:
        """The version with this number, or without one the version that stands for the model. Raises RpcRefused."""
        try:
            return self._found(model, version)
        except Asleep as asleep:
            raise not_loaded(asleep.entry, NotLoaded(ASLEEP)) from None

    def _found(self, model: str, version: str) -> LoadedVersion:
        """Raises Asleep and RpcRefused."""
        entry = self._entry(model)
        found = self._pinned(entry, version) if version else entry.default
        if found is not None:
            return found
        raise Asleep(entry, partial(_pinned_routing, entry)) if entry.asleep else self._no_version(entry)

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

    def _routing(self, request: Request, metadata: Metadata, now: float) -> Routing:
        """Raises Asleep and RpcRefused."""
        signature = request.signature
        entry = self._entry(signature.model)
        metrics = entry.metrics
        if signature.version:
            return _pinned_routing(entry, self._pinned(entry, signature.version))
        key_hash, silent_seconds = 0, now - self._last_poll_at()
        if (asked := metadata(ARM_METADATA)) is not None:
            choice = choice_by_header(entry, asked, silent_seconds)
        else:
            if entry.route.release != NO_RELEASE:
                key = self._own_key or routing_key(request, metadata, self._places)
                key_hash = random.getrandbits(HASH_BITS) if key is None else hash_key(entry.route.salt, key)
            choice = entry.choose(key_hash, silent_seconds)
        arm = metrics.candidate if choice.arm == telemetry.ARM_CANDIDATE else metrics.stable
        if choice.version is None:
            if entry.asleep and choice.arm == telemetry.ARM_STABLE:
                raise Asleep(entry, lambda loaded: Routing(entry, loaded, choice.arm, key_hash, choice.counted, arm))
            arm.count(ERROR)
            raise self._no_version(entry)
        return Routing(entry, choice.version, choice.arm, key_hash, choice.counted, arm)


def _pinned_routing(entry: Entry, version: LoadedVersion) -> Routing:
    metrics = entry.metrics.pinned
    return Routing(entry, version, telemetry.ARM_UNSPECIFIED, 0, counted=False, metrics=metrics, pinned=True)


def _deadline_passed(waited_for: str) -> RpcRefused:
    rule = f"the deadline passed while the call waited for {waited_for}"
    return RpcRefused(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline-passed", rule)


def _queue_full(version: LoadedVersion, seconds: float) -> RpcRefused:
    rule = (
        f"{version.model} version {version.version} is slow (about {seconds:.3g} s for a request like this) and answers"
        f" one request after the other. At most {MAX_WAITING} requests wait for it, or as many as it answers in"
        f" {MAX_WAITING_SECONDS:g} s, and all places are taken. Send fewer requests at once and try again later, or"
        " have gateways added"
    )
    wait = version.queue.waiting_seconds
    return RpcRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue-full", rule, retry_after_seconds=wait)


def _version_number(text: str) -> int:
    return int(text) if NUMBER.fullmatch(text) else NO_VERSION


def _metadata(spec: TensorSpec) -> inference.ModelMetadataResponse.TensorMetadata:
    return inference.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype, shape=spec.wire_shape)
