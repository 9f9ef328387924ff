"""Answers gRPC calls on ASGI: predictions at once, and every other method by its servicer of grpc.aio."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from functools import cached_property, partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from headgate.runtime.deadline import Deadline
from headgate.runtime.errors import RpcRefused
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.rpc import quiet
from headgate.runtime.rpc.errors import grpc_status_of, incident_of
from services.gateway.asgi.call import CONTENT_TYPE, Aborted, AsgiCall, CallerGone, Receive, Requests, Send
from services.gateway.asgi.wire import MAX_BODIES_BYTES, RETRY_SECONDS
from services.gateway.callers import MODEL_INFER, Callers
from services.gateway.encoded_answer import encoded
from services.gateway.forward import Answer
from services.gateway.inference import Call, Inference
from services.gateway.known_messages import KnownMessages
from services.gateway.pending import Pending
from services.gateway.request import Request
from services.gateway.server import INFERENCE, MAX_CONCURRENT_CALLS, SERVICE_NAME, CallInterceptor
from services.gateway.stream import Answered, answered_in_order

METHOD = "ModelInfer"
MODEL_STREAM_INFER = INFERENCE + "ModelStreamInfer"
TIMER_SECONDS = 0.001
"""The steps of the event loop's timers."""
DEADLINE_MARGIN_SECONDS = 0.1
"""A caller that goes so short before its deadline goes because of it: it gives up by its own clock."""


