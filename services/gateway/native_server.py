"""The gateway's gRPC server whose HTTP/2 runs in Rust, outside Python's lock: calls come in batches, as bytes.

Only predictions take this way. All other methods, health and reflection go to the server of grpc.aio behind it.
"""

import logging
import math
import shutil
import tempfile
import threading
import time
import uuid
from asyncio import AbstractEventLoop
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import grpc
from google.protobuf.message import DecodeError
from pygrpc_native import EVENT_CANCEL, NativeGrpcFront

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference_parameters import MAX_MESSAGE_BYTES
from headgate.runtime.deadline import Deadline
from headgate.runtime.errors import CannotListen, RpcRefused
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.rpc.errors import status_of
from headgate.runtime.rpc.quiet import await_quiet, on_loopback
from services.gateway.inference import Call, Inference
from services.gateway.pending import Pending
from services.gateway.server import (
    INFERENCE,
    MAX_CONCURRENT_CALLS,
    QUIET_SHARE_OF_GRACE,
    SERVICE_NAME,
    STOP_MARGIN_SECONDS,
    InferenceServer,
)
from services.gateway.servicer import InferenceServicer

logger = logging.getLogger(__name__)

METHOD = "ModelInfer"
BATCH = 64
"""Calls that are taken from the engine at once."""
RETRY_SECONDS = 1.0
"""When a caller may try again that came while too many calls were in progress."""
STATUS_DETAILS = "grpc-status-details-bin"

CallDetails = tuple[tuple[tuple[str, str | bytes], ...], str, float | None]


