"""Answers HTTP requests: reads the request, calls the method of its path, and writes the answer."""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from functools import cache, partial
from typing import Any

import grpc

from headgate.access.table import Scope, row_of
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference_parameters import REQUEST_ID_HEADER, TIMEOUT_HEADER
from headgate.runtime.errors import RpcRefused
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.rpc.call_check import Shown
from headgate.runtime.rpc.errors import incident_of
from headgate.runtime.rpc.headers import AUTHORIZATION
from services.gateway.callers import Callers
from services.gateway.forward import Answer
from services.gateway.inference import Call, Inference
from services.gateway.pending import Pending, awaited
from services.gateway.repository import MayAsk, anything
from services.gateway.rest.answer_body import write_answer
from services.gateway.rest.compression import MIN_COMPRESSED_BYTES, chosen_encoding, compressed, decompressed
from services.gateway.rest.http_messages import (
    JSON,
    OCTETS,
    HttpAnswer,
    HttpRefused,
    HttpRequest,
    error_answer,
    json_answer,
    refusal_answer,
    unread_answer,
)
from services.gateway.rest.paths import Method, Path, find_path
from services.gateway.rest.plain_message import plain
from services.gateway.rest.request_body import OutputForms, RequestBodies
from services.gateway.rest.url_tokens import RULE, has_token
from services.gateway.server import INFERENCE
from services.gateway.tensors import InvalidInput

SERVICE = "rest.v2"
"""The service of these calls in the metrics of calls."""
OTHER = "Other"
"""The method of a request that names none."""
BINARY_EXTENSION = "binary_tensor_data"
JSON_LENGTH = b"inference-header-content-length"
MAX_TIMEOUT_MS = 24 * 3600 * 1000
MAX_REQUEST_ID_BYTES = 128
_AUTHORIZATION = AUTHORIZATION.encode()