class AsgiMethods:
    """The application. Servicers are added to it as to a server of grpc.aio. Without `callers` it answers everybody."""

    def __init__(self, inference: Inference, metrics: Metrics, callers: Callers | None = None) -> None:
        self._inference, self._callers = inference, callers
        self._messages = KnownMessages()
        self._calls = CallInterceptor(metrics, callers=callers)
        self._requests = metrics.counter("headgate_rpc_requests_total")
        self._durations = metrics.histogram("headgate_rpc_duration_seconds")
        self._handlers: dict[str, Any] = {}
        self._counted: dict[str, Any] = {}
        self._generic: list[grpc.GenericRpcHandler] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._bodies_bytes = 0
        self.last_call_at = time.monotonic()

    @cached_property
    def _seconds(self) -> Any:
        """The series of answered predictions. There is none before the first, as with every other method."""
        return self._durations.labels(SERVICE_NAME, METHOD)

    @cached_property
    def _answered(self) -> Any:
        return self._requests.labels(SERVICE_NAME, METHOD, grpc.StatusCode.OK.name)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Takes the handlers of a servicer."""
        for name, handler in handlers.items():
            self._handlers[f"/{service}/{name}"] = handler
        if MODEL_STREAM_INFER in self._handlers:
            self._handlers[MODEL_STREAM_INFER] = grpc.stream_stream_rpc_method_handler(
                self._stream, self._messages.request, Answered.encoded
            )

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Takes handlers that find their method by themselves."""
        self._generic.extend(handlers)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One request. Raises nothing but the cancellation of its task."""
        if scope["type"] != "http":
            return
        call = AsgiCall(scope, receive, send, self._reserve)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        method = scope["path"]
        try:
            self._admit(method, call)
            if method == MODEL_INFER:
                await self._infer(call)
            else:
                await self._by_servicer(method, call, receive)
        except Aborted as error:
            await call.end(error.code.value[0], error.details, error.trailing)
        except RpcRefused as refusal:  # nothing has seen this call yet
            await self._refuse(method, call, refusal)
        except CallerGone:
            return
        finally:
            self._tasks.discard(task)
            call.release()

    async def await_quiet(self, limit_seconds: float) -> None:
        """Returns when no call has come for QUIET_SECONDS, or at the limit."""
        deadline = Deadline(limit_seconds)
        while (left := min(deadline.left(), self.last_call_at + quiet.QUIET_SECONDS - time.monotonic())) > 0:
            await asyncio.sleep(left)

    async def await_ended(self, limit_seconds: float) -> None:
        """Waits for the calls in progress, and ends those that are still there at the limit."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit_seconds)
        for task in self._tasks:
            task.cancel()

    def _reserve(self, change_bytes: int) -> bool:
        self._bodies_bytes += change_bytes
        return self._bodies_bytes <= MAX_BODIES_BYTES

    def _admit(self, method: str, call: AsgiCall) -> None:
        """Raises Aborted and RpcRefused for a call that must not begin. Reads the deadline of any other."""
        if not (call.header(b"content-type") or b"").startswith(CONTENT_TYPE):
            raise Aborted(grpc.StatusCode.INTERNAL, "expected the content type application/grpc", ())
        if method.startswith(INFERENCE):
            self.last_call_at = time.monotonic()
            if len(self._tasks) > MAX_CONCURRENT_CALLS:
                raise _too_many()
        call.require_tls_1_3()
        call.read_deadline()

    async def _infer(self, call: AsgiCall) -> None:
        started = time.monotonic()
        try:
            if self._callers is None:
                outcome = self._outcome(self._request(await call.message()), call)
            else:
                outcome = await self._outcome_for_caller(self._callers, call)
            answer = await self._awaited(outcome, call) if isinstance(outcome, Pending) else outcome
            response = encoded(answer)
        except (CallerGone, asyncio.CancelledError):  # the engine ends the task of a caller that has gone
            code = grpc.StatusCode.DEADLINE_EXCEEDED if _near_deadline(call) else grpc.StatusCode.CANCELLED
            self._requests.labels(SERVICE_NAME, METHOD, code.name).inc()
            raise
        except RpcRefused:
            raise
        except Exception as error:  # noqa: BLE001  # the last handler of every call: no error text may reach the caller
            await self._fail(call, error)
            return
        self._seconds.observe(time.monotonic() - started)
        self._answered.inc()
        await call.answer(response)

    async def _outcome_for_caller(self, callers: Callers, call: AsgiCall) -> Answer | Pending:
        """The same for a caller that must have proven who it is, before anything of its message is read."""
        shown = call.shown(MODEL_INFER)
        proof = callers.check.seen(shown) or await callers.verified(shown)
        request = self._request(await call.message())
        callers.require_model(shown, proof, request.signature.model)
        return self._outcome(request, call)

    def _request(self, message: bytes) -> Request:
        try:
            return self._messages.request(message)
        except DecodeError as error:
            rule = f"the request is no {METHOD}Request: {error}"
            raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "invalid-message", rule) from error

    def _outcome(self, request: Request, call: AsgiCall) -> Answer | Pending:
        return self._inference.infer(request, Call(call.metadata, call.expires_at))

    def _stream(self, requests: AsyncIterator[Request], call: AsgiCall) -> AsyncIterator[Answered]:
        infer = partial(self._inference.infer, call=Call(call.metadata, call.expires_at))
        return answered_in_order(requests, infer)

    async def _awaited(self, pending: Pending, call: AsgiCall) -> Answer:
        """The answer of a slow version. Gives up at the deadline, and when the engine cancels: the caller has gone."""
        timer = None
        if (left_seconds := call.time_remaining()) is not None:
            timer = asyncio.get_running_loop().call_later(left_seconds, _give_up, pending, call)
        try:
            return await pending.done.awaited()
        except asyncio.CancelledError:
            _give_up(pending, call)
            raise
        finally:
            if timer:
                timer.cancel()

    async def _by_servicer(self, method: str, call: AsgiCall, receive: Receive) -> None:
        handler = self._handler(method)
        if handler is None:
            await call.end(grpc.StatusCode.UNIMPLEMENTED.value[0], "Method not found!")
            return
        requests = Requests(call, receive, handler.request_deserializer or bytes)
        pump = asyncio.ensure_future(requests.pump())
        work = asyncio.ensure_future(_answered(handler, requests, call))
        try:
            await asyncio.wait((pump, work), timeout=call.time_remaining(), return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and pump.done():
                raise CallerGone
            if not work.done():
                raise Aborted(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", ())
            await work
        except (Aborted, RpcRefused, CallerGone):
            raise
        except Exception as error:  # noqa: BLE001  # the last handler: no error text may reach the caller
            await self._fail(call, error, method)
            return
        finally:
            for each in (pump, work):
                each.cancel()
            await asyncio.wait((pump, work))
        await call.end()

    def _handler(self, method: str) -> Any:
        """The handler, which counts its calls from the first on; None when there is no such method."""
        if method not in self._handlers:
            return self._found(method)
        if method.startswith(INFERENCE) and method not in self._counted:
            self._counted[method] = self._calls.wrapped(self._handlers[method], method)
        return self._counted.get(method, self._handlers[method])

    def _found(self, method: str) -> Any:
        details = _Details(method)
        found = (handler.service(details) for handler in self._generic)  # type: ignore[arg-type]
        handler = next((each for each in found if each is not None), None)
        return handler and self._calls.wrapped(handler, method)

    async def _refuse(self, method: str, call: AsgiCall, refusal: RpcRefused) -> None:
        service, _, name = method[1:].rpartition("/")
        if method in self._handlers:
            self._requests.labels(service, name, refusal.code.name).inc()
        status = grpc_status_of(refusal)
        await call.end(status.code.value[0], status.details, list(status.trailing_metadata))

    async def _fail(self, call: AsgiCall, error: Exception, method: str = MODEL_INFER) -> None:
        code = grpc.StatusCode.INTERNAL
        service, _, name = method[1:].rpartition("/")
        self._requests.labels(service, name, code.name).inc()
        await call.end(code.value[0], incident_of(error, method))


class _Details:
    """What a generic handler asks of a call."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata = ()


async def _answered(handler: Any, requests: Requests, call: AsgiCall) -> None:
    """Has the servicer answer, and sends what it says. A servicer that writes its responses itself uses the context."""
    serialize = handler.response_serializer or bytes
    call.serialize = serialize
    asked = requests if handler.request_streaming else await _only(requests)
    answering = _behaviour(handler)(asked, call)
    if isinstance(answering, AsyncIterator):
        async with aclosing(answering) as responses:  # type: ignore[type-var]
            async for response in responses:
                await call.respond(serialize(response))
        return
    response = await answering
    if response is not None:
        await call.respond(serialize(response))


def _behaviour(handler: Any) -> Any:
    return handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream


async def _only(requests: Requests) -> Any:
    async for request in requests:
        return request
    raise RpcRefused(grpc.StatusCode.INTERNAL, "invalid-message", "expected one message, got none")


def _near_deadline(call: AsgiCall) -> bool:
    """Whether a caller that goes now goes because of its deadline. Its clock started before that of this process."""
    left_seconds = call.time_remaining()
    return left_seconds is not None and left_seconds < DEADLINE_MARGIN_SECONDS


def _give_up(pending: Pending, call: AsgiCall) -> None:
    """Gives up, at the deadline where that is near: the request is counted for the reason that its caller has.

    A timer may end a moment early, so the deadline is asked for again.
    """
    left_seconds = call.time_remaining()
    if left_seconds and _near_deadline(call):
        asyncio.get_running_loop().call_later(max(left_seconds, TIMER_SECONDS), _give_up, pending, call)
    else:
        pending.give_up()


def _too_many() -> RpcRefused:
    rule = f"{MAX_CONCURRENT_CALLS} calls are in progress, and no more may be; try again later"
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    return RpcRefused(code, "too-many-calls", rule, retry_after_seconds=RETRY_SECONDS)
