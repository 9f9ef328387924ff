"""The gateway's gRPC server: grpc.aio on uvloop, in a thread of its own. The rest of the service stays synchronous."""

import asyncio
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from headgate.access.coverage import CoveredServer
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference import grpc_predict_v2_pb2_grpc as inference_grpc
from headgate.inference_parameters import MAX_MESSAGE_BYTES
from headgate.runtime.deadline import Deadline
from headgate.runtime.errors import RpcRefused
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.rpc.errors import grpc_status_of, incident_of
from headgate.runtime.rpc.listening_port import ListeningPort, connection_limits
from headgate.runtime.rpc.metrics import split_method
from headgate.runtime.rpc.pending_calls import PENDING_CALLS
from headgate.runtime.rpc.quiet import await_quiet
from headgate.runtime.tls import TlsFiles
from services.gateway.callers import Callers
from services.gateway.loop_thread import STOP_MARGIN_SECONDS, LoopThread
from services.gateway.not_offered import NotOffered

logger = logging.getLogger(__name__)

MAX_CONCURRENT_CALLS = 4_096
START_SECONDS = 10.0
QUIET_SHARE_OF_GRACE = 0.5

SERVICE_NAME = inference.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
HEALTH_NAMES = ("", SERVICE_NAME)
INFERENCE = f"/{SERVICE_NAME}/"

Behaviour = Callable[[Any, Any], Awaitable[Any]]


class LoopServer(ABC):
    """What the gateway's gRPC servers have in common: an event loop in a thread of its own, and health."""

    _health: health.aio.HealthServicer

    def __init__(self) -> None:
        self._loop = LoopThread("inference-server")

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the calls. It runs from `start` to the end of `stop`."""
        return self._loop.loop

    def start(self) -> int:
        """Opens the port and returns it. Raises CannotListen and TlsUnusable."""
        self._loop.start()
        return self._loop.run(self._start(), START_SECONDS)

    def set_ready(self) -> None:
        """Reports SERVING in health."""
        self._loop.run(serving(self._health), START_SECONDS)

    def drain(self) -> None:
        """Reports NOT_SERVING in health, and goes on answering."""
        self._loop.run(self._health.enter_graceful_shutdown(), START_SECONDS)

    @abstractmethod
    async def _start(self) -> int:
        """Opens the port and returns it."""


class InferenceServer(LoopServer):
    """Answers calls from the start. Health reports SERVING after `set_ready`. With `tls` the port speaks TLS.

    Without `callers` it answers everybody.
    """

    def __init__(
        self,
        servicer: inference_grpc.GRPCInferenceServiceServicer,
        host: str,
        port: int,
        metrics: Metrics,
        tls: TlsFiles | None = None,
        callers: Callers | None = None,
    ) -> None:
        super().__init__()
        self._servicer = servicer
        self._listening = ListeningPort(host, port, tls)
        self._calls = CallInterceptor(metrics, callers=callers)
        self._ended = threading.Event()

    def is_alive(self) -> bool:
        """Whether it serves: the event loop's thread runs, and grpcio has not ended the server by itself."""
        return self._loop.is_alive() and not self._ended.is_set()

    def last_call_at(self) -> float:
        """When the last call started, on the monotonic clock."""
        return self._calls.last_call_at()

    def stop(self, grace_seconds: float) -> None:
        """Reports NOT_SERVING and answers until no more calls come. Calls in progress get the rest of the grace."""
        deadline = Deadline(grace_seconds)
        self.drain()
        own_address, limit_seconds = self._listening.own_address, deadline.left(QUIET_SHARE_OF_GRACE)
        await_quiet(self.last_call_at, own_address, limit_seconds)
        left_seconds = deadline.left()
        self._loop.run(self._stop(left_seconds), left_seconds + STOP_MARGIN_SECONDS)
        self._loop.stop()
        self._listening.close()

    async def _start(self) -> int:
        self._server = grpc.aio.server(
            interceptors=[self._calls],
            maximum_concurrent_rpcs=MAX_CONCURRENT_CALLS,
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 1),
                *PENDING_CALLS,
                *connection_limits(),
            ],
        )
        self._health = add_services(self._servicer, self._server)
        await report(self._health, health_pb2.HealthCheckResponse.NOT_SERVING)
        port = self._listening.open(self._server)
        await self._server.start()
        self._watching = asyncio.ensure_future(self._watch())
        return port

    async def _stop(self, grace_seconds: float) -> None:
        await self._server.stop(grace_seconds)
        await self._watching

    async def _watch(self) -> None:
        """Notes the end of the server. An error in grpcio's own loop ends it, and its port with it."""
        try:
            await self._server.wait_for_termination()
        except Exception:
            logger.exception("the gRPC server ended by itself")
        self._ended.set()