class Handler:
    """Runs on the event loop of its server, and so do quick forwards. Without `callers` it answers everybody."""

    def __init__(self, inference: Inference, metrics: Metrics, callers: Callers | None = None) -> None:
        self._inference, self._callers = inference, callers
        self._bodies = RequestBodies()
        self._requests = metrics.counter("headgate_rpc_requests_total")
        duration = metrics.histogram("headgate_rpc_duration_seconds")
        # A series begins with its first call, and is looked up once, not once per call.
        self._seconds = cache(lambda name: duration.labels(SERVICE, name))
        self._answered = cache(lambda name: self._requests.labels(SERVICE, name, grpc.StatusCode.OK.name))

    def handle(self, request: HttpRequest) -> "HttpAnswer | Later":
        """The answer, or one that comes later. Raises nothing."""
        started = time.monotonic()
        work = self._whole_answer(request, started)
        try:
            waits_for = work.send(None)
        except StopIteration as done:  # a quick version answers without a wait
            answer: HttpAnswer = done.value
            return answer
        return Later(_Resumed(work, waits_for), _expires_at(request, started))

    def refused(self, refusal: HttpRefused) -> None:
        """Counts what was no request of the protocol."""
        code = grpc.StatusCode.UNAVAILABLE if refusal.status == 503 else grpc.StatusCode.INVALID_ARGUMENT
        self._requests.labels(SERVICE, OTHER, code.name).inc()

    async def _whole_answer(self, request: HttpRequest, started: float) -> HttpAnswer:
        path = find_path(request.target)
        name = path.method.value if path else OTHER
        try:
            answer = await self._answer(request, path, started)
        except asyncio.CancelledError:
            if not _has_passed(_expires_at(request, started)):
                self._requests.labels(SERVICE, name, grpc.StatusCode.CANCELLED.name).inc()
                raise
            answer = self._failed(name, _deadline_passed())
        except Exception as error:  # noqa: BLE001  # the last handler of every call: no error text may reach the caller
            answer = self._failed(name, error)
        else:
            self._count(name, started)
        return _with_request_id(answer, request)

    async def _answer(self, request: HttpRequest, path: Path | None, started: float) -> HttpAnswer:
        if path is None:
            rule = f"there is no path {request.target.decode(errors='replace')[:200]!r}; GET /v2 names this server"
            raise RpcRefused(grpc.StatusCode.NOT_FOUND, "unknown-path", rule)
        if request.method not in path.verbs:
            return _other_verb(request, path)
        may_ask = anything if self._callers is None else await self._allowed(self._callers, request, path)
        if path.method is Method.MODEL_INFER:
            return await self._infer(request, path, started)
        if path.method in (Method.MODEL_METADATA, Method.MODEL_CONFIG):
            await self._inference.loaded(path.model, path.version)
        return self._answer_about(path, may_ask)

    async def _allowed(self, callers: Callers, request: HttpRequest, path: Path) -> MayAsk:
        """Which models the caller may ask, after this request was let through. Raises RpcRefused."""
        row = row_of(INFERENCE + path.method.value)
        if row.scope is Scope.OPEN:
            return anything
        shown = _shown(request, path)
        if b"?" in request.target and has_token(request.target):
            callers.check.refused(shown, None, "token-in-url")
            raise RpcRefused(grpc.StatusCode.UNAUTHENTICATED, "token-in-url", RULE)
        proof = callers.check.seen(shown) or await callers.verified(shown)
        if row.scope is Scope.SERVED and path.model:
            target = callers.access.target(path.model)
            callers.check.require(shown, row, proof, target)
        else:
            callers.check.permission(shown, row, proof, None)
        return partial(callers.may_ask, proof.subject)

    async def _infer(self, request: HttpRequest, path: Path, started: float) -> HttpAnswer:
        body, encoding = request.body, request.header("content-encoding")
        if encoding is not None:
            body = decompressed(body, encoding)
        try:
            asked, forms = self._bodies.read(path.model, path.version, body, _json_length(request))
        except InvalidInput as error:
            raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "invalid-input", str(error), error.field) from error
        outcome = self._inference.infer(asked, Call(request.header, _expires_at(request, started)))
        answer = await awaited(outcome) if isinstance(outcome, Pending) else outcome
        return _infer_answer(request, answer, forms)

    def _answer_about(self, path: Path, may_ask: MayAsk) -> HttpAnswer:
        """The answer of a method that predicts nothing. Raises RpcRefused."""
        match path.method:
            case Method.SERVER_LIVE:
                return json_answer({"live": self._inference.server_live().live})
            case Method.SERVER_READY:
                ready = self._inference.server_ready().ready
                return json_answer({"ready": ready}, 200 if ready else 503)
            case Method.SERVER_METADATA:
                server = plain(self._inference.server_metadata())
                return json_answer(server | {"extensions": [*server["extensions"], BINARY_EXTENSION]})
            case Method.MODEL_METADATA:
                return json_answer(plain(self._metadata(path)))
            case Method.MODEL_READY:
                return self._model_ready(path)
            case _:
                return self._answer_of_triton(path, may_ask)

    def _metadata(self, path: Path) -> inference.ModelMetadataResponse:
        return self._inference.model_metadata(inference.ModelMetadataRequest(name=path.model, version=path.version))

    def _model_ready(self, path: Path) -> HttpAnswer:
        asked = inference.ModelReadyRequest(name=path.model, version=path.version)
        ready = self._inference.model_ready(asked).ready
        if not ready:
            self._metadata(path)  # refuses an unknown model or version with the reason
        return json_answer({"name": path.model, "ready": ready}, 200 if ready else 503)

    def _answer_of_triton(self, path: Path, may_ask: MayAsk) -> HttpAnswer:
        """The answer of a method that Triton's clients know beside the protocol. Raises RpcRefused."""
        repository, model, version = self._inference.repository, path.model, path.version
        match path.method:
            case Method.MODEL_CONFIG:
                return json_answer(
                    plain(repository.config(inference.ModelConfigRequest(name=model, version=version)).config)
                )
            case Method.MODEL_STATISTICS:
                about = inference.ModelStatisticsRequest(name=model, version=version)
                return json_answer(plain(repository.statistics(about)))
            case Method.REPOSITORY_INDEX:
                return json_answer(plain(repository.index(inference.RepositoryIndexRequest(), may_ask))["models"])
            case Method.REPOSITORY_LOAD:
                repository.load(inference.RepositoryModelLoadRequest(model_name=model))
            case _:
                repository.unload(inference.RepositoryModelUnloadRequest(model_name=model))

    def _count(self, name: str, started: float) -> None:
        self._seconds(name).observe(time.monotonic() - started)
        self._answered(name).inc()

    def _failed(self, name: str, error: Exception) -> HttpAnswer:
        """Counts a request without an answer, and returns its error."""
        if isinstance(error, RpcRefused):
            self._requests.labels(SERVICE, name, error.code.name).inc()
            return refusal_answer(error)
        if isinstance(error, HttpRefused):
            self.refused(error)
            return unread_answer(error)
        self._requests.labels(SERVICE, name, grpc.StatusCode.INTERNAL.name).inc()
        return error_answer(500, incident_of(error, name), "internal")


