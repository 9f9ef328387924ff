"""One stream of requests: few are in progress at once, and their answers leave in the order of the requests.

A request that is refused has its error as its answer, and the stream goes on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.runtime.errors import RpcRefused
from services.gateway.forward import Answer
from services.gateway.pending import Pending, awaited
from services.gateway.request import Request, request_of

MAX_IN_PROGRESS = 64
"""Requests of one stream that are read and not answered yet. The next one is read when there is a place."""
WANTS_FINAL, IS_FINAL = "triton_enable_empty_final_response", "triton_final_response"
"""A client of Triton asks by the first parameter that the last answer to each request says so by the second one."""

Response = inference.ModelStreamInferResponse
Outcome = Answer | Pending | RpcRefused
Infer = Callable[[Request], Answer | Pending]
Asked = tuple[inference.ModelInferRequest, Outcome]


async def answered_in_order(
    requests: AsyncIterator[inference.ModelInferRequest], infer: Infer
) -> AsyncIterator[Response]:
    """The answers. Gives up all requests in progress when nobody takes the answers any more."""
    asked: asyncio.Queue[Asked | None] = asyncio.Queue(MAX_IN_PROGRESS)
    reading = asyncio.create_task(_read(requests, infer, asked))
    try:
        while (next_asked := await asked.get()) is not None:
            yield await _answer(*next_asked)
        await reading
    finally:
        reading.cancel()
        while not asked.empty():
            _give_up(asked.get_nowait())


async def _read(
    requests: AsyncIterator[inference.ModelInferRequest], infer: Infer, asked: "asyncio.Queue[Asked | None]"
) -> None:
    try:
        async for request in requests:
            await asked.put((request, _outcome(request, infer)))
    except Exception:
        await asked.put(None)
        raise
    await asked.put(None)


def _outcome(request: inference.ModelInferRequest, infer: Infer) -> Outcome:
    try:
        return infer(request_of(request))
    except RpcRefused as refusal:
        return refusal


async def _answer(request: inference.ModelInferRequest, outcome: Outcome) -> Response:
    try:
        answer = await awaited(outcome) if isinstance(outcome, Pending) else outcome
    except RpcRefused as refusal:
        answer = refusal
    if isinstance(answer, RpcRefused):
        return Response(error_message=answer.rule, infer_response=inference.ModelInferResponse(id=request.id))
    response = answer.message()
    if WANTS_FINAL in request.parameters:
        response.parameters[IS_FINAL].bool_param = True
    return Response(infer_response=response)


def _give_up(asked: Asked | None) -> None:
    if asked is not None and isinstance(asked[1], Pending):
        asked[1].give_up()