def add_services(servicer: inference_grpc.GRPCInferenceServiceServicer, server: Any) -> health.aio.HealthServicer:
    """Adds the protocol, health and reflection to a server of grpc.aio, or to what takes its place. Returns health.

    Raises MethodWithoutRow when the policy table does not say who may call a method.
    """
    covered: Any = CoveredServer(server)
    inference_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, covered)
    server.add_generic_rpc_handlers((NotOffered(SERVICE_NAME),))
    reported = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(reported, covered)
    names = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
    if isinstance(server, grpc.aio.Server):
        reflection.enable_server_reflection(names, server)
    else:
        reflected = reflection.aio.ReflectionServicer(service_names=names)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflected, server)
    return reported


async def serving(reported: health.aio.HealthServicer) -> None:
    """Reports SERVING."""
    await report(reported, health_pb2.HealthCheckResponse.SERVING)


async def report(reported: health.aio.HealthServicer, status: "health_pb2.HealthCheckResponse.ServingStatus") -> None:
    """Reports the status of the whole server and of the protocol."""
    for name in HEALTH_NAMES:
        await reported.set(name, status)


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Counts calls, notes when the last one came, and turns errors into statuses. With `callers` it asks who calls.

    A refusal gets google.rpc details. Any other error shows only an incident id; the log has a line with this id.
    """

    def __init__(self, metrics: Metrics, service: str = INFERENCE, callers: Callers | None = None) -> None:
        self._service, self._callers = service, callers
        self._requests = metrics.counter("headgate_rpc_requests_total")
        self._duration = metrics.histogram("headgate_rpc_duration_seconds")
        self._wrapped: dict[str, Any] = {}
        self._last_call_at = time.monotonic()

    def last_call_at(self) -> float:
        """When the last call started, on the monotonic clock."""
        return self._last_call_at

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        method = handler_call_details.method
        if method.startswith(self._service):
            self._last_call_at = time.monotonic()
        # One wrapper per method is enough: the handlers of a running server never change.
        if method not in self._wrapped:
            handler = await continuation(handler_call_details)
            if handler is None or not method.startswith(self._service):
                return handler
            self._wrapped[method] = self.wrapped(handler, method)
        return self._wrapped[method]

    def wrapped(self, handler: Any, method: str) -> Any:
        """The handler with errors as statuses. It takes one request, or a stream of them.

        One that answers a request with a stream writes to its context and returns at the end.
        """
        if self._callers is not None:
            handler = self._callers.checked(handler, method)
        serializers = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._with_error_handling(handler.unary_unary, method), *serializers
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._with_error_handling(handler.unary_stream, method), *serializers
            )
        return grpc.stream_stream_rpc_method_handler(
            self._stream_with_error_handling(handler.stream_stream, method), *serializers
        )

    def _with_error_handling(self, behaviour: Behaviour, method: str) -> Behaviour:
        name = split_method(method)
        # The series of an answered call are looked up once per method, not once per call.
        answered, seconds = self._requests.labels(*name, grpc.StatusCode.OK.name), self._duration.labels(*name)

        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            started = time.monotonic()
            try:
                response = await behaviour(request, context)
                seconds.observe(time.monotonic() - started)
                answered.inc()
                return response
            except asyncio.CancelledError:  # the caller waits no longer
                self._requests.labels(*name, code_of_cancelled(context).name).inc()
                raise
            except Exception as error:  # noqa: BLE001  # the caller gets its status
                await self._abort(method, context, error)

        return call

    def _stream_with_error_handling(self, behaviour: Callable[[Any, Any], AsyncIterator[Any]], method: str) -> Any:
        name = split_method(method)

        async def call(requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            try:
                async with aclosing(behaviour(requests, context)) as responses:  # type: ignore[type-var]
                    async for response in responses:
                        yield response
                self._requests.labels(*name, grpc.StatusCode.OK.name).inc()
            except asyncio.CancelledError:
                self._requests.labels(*name, code_of_cancelled(context).name).inc()
                raise
            except Exception as error:  # noqa: BLE001  # the caller gets its status
                await self._abort(method, context, error)

        return call

    async def _abort(self, method: str, context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> None:
        """Ends the call with the status of the error."""
        name = split_method(method)
        if isinstance(error, RpcRefused):
            self._requests.labels(*name, error.code.name).inc()
            status = grpc_status_of(error)
            await context.abort(status.code, status.details, status.trailing_metadata)
        self._requests.labels(*name, grpc.StatusCode.INTERNAL.name).inc()
        await context.abort(grpc.StatusCode.INTERNAL, incident_of(error, method))


def code_of_cancelled(context: Any) -> grpc.StatusCode:
    """The status that the caller of a cancelled call has seen."""
    left: float | None = context.time_remaining()
    return grpc.StatusCode.CANCELLED if left is None or left > 0 else grpc.StatusCode.DEADLINE_EXCEEDED
