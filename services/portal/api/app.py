"""The JSON API: every RPC over HTTP by its google.api.http annotation, with the caller's own token."""

import json
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from importlib.metadata import version
from typing import Any

import grpc
import grpc.aio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from headgate.domain.refusal import NOT_FOUND
from headgate.runtime.observability.trace_context import HEADER as TRACE_PARENT
from headgate.runtime.observability.work_log import ERROR, Unit, trace_of
from services.portal.api.answers import (
    EVENTS,
    LINES,
    error_answer,
    first_message,
    message_answer,
    stream_parts,
)
from services.portal.api.calls import Services, failed
from services.portal.api.http_request import USUAL_SECONDS, Passed, Refused, body_of, passed_on
from services.portal.api.http_rules import HttpRule, NotText, matching, rules_of
from services.portal.api.methods import services as all_services
from services.portal.api.openapi import document
from services.portal.api.request_message import BadRequest, request_message
from services.portal.api.statuses import refused, refused_request

PREFIX = "/v1"
MAX_STREAMS = 512
"""How many streams may be open at once, of all callers. The registry bounds those of one caller."""
FAULTS = range(500, 502)

logger = logging.getLogger(__name__)


def api_routes(services: Services, asks_callers: bool) -> list[BaseRoute]:
    """The routes of the JSON API. `asks_callers` says that callers must prove who they are."""
    rules = rules_of(all_services())
    described = json.dumps(document(rules, version("headgate")), separators=(",", ":")).encode()

    async def openapi(request: Request) -> Response:
        return Response(described, media_type="application/json")

    return [
        Route("/openapi.json", openapi, methods=["GET"]),
        Route(PREFIX + "/{rest:path}", JsonApi(rules, services, asks_callers)),
    ]


class JsonApi:
    """The ASGI application of all paths of the API, also of those that no RPC has."""

    def __init__(self, rules: Sequence[HttpRule], services: Services, asks_callers: bool) -> None:
        self._rules, self._services, self._asks_callers = rules, services, asks_callers
        self._streams = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except ClientDisconnect:
            return
        except Exception:  # the last handler of every request: no error text may reach the caller
            incident = uuid.uuid4().hex[:12]
            logger.exception("call failed", extra={"path": request.url.path, "incident": incident})
            rule = f"internal error, incident {incident}"
            answer = error_answer(Refused(refused(grpc.StatusCode.INTERNAL, "internal", rule)))
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            passed = passed_on(request.headers, self._asks_callers)
            rule, values = self._rule(request)
            body = await body_of(request)
            message = request_message(rule, values, request.url.query, body)
        except BadRequest as error:
            return error_answer(Refused(refused_request(error)))
        except _WrongMethod as error:
            return error_answer(error, {"allow": ", ".join(error.verbs)})
        except Refused as error:
            return error_answer(error)
        unit = Unit("call", rule.rpc.rpartition(".")[2], trace_of(passed.trace_parent))
        passed = _below(passed, unit)
        streams = rule.method.server_streaming
        return await (self._stream if streams else self._unary)(rule, message, passed, request, unit)

    def _rule(self, request: Request) -> tuple[HttpRule, dict[str, str]]:
        path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
        try:
            found = matching(self._rules, request.method, path)
        except NotText as error:
            raise BadRequest(f"the path: {error}") from None
        if isinstance(found, tuple):
            self._require_address(found[0])
            return found
        if found:
            raise _WrongMethod(found)
        rule = "no RPC has this path: /openapi.json lists them all"
        raise Refused(refused(grpc.StatusCode.NOT_FOUND, NOT_FOUND, rule))

    def _require_address(self, rule: HttpRule) -> None:
        if not self._services.has(rule.method):
            service = rule.method.containing_service.name
            problem = f"this portal does not know where {service} answers: its operator sets the address"
            raise Refused(refused(grpc.StatusCode.UNAVAILABLE, "unavailable", problem))

    async def _unary(self, rule: HttpRule, message: Any, passed: Passed, request: Request, unit: Unit) -> Response:
        seconds = passed.seconds or USUAL_SECONDS
        try:
            found = await self._services.call(rule.method, message, passed.metadata, seconds)
        except grpc.aio.AioRpcError as error:
            return _failed(error, seconds, unit)
        except BaseException as error:
            unit.end(error)
            raise
        unit.end()
        return message_answer(found)

    async def _stream(self, rule: HttpRule, message: Any, passed: Passed, request: Request, unit: Unit) -> Response:
        if self._streams >= MAX_STREAMS:
            unit.end()
            limit = f"{MAX_STREAMS} streams are open, as many as this portal has: try again later"
            return error_answer(Refused(refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "too-many-streams", limit)))
        self._streams += 1
        call = self._services.stream(rule.method, message, passed.metadata, passed.seconds)

        def ended(error: BaseException | None = None) -> None:
            self._streams -= 1
            call.cancel()
            unit.end(error)

        try:
            reading = await first_message(call)
        except grpc.aio.AioRpcError as error:
            ended()
            return error_answer(Refused(failed(error, passed.seconds)))
        except BaseException as error:
            ended(error)
            raise
        events = EVENTS in request.headers.get("accept", "")
        parts = stream_parts(call, reading, events, passed.seconds)
        return _StreamAnswer(parts, EVENTS if events else LINES, ended)


class _StreamAnswer(StreamingResponse):
    """A stream that says when it has ended, however it ends."""

    def __init__(self, parts: AsyncIterator[bytes], media_type: str, ended: Callable[[], None]) -> None:
        super().__init__(parts, media_type=media_type)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


class _WrongMethod(Refused):
    """The path is one of an RPC, with another HTTP method."""

    def __init__(self, verbs: Sequence[str]) -> None:
        rule = f"this path takes {', '.join(verbs)}"
        super().__init__(refused(grpc.StatusCode.UNIMPLEMENTED, "wrong-method", rule), 405)
        self.verbs = verbs


def _below(passed: Passed, unit: Unit) -> Passed:
    """The call as a part of this unit's trace."""
    if unit.context is None:
        return passed
    rest = tuple(pair for pair in passed.metadata if pair[0] != TRACE_PARENT)
    return Passed((*rest, (TRACE_PARENT, unit.context.trace_parent)), passed.seconds)


def _failed(error: grpc.aio.AioRpcError, seconds: float | None, unit: Unit) -> Response:
    refusal = Refused(failed(error, seconds))
    unit.outcome, unit.code = (ERROR if refusal.http in FAULTS else "refused"), error.code().name
    unit.end()
    return error_answer(refusal)
