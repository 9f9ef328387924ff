"""The check on the calls of a service, as the innermost interceptor of its server."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import grpc

from headgate.access.table import Row, Scope, row_of
from headgate.access.visibility import WHOLE, Visibility
from headgate.runtime.rpc.call_check import CallCheck, Permission, Shown
from headgate.runtime.rpc.headers import ACTOR, AUTHORIZATION
from headgate.runtime.rpc.peer import peer_uris
from headgate.runtime.rpc.wrap import Behaviour, WrapCache


class AccessCheck(grpc.ServerInterceptor):
    """It sees the request, and the servicer sees who was proven."""

    def __init__(self, check: CallCheck) -> None:
        self._check = check
        self._wrapped = WrapCache()

    def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        row = row_of(method)
        if row.scope is Scope.OPEN:
            return handler
        first = 0 if handler.request_streaming else 1

        def unary(behaviour: Behaviour) -> Behaviour:
            def call(request: Any, context: Any) -> Any:
                return behaviour(request, self._admitted(method, row, request if first else None, context))

            return call

        def stream(behaviour: Behaviour) -> Behaviour:
            def call(request: Any, context: Any) -> Iterator[Any]:
                admitted = self._admitted(method, row, request if first else None, context)
                with closing(behaviour(request, admitted)) as responses:
                    for response in responses:
                        admitted.permission.require()
                        yield response

            return call

        return self._wrapped.wrapped(handler, method, unary, stream)

    def _admitted(self, method: str, row: Row, request: Any, context: Any) -> "ProvenContext":
        """The context of a call that may go on. Raises RpcRefused."""
        shown = shown_by(method, context)
        return ProvenContext(context, self._check.permission(shown, row, self._check.proof(shown), request))


class ProvenContext:
    """The context of a call whose caller is proven. What the caller says of its own name is gone."""

    def __init__(self, context: Any, permission: Permission) -> None:
        self._context = context
        self.permission = permission

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        found = self._context.invocation_metadata() or ()
        return tuple((name, value) for name, value in found if name not in (ACTOR, AUTHORIZATION))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def permission_of(context: Any) -> Permission | None:
    """The permission of a call; None where callers need not prove who they are."""
    found = getattr(context, "permission", None)
    return found if isinstance(found, Permission) else None


def require_in(context: Any) -> None:
    """Ends a watch that waits for its next message when its caller may not go on. Raises RpcRefused."""
    permission = permission_of(context)
    if permission is not None:
        permission.require()


def visibility_in(context: Any) -> Visibility:
    """Which models the caller sees now: all of them where callers need not prove who they are."""
    permission = permission_of(context)
    return permission.visibility() if permission else WHOLE


def readable_in(context: Any) -> Callable[[str], bool]:
    """Says of a stream whether the caller may read it at that moment."""
    permission = permission_of(context)
    return permission.reads if permission else lambda stream: True


def covered_in(context: Any) -> Callable[[str, str], bool]:
    """Says of the bounds of a grant whether the caller may read all that is within them."""
    permission = permission_of(context)
    return permission.covers if permission else lambda models, environments: True


def shown_by(method: str, context: Any) -> Shown:
    """What the caller of a gRPC call shows."""
    metadata = context.invocation_metadata() or ()
    headers = [value for name, value in metadata if name == AUTHORIZATION and isinstance(value, str)]
    return Shown(method, headers, peer_uris(context), context.peer)
