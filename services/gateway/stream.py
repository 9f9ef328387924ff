"""One stream of requests: few are in progress at once, and their answers leave in the order of the requests.

A request that is refused has its error as its answer, and the stream goes on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.runtime.errors import RpcRefused
from services.gateway.encoded_answer import encoded
from services.gateway.forward import Answer
from services.gateway.length_prefix import length_prefix
from services.gateway.pending import Pending, awaited
from services.gateway.request import Request

MAX_IN_PROGRESS = 64
"""Requests of one stream that are read and not answered yet. The next one is read when there is a place."""
WANTS_FINAL, IS_FINAL = "triton_enable_empty_final_response", "triton_final_response"
"""A client of Triton asks by the first parameter that the last answer to each request says so by the second one."""

RESPONSE_FIELD = inference.ModelStreamInferResponse.DESCRIPTOR.fields_by_name["infer_response"].number

Response = inference.ModelStreamInferResponse
Infer = Callable[[Request], Answer | Pending]
Asked = tuple[Request, Answer | Pending | RpcRefused]


class Answered(NamedTuple):
    """A request of a stream, and its answer or the refusal in its place."""

    request: Request
    answer: Answer | RpcRefused

    def message(self) -> Response:
        """The response of the protocol."""
        request, answer = self
        if isinstance(answer, RpcRefused):
            response = inference.ModelInferResponse(id=request.id)
            return Response(error_message=answer.rule, infer_response=response)
        response = answer.message()
        if self._wants_final:
            response.parameters[IS_FINAL].bool_param = True
        return Response(infer_response=response)

    def encoded(self) -> bytes:
        """The bytes of the message."""
        if isinstance(self.answer, RpcRefused) or self._wants_final:
            return self.message().SerializeToString()
        response = encoded(self.answer)
        return length_prefix(RESPONSE_FIELD, len(response)) + response

    @property
    def _wants_final(self) -> bool:
        parameters = self.request.signature.parameters
        return parameters is not None and WANTS_FINAL in parameters


async def answered_in_order(requests: AsyncIterator[Request], infer: Infer) -> AsyncIterator[Answered]:
    """The answers. Gives up all requests in progress when nobody takes the answers any more."""
    asked: asyncio.Queue[Asked | None] = asyncio.Queue(MAX_IN_PROGRESS)
    reading = asyncio.create_task(_read(requests, infer, asked))
    try:
        while (next_asked := await asked.get()) is not None:
            yield await _answered(*next_asked)
        await reading
    finally:
        reading.cancel()
        while not asked.empty():
            _give_up(asked.get_nowait())


async def _read(requests: AsyncIterator[Request], infer: Infer, asked: "asyncio.Queue[Asked | None]") -> None:
    try:
        async for request in requests:
            await asked.put((request, _outcome(request, infer)))
    except Exception:
        await asked.put(None)
        raise
    await asked.put(None)


def _outcome(request: Request, infer: Infer) -> Answer | Pending | RpcRefused:
    try:
        return infer(request)
    except RpcRefused as refusal:
        return refusal


async def _answered(request: Request, outcome: Answer | Pending | RpcRefused) -> Answered:
    try:
        return Answered(request, await awaited(outcome) if isinstance(outcome, Pending) else outcome)
    except RpcRefused as refusal:
        return Answered(request, refusal)


def _give_up(asked: Asked | None) -> None:
    if asked is not None and isinstance(asked[1], Pending):
        asked[1].give_up()
