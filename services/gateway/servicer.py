"""The Open Inference Protocol on grpc.aio. It only translates: `Inference` answers."""

import math
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference import grpc_predict_v2_pb2_grpc as inference_grpc
from services.gateway.inference import Call, Inference
from services.gateway.pending import Pending, awaited
from services.gateway.repository import MayAsk, anything
from services.gateway.request import request_of
from services.gateway.stream import answered_in_order

Context = grpc.aio.ServicerContext[Any, Any]


class InferenceServicer(inference_grpc.GRPCInferenceServiceServicer):
    """Runs on one event loop, and so do quick forwards."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    async def ServerLive(self, request: inference.ServerLiveRequest, context: Context) -> inference.ServerLiveResponse:
        return self._inference.server_live()

    async def ServerReady(
        self, request: inference.ServerReadyRequest, context: Context
    ) -> inference.ServerReadyResponse:
        return self._inference.server_ready()

    async def ModelReady(self, request: inference.ModelReadyRequest, context: Context) -> inference.ModelReadyResponse:
        return self._inference.model_ready(request)

    async def ServerMetadata(
        self, request: inference.ServerMetadataRequest, context: Context
    ) -> inference.ServerMetadataResponse:
        return self._inference.server_metadata()

    async def ModelMetadata(
        self, request: inference.ModelMetadataRequest, context: Context
    ) -> inference.ModelMetadataResponse:
        await self._inference.loaded(request.name, request.version)
        return self._inference.model_metadata(request)

    async def ModelInfer(self, request: inference.ModelInferRequest, context: Context) -> inference.ModelInferResponse:
        outcome = self._inference.infer(request_of(request), call_of(context))
        answer = await awaited(outcome) if isinstance(outcome, Pending) else outcome
        return answer.message()

    async def ModelStreamInfer(
        self, request_iterator: AsyncIterator[inference.ModelInferRequest], context: Context
    ) -> AsyncIterator[inference.ModelStreamInferResponse]:
        infer = partial(self._inference.infer, call=call_of(context))
        requests = (request_of(message) async for message in request_iterator)
        async for answered in answered_in_order(requests, infer):
            yield answered.message()

    async def ModelConfig(
        self, request: inference.ModelConfigRequest, context: Context
    ) -> inference.ModelConfigResponse:
        await self._inference.loaded(request.name, request.version)
        return self._inference.repository.config(request)

    async def ModelStatistics(
        self, request: inference.ModelStatisticsRequest, context: Context
    ) -> inference.ModelStatisticsResponse:
        return self._inference.repository.statistics(request)

    async def RepositoryIndex(
        self, request: inference.RepositoryIndexRequest, context: Context
    ) -> inference.RepositoryIndexResponse:
        return self._inference.repository.index(request, may_ask_of(context))

    async def RepositoryModelLoad(
        self, request: inference.RepositoryModelLoadRequest, context: Context
    ) -> inference.RepositoryModelLoadResponse:
        return self._inference.repository.load(request)

    async def RepositoryModelUnload(
        self, request: inference.RepositoryModelUnloadRequest, context: Context
    ) -> inference.RepositoryModelUnloadResponse:
        return self._inference.repository.unload(request)


def may_ask_of(context: Context) -> MayAsk:
    """Which models the caller of this context may ask: all of them where nobody asks who it is."""
    found: MayAsk = getattr(context, "may_ask", anything)
    return found


def call_of(context: Context) -> Call:
    """The call of this context."""

    def metadata(name: str) -> str | None:
        for key, value in context.invocation_metadata() or ():
            if key == name:
                return value if isinstance(value, str) else value.decode(errors="replace")
        return None

    left: float | None = context.time_remaining()
    return Call(metadata, math.inf if left is None else time.monotonic() + left)