class NativeServer:
    """Answers calls from the start. Health reports SERVING after `set_ready`."""

    def __init__(
        self, inference: Inference, servicer: InferenceServicer, host: str, port: int, metrics: Metrics
    ) -> None:
        self._host, self._port = host, port
        self._folder = tempfile.mkdtemp(prefix="headgate-gateway-")
        self._socket = str(Path(self._folder, "grpc.sock"))
        self._behind = InferenceServer(servicer, host, port, metrics, self._socket)
        self._answers = _Answers(inference, metrics)

    @property
    def loop(self) -> AbstractEventLoop:
        """The event loop of the server behind this one. It runs from `start` to the end of `stop`."""
        return self._behind.loop

    def start(self) -> int:
        """Opens the port and returns it. Raises CannotListen."""
        self._behind.start()
        address = f"{self._host}:{self._port}"
        try:
            front = NativeGrpcFront(address, [(INFERENCE + METHOD, False)], call_details=True, reuse_port=True)
        except OSError as error:
            raise CannotListen(f"cannot listen on {address}: does another process use the port?") from error
        front.set_fallback(self._socket)
        front.start()
        self._port, self._front = front.bound_port, front
        self._thread = threading.Thread(target=self._answers.serve, args=(front,), name="native-server", daemon=True)
        self._thread.start()
        return self._port

    def set_ready(self) -> None:
        """Reports SERVING in health."""
        self._behind.set_ready()

    def drain(self) -> None:
        """Reports NOT_SERVING in health, and goes on answering."""
        self._behind.drain()

    def is_alive(self) -> bool:
        """Whether both threads run."""
        return self._thread.is_alive() and self._behind.is_alive()

    def stop(self, grace_seconds: float) -> None:
        """Reports NOT_SERVING and answers until no more calls come. Calls in progress get the rest of the grace."""
        deadline = Deadline(grace_seconds)
        self.drain()
        own_address = on_loopback(self._host, self._port)
        await_quiet(self._last_call_at, own_address, deadline.left(QUIET_SHARE_OF_GRACE))
        self._answers.await_ended(deadline.left())
        self._behind.stop(deadline.left())
        self._front.close()
        self._answers.give_up_all()
        self._thread.join(STOP_MARGIN_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _last_call_at(self) -> float:
        return max(self._answers.last_call_at, self._behind.last_call_at())


class _Answers:
    """Answers the predictions of one engine. Its thread runs quick versions; slow ones answer from their own."""

    def __init__(self, inference: Inference, metrics: Metrics) -> None:
        self._inference = inference
        self._requests = metrics.counter("headgate_rpc_requests_total")
        self._seconds = metrics.histogram("headgate_rpc_duration_seconds").labels(SERVICE_NAME, METHOD)
        self._answered = self._requests.labels(SERVICE_NAME, METHOD, grpc.StatusCode.OK.name)
        self._pending: dict[int, Pending] = {}
        self._ended = threading.Condition()
        self.last_call_at = time.monotonic()

    def serve(self, front: NativeGrpcFront) -> None:
        """Answers until the engine is closed."""
        while (events := front.recv_batch_details(BATCH)) is not None:
            for kind, call_id, _, payload, _, details in events:
                if kind == EVENT_CANCEL:
                    self._give_up(call_id)
                else:
                    self._answer(front, call_id, payload or b"", details)

    def await_ended(self, limit_seconds: float) -> None:
        """Waits for the calls whose versions still work."""
        with self._ended:
            self._ended.wait_for(lambda: not self._pending, limit_seconds)

    def give_up_all(self) -> None:
        """Gives up the calls whose versions still work at the end of the grace."""
        for pending in list(self._pending.values()):
            pending.give_up()

    def _answer(self, front: NativeGrpcFront, call_id: int, payload: bytes, details: CallDetails | None) -> None:
        started = self.last_call_at = time.monotonic()
        try:
            outcome = self._outcome(payload, details, started)
        except Exception as error:  # noqa: BLE001  # the last handler of every call: no error text may reach the caller
            self._fail(front, call_id, error)
            return
        if isinstance(outcome, Pending):
            self._pending[call_id] = outcome
            outcome.done.add_done_callback(partial(self._answer_late, front, call_id, started))
        else:
            self._send(front, call_id, outcome, started)

    def _outcome(
        self, payload: bytes, details: CallDetails | None, started: float
    ) -> inference.ModelInferResponse | Pending:
        if len(payload) > MAX_MESSAGE_BYTES:
            rule = f"the request has {len(payload)} bytes, and {MAX_MESSAGE_BYTES} can be received; send fewer rows"
            raise RpcRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "request-too-large", rule)
        if len(self._pending) >= MAX_CONCURRENT_CALLS:
            rule = f"{MAX_CONCURRENT_CALLS} calls are in progress, and no more may be; try again later"
            code = grpc.StatusCode.RESOURCE_EXHAUSTED
            raise RpcRefused(code, "too-many-calls", rule, retry_after_seconds=RETRY_SECONDS)
        try:
            request = inference.ModelInferRequest.FromString(payload)
        except DecodeError as error:
            rule = f"the request is no {METHOD}Request: {error}"
            raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "invalid-message", rule) from error
        return self._inference.infer(request, _call(details, started))

    def _answer_late(
        self, front: NativeGrpcFront, call_id: int, started: float, done: Future[inference.ModelInferResponse]
    ) -> None:
        error = done.exception()
        if error is None:
            self._send(front, call_id, done.result(), started)
        else:
            self._fail(front, call_id, error)
        with self._ended:
            self._pending.pop(call_id, None)
            self._ended.notify_all()

    def _give_up(self, call_id: int) -> None:
        """The engine has seen that the caller cancelled, went away, or that its deadline passed."""
        pending = self._pending.get(call_id)
        if pending is not None:
            pending.give_up()

    def _send(
        self, front: NativeGrpcFront, call_id: int, response: inference.ModelInferResponse, started: float
    ) -> None:
        front.respond(call_id, response.SerializeToString())
        self._seconds.observe(time.monotonic() - started)
        self._answered.inc()

    def _fail(self, front: NativeGrpcFront, call_id: int, error: BaseException) -> None:
        if isinstance(error, RpcRefused):
            status = status_of(error)
            self._requests.labels(SERVICE_NAME, METHOD, error.code.name).inc()
            front.fail(call_id, status.code, status.message, [(STATUS_DETAILS, status.SerializeToString())])
            return
        code = grpc.StatusCode.INTERNAL
        self._requests.labels(SERVICE_NAME, METHOD, code.name).inc()
        incident = uuid.uuid4().hex[:12]
        logger.error("call failed", exc_info=error, extra={"method": INFERENCE + METHOD, "incident": incident})
        front.fail(call_id, code.value[0], f"internal error, incident {incident}")


def _call(details: CallDetails | None, started: float) -> Call:
    if details is None:
        return Call()
    pairs, _, left = details

    def metadata(name: str) -> str | None:
        for key, value in pairs:
            if key == name:
                return value if isinstance(value, str) else value.decode(errors="replace")
        return None

    return Call(metadata, math.inf if left is None else started + left)