class Later:
    """An answer that its task waits for, until the caller's deadline."""

    def __init__(self, rest: "_Resumed", expires_at: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(rest.wait())
        if not math.isinf(expires_at):
            self._give_up_at(expires_at)

    def on_done(self, done: Callable[[HttpAnswer], None]) -> None:
        """Calls `done` with the answer. Not when the caller has gone."""
        self._task.add_done_callback(lambda task: None if task.cancelled() else done(task.result()))

    def give_up(self) -> None:
        """The caller waits no longer."""
        self._task.cancel()

    def _give_up_at(self, expires_at: float) -> None:
        """The loop's clock stands still during a turn, so a timer may fire early. Then it is set again."""
        if self._task.done():
            return
        if _has_passed(expires_at):
            self._task.cancel()
        else:
            self._loop.call_later(expires_at - time.monotonic(), self._give_up_at, expires_at)


class _Resumed:
    """The rest of a coroutine that has begun without a task, because most answers need none."""

    def __init__(self, work: Coroutine[Any, Any, HttpAnswer], waits_for: Any) -> None:
        self._work, self._waits_for = work, waits_for

    async def wait(self) -> HttpAnswer:
        answer: HttpAnswer = await self
        return answer

    def __await__(self) -> Any:
        waits_for = self._waits_for
        while True:
            try:
                try:
                    sent = yield waits_for
                except BaseException as error:  # noqa: BLE001  # it belongs to the coroutine
                    waits_for = self._work.throw(error)
                else:
                    waits_for = self._work.send(sent)
            except StopIteration as done:
                return done.value


def _infer_answer(request: HttpRequest, answer: Answer, forms: OutputForms) -> HttpAnswer:
    content, json_length = write_answer(answer, forms)
    headers = b""
    if json_length is not None:
        headers = b"Inference-Header-Content-Length: %d\r\n" % json_length
    encoding = chosen_encoding(request.header("accept-encoding"))
    if encoding and len(content) >= MIN_COMPRESSED_BYTES:
        content = compressed(content, encoding)
        headers += b"Content-Encoding: %b\r\nVary: Accept-Encoding\r\n" % encoding.encode()
    return HttpAnswer(200, content, JSON if json_length is None else OCTETS, headers)


def _other_verb(request: HttpRequest, path: Path) -> HttpAnswer:
    """The answer to OPTIONS, and to a verb that the path does not take."""
    verbs = ", ".join(sorted(verb.decode() for verb in path.verbs))
    allow = f"Allow: {verbs}, OPTIONS\r\n".encode()
    if request.method == b"OPTIONS":
        return HttpAnswer(200, b"", headers=allow)
    rule = f"{request.method.decode()} is not for this path; it takes {verbs}"
    return error_answer(405, rule, "wrong-verb", headers=allow)


def _json_length(request: HttpRequest) -> int | None:
    text = request.headers.get(JSON_LENGTH)
    if text is None:
        return None
    if not text.isdigit() or len(text) > 18:
        rule = (
            f"Inference-Header-Content-Length: expected a number of bytes, got {text[:60].decode(errors='replace')!r}"
        )
        raise InvalidInput(rule, "Inference-Header-Content-Length")
    return int(text)


def _shown(request: HttpRequest, path: Path) -> Shown:
    text = request.headers.get(_AUTHORIZATION)
    values = [text.decode(errors="replace")] if text is not None else []
    return Shown(INFERENCE + path.method.value, values, request.peer.uris, request.peer.address)


def _has_passed(expires_at: float) -> bool:
    return time.monotonic() >= expires_at


def _deadline_passed() -> RpcRefused:
    rule = "the deadline passed before the answer"
    return RpcRefused(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline-passed", rule)


def _expires_at(request: HttpRequest, started: float) -> float:
    """The caller's deadline on the monotonic clock; infinity when it has none. Raises RpcRefused."""
    text = request.header(TIMEOUT_HEADER)
    if text is None:
        return math.inf
    if not (text.isascii() and text.isdigit() and len(text) < 18 and 0 < int(text) <= MAX_TIMEOUT_MS):
        rule = f"{TIMEOUT_HEADER}: expected milliseconds from 1 to {MAX_TIMEOUT_MS}, got {text[:60]!r}"
        raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "invalid-timeout", rule, TIMEOUT_HEADER)
    return started + int(text) / 1000


def _with_request_id(answer: HttpAnswer, request: HttpRequest) -> HttpAnswer:
    """The answer with the caller's own id of the request, if it sent one."""
    sent = request.headers.get(REQUEST_ID_HEADER.encode())
    if not sent or len(sent) > MAX_REQUEST_ID_BYTES:
        return answer
    return answer._replace(headers=answer.headers + b"%b: %b\r\n" % (REQUEST_ID_HEADER.encode(), sent))
