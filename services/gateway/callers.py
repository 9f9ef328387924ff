"""Asks of each call who makes it, and whether its caller may make it. Both engines of gRPC, REST and devices ask here.

What was seen before is known at once. The token of an identity provider that is new is verified by another thread, so
nobody else waits for its signature, or for the provider.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, Protocol

import grpc

from headgate.access.decision import decide
from headgate.access.grants import Target
from headgate.access.roles import Action
from headgate.access.subject import Subject
from headgate.access.table import TABLE, Resource, Row, Scope, row_of
from headgate.runtime.authentication.proof import Proof
from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.access_check import ProvenContext, shown_by
from headgate.runtime.rpc.call_check import CallCheck, Known, Permission, Shown

VERIFYING_THREADS = 2
MAX_VERIFYING = 256
"""New tokens that wait for their verification."""
RETRY_SECONDS = 1.0
MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
_INFER = row_of(MODEL_INFER)
_READ = Row(Resource.MODEL, Action.READ, Scope.MODEL)


class Access(Known, Protocol):
    """What decisions on predictions need to know."""

    def target(self, model: str) -> Target:
        """The model, in the environment that is served here."""
        ...


class Callers:
    """Runs on the event loop of the servers. Each method that lets a call go on raises RpcRefused for any other."""

    def __init__(self, check: CallCheck, access: Access) -> None:
        self.check, self.access = check, access
        self._threads = ThreadPoolExecutor(VERIFYING_THREADS, "verifying")
        self._verifying = 0

    def close(self) -> None:
        """Verifies no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def proof(self, shown: Shown) -> Proof:
        """What the caller has proven."""
        return self.check.seen(shown) or await self.verified(shown)

    async def verified(self, shown: Shown) -> Proof:
        """The same for a token that was not seen before."""
        if self._verifying >= MAX_VERIFYING:
            rule = f"{MAX_VERIFYING} new tokens wait for their verification; try again later"
            code = grpc.StatusCode.RESOURCE_EXHAUSTED
            raise RpcRefused(code, "too-many-new-tokens", rule, retry_after_seconds=RETRY_SECONDS)
        self._verifying += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self.check.proof, shown)
        finally:
            self._verifying -= 1

    def require_model(self, shown: Shown, proof: Proof, model: str) -> None:
        """Lets a caller that was just proven have this model predict."""
        self.check.require(shown, _INFER, proof, self.access.target(model))

    def may_ask(self, subject: Subject, model: str) -> bool:
        """Whether the subject may have this model predict."""
        return decide(subject, self.access.grants(), _INFER, self.access.target(model)) is None

    def may_read(self, subject: Subject, model: str) -> bool:
        """Whether the subject may read what the model does in this environment."""
        return decide(subject, self.access.grants(), _READ, self.access.target(model)) is None

    async def permission(self, shown: Shown, request: Any) -> Permission:
        """Lets a call with this request go on. What it returns may be asked again."""
        return self.check.permission(shown, row_of(shown.method), await self.proof(shown), request)

    def checked(self, handler: Any, method: str) -> Any:
        """The handler of a method of grpc.aio, behind the check. One that is open stays as it is."""
        row = TABLE.get(method)
        if row is None or row.scope is Scope.OPEN:  # only what answers nobody has no row
            return handler
        serializers = (handler.request_deserializer, handler.response_serializer)
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(self._stream(handler.stream_stream, method, row), *serializers)
        behaviour = handler.unary_unary or handler.unary_stream

        async def call(request: Any, context: Any) -> Any:
            permission = await self.permission(shown_by(method, context), request)
            return await behaviour(request, AskedContext(context, permission, self))

        made = grpc.unary_unary_rpc_method_handler if handler.unary_unary else grpc.unary_stream_rpc_method_handler
        return made(call, *serializers)

    def _stream(self, behaviour: Any, method: str, row: Row) -> Any:
        """Asks for some grant at the begin of the stream, and again for each of its requests."""
        begin = Row(row.resource, row.action, Scope.ANYWHERE)

        async def call(requests: Any, context: Any) -> AsyncIterator[Any]:
            shown = shown_by(method, context)
            proof = await self.proof(shown)
            permission = self.check.permission(shown, begin, proof, None)

            async def allowed() -> AsyncIterator[Any]:
                async for request in requests:
                    refused = self.check.refusal(shown, row, proof, request)
                    if refused is not None:
                        raise refused
                    yield request

            async with aclosing(behaviour(allowed(), AskedContext(context, permission, self))) as responses:
                async for response in responses:
                    yield response

        return call


class AskedContext(ProvenContext):
    """The context of a call on grpc.aio whose caller is proven. Each message that it writes asks again."""

    def __init__(self, context: Any, permission: Permission, callers: Callers) -> None:
        super().__init__(context, permission)
        self._callers = callers

    def may_ask(self, model: str) -> bool:
        """Whether the caller may have this model predict."""
        return self._callers.may_ask(self.permission.subject, model)

    def may_read(self, model: str) -> bool:
        """Whether the caller may read what the model does in this environment."""
        return self._callers.may_read(self.permission.subject, model)

    async def write(self, message: Any) -> None:
        """Raises RpcRefused once the caller may not go on."""
        self.permission.require()
        await self._context.write(message)
