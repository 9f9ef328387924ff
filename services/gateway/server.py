"""The gateway's gRPC server: grpc.aio on uvloop, in a thread of its own, so that a service's life stays synchronous."""

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import grpc
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference import grpc_predict_v2_pb2_grpc as inference_grpc
from headgate.runtime.errors import CannotListen, RpcRefused
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.rpc.errors import status_of
from headgate.runtime.rpc.metrics import split_method

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_CONCURRENT_CALLS = 4_096
START_SECONDS = 10.0
STOP_MARGIN_SECONDS = 2.0

QUIET_SECONDS = 0.2
"""Without a call for this long, nothing is left that the transport has taken in but not yet handed over."""
QUIET_SHARE_OF_GRACE = 0.5
QUIET_CHECK_SECONDS = 0.02

SERVICE_NAME = inference.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
HEALTH_NAMES = ("", SERVICE_NAME)

Result = TypeVar("Result")
Behaviour = Callable[[Any, Any], Awaitable[Any]]


class InferenceServer:
    """Answers from the start; health says SERVING once `set_ready` was called."""

    def __init__(
        self, servicer: inference_grpc.GRPCInferenceServiceServicer, host: str, port: int, metrics: Metrics
    ) -> None:
        self._servicer = servicer
        self._address = f"{host}:{port}"
        self._calls = Calls(metrics)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="door", daemon=True)

    def start(self) -> int:
        """Listens; returns the bound port. Raises CannotListen."""
        self._thread.start()
        return self._do(self._start(), START_SECONDS)

    def set_ready(self) -> None:
        self._do(self._set_ready(), START_SECONDS)

    def drain(self) -> None:
        """Says in health that it leaves; serves on."""
        self._do(self._health.enter_graceful_shutdown(), START_SECONDS)

    def is_alive(self) -> bool:
        """Whether the event loop's thread runs."""
        return self._thread.is_alive()

    def stop(self, grace_seconds: float) -> None:
        """Says in health that it leaves, serves on until it is quiet, then lets calls under way end within it."""
        self._do(self._stop(grace_seconds), grace_seconds + STOP_MARGIN_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_MARGIN_SECONDS)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Result], timeout_seconds: float) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_seconds)

    async def _start(self) -> int:
        self._server = grpc.aio.server(
            interceptors=[self._calls],
            maximum_concurrent_rpcs=MAX_CONCURRENT_CALLS,
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 1),
            ],
        )
        inference_grpc.add_GRPCInferenceServiceServicer_to_server(self._servicer, self._server)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        for name in HEALTH_NAMES:
            await self._health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        try:
            port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise CannotListen(f"cannot listen on {self._address}: is it taken?") from error
        await self._server.start()
        return port

    async def _set_ready(self) -> None:
        for name in HEALTH_NAMES:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def _stop(self, grace_seconds: float) -> None:
        await self._health.enter_graceful_shutdown()
        # A stopping gRPC server cancels the calls that it has read but not yet begun: let it finish them first.
        await self._calls.wait_quiet(grace_seconds * QUIET_SHARE_OF_GRACE)
        await self._server.stop(grace_seconds * (1 - QUIET_SHARE_OF_GRACE))


class Calls(grpc.aio.ServerInterceptor):
    """Knows when the last call was, and ends refused ones: with google.rpc details, or opaque with an incident id."""

    def __init__(self, metrics: Metrics) -> None:
        self._requests = metrics.counter("headgate_rpc_requests_total")
        self._duration = metrics.histogram("headgate_rpc_duration_seconds")
        self._wrapped: dict[str, Any] = {}
        self._last_at = time.monotonic()

    async def wait_quiet(self, limit_seconds: float) -> None:
        give_up_at = time.monotonic() + limit_seconds
        while time.monotonic() < min(give_up_at, self._last_at + QUIET_SECONDS):
            await asyncio.sleep(QUIET_CHECK_SECONDS)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        method = handler_call_details.method
        # Wrapped once per method: the handlers of a running server never change.
        if method not in self._wrapped:
            handler = await continuation(handler_call_details)
            if handler is None or not method.startswith(f"/{SERVICE_NAME}/"):
                return handler
            self._wrapped[method] = grpc.unary_unary_rpc_method_handler(
                self._ending_refused(handler.unary_unary, method),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return self._wrapped[method]

    def _ending_refused(self, behaviour: Behaviour, method: str) -> Behaviour:
        name = split_method(method)
        # The series of the usual case are looked up once per method, not once per call.
        answered, seconds = self._requests.labels(*name, grpc.StatusCode.OK.name), self._duration.labels(*name)

        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            self._last_at = started = time.monotonic()
            try:
                response = await behaviour(request, context)
                seconds.observe(time.monotonic() - started)
                answered.inc()
                return response
            except RpcRefused as refusal:
                self._requests.labels(*name, refusal.code.name).inc()
                status = rpc_status.to_status(status_of(refusal))
                await context.abort(status.code, status.details, status.trailing_metadata)
            except Exception as error:  # the last resort of every call: nothing may leak
                self._requests.labels(*name, grpc.StatusCode.INTERNAL.name).inc()
                incident = uuid.uuid4().hex[:12]
                logger.error("call failed", exc_info=error, extra={"method": method, "incident": incident})
                await context.abort(grpc.StatusCode.INTERNAL, f"internal error, incident {incident}")

        return call
