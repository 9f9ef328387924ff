"""Answers of the JSON API: one message as JSON, many as lines of JSON or as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import status_pb2
from starlette.responses import Response

from services.portal.api.calls import failed
from services.portal.api.http_request import Refused
from services.portal.api.statuses import as_json, http_headers

JSON = "application/json"
LINES = "application/x-ndjson"
EVENTS = "text/event-stream"
FIRST_SECONDS = 1.0
"""How long a stream waits for its first message, so that a call that is refused at once has the status of its error."""
ALIVE_SECONDS = 15.0
"""After so long a silence, server-sent events have a comment, so that nothing between takes the line for dead."""


def message_json(message: Message) -> bytes:
    """The message by protobuf's JSON mapping, without the fields that have their default."""
    return _bytes(json_format.MessageToDict(message))


def message_answer(message: Message) -> Response:
    """The answer of an RPC with one answer."""
    return Response(message_json(message) + b"\n", media_type=JSON)


def error_answer(refusal: Refused, headers: dict[str, str] | None = None) -> Response:
    """The answer to a request that failed."""
    found = http_headers(refusal.status) | (headers or {})
    return Response(_bytes(as_json(refusal.status)) + b"\n", refusal.http, found, JSON)


async def first_message(call: Any) -> "asyncio.Task[Any]":
    """The read of the first message, after FIRST_SECONDS at most. Raises AioRpcError for a call that was refused."""
    reading: asyncio.Task[Any] = asyncio.ensure_future(call.read())
    done, _ = await asyncio.wait({reading}, timeout=FIRST_SECONDS)
    if done:
        reading.result()
    return reading


async def stream_parts(
    call: Any, reading: "asyncio.Task[Any]", events: bool, seconds: float | None
) -> AsyncIterator[bytes]:
    """The parts of a stream's body. An error that comes later is its last part. The call ends with the reader."""
    try:
        while True:
            done, _ = await asyncio.wait({reading}, timeout=ALIVE_SECONDS if events else None)
            if not done:
                yield b":\n\n"
                continue
            message = reading.result()
            if message is grpc.aio.EOF:
                return
            yield _part({"result": json_format.MessageToDict(message)}, events)
            reading = asyncio.ensure_future(call.read())
    except grpc.aio.AioRpcError as error:
        yield _error_part(failed(error, seconds), events)
    finally:
        call.cancel()
        reading.cancel()


def _part(found: dict[str, Any], events: bool) -> bytes:
    return b"data: " + _bytes(found["result"]) + b"\n\n" if events else _bytes(found) + b"\n"


def _error_part(status: status_pb2.Status, events: bool) -> bytes:
    shown = as_json(status)
    return b"event: error\ndata: " + _bytes(shown) + b"\n\n" if events else _bytes({"error": shown}) + b"\n"


def _bytes(found: Any) -> bytes:
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()
