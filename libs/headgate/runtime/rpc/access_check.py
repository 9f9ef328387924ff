"""Lets a call through when its caller has proven who it is and holds a grant. Everything else is refused alike."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any, Protocol

import grpc

from headgate.access.decision import Reason, decide
from headgate.access.grants import NONE, Grants, Target
from headgate.access.held import held_roles
from headgate.access.subject import Subject
from headgate.access.table import Row, Scope, row_of
from headgate.access.target import Facts, target_of
from headgate.domain.printable import printable
from headgate.log.port import LogUnavailable
from headgate.runtime.authentication.authenticator import Authenticator
from headgate.runtime.authentication.proof import NotProven, Proof
from headgate.runtime.errors import RpcRefused
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.rpc.peer import peer_uris
from headgate.runtime.rpc.wrap import Behaviour, WrapCache
from headgate.v1 import facts_pb2 as facts

AUTHORIZATION = "authorization"
ACTOR = "x-actor"
UNPROVEN_RULE = (
    "this call needs a proof of who you are, and got none that holds: a token in HEADGATE_TOKEN_FILE, or a certificate "
    "without a token"
)
FORBIDDEN_RULE = "you may not do this; an administrator can ask `headgate access explain` why"
ENDED = "proof-ended"
MAX_SHOWN = 200

audit = logging.getLogger("headgate.audit")


class Known(Facts, Protocol):
    """The facts about resources, and the grants."""

    def grants(self) -> Grants: ...


class AccessCheck(grpc.ServerInterceptor):
    """The innermost interceptor: it sees the request, and the servicer sees who was proven."""

    def __init__(self, authenticator: Authenticator, known: Known, metrics: Metrics) -> None:
        self._authenticator, self._known = authenticator, known
        self._refusals = metrics.counter("headgate_access_refusals_total")
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
        try:
            proof = self._authenticator.proof(*_shown(context))
        except NotProven as error:
            self._refuse(method, None, error.slug, context)
            raise unproven() from error
        except LogUnavailable as error:
            raise RpcRefused(grpc.StatusCode.UNAVAILABLE, "log-unavailable", str(error)) from error

        def refusal() -> RpcRefused | None:
            if not self._authenticator.holds(proof):
                self._refuse(method, proof.subject, ENDED, context)
                return unproven()
            reason = decide(proof.subject, self._known.grants(), row, target_of(row, request, self._known))
            if reason is None:
                return None
            self._refuse(method, proof.subject, reason.value, context)
            return unproven() if reason is Reason.UNPROVEN else forbidden()

        def held(model: str) -> list[facts.HeldRole]:
            return held_roles(proof.subject, self._known.grants(), Target(model, NONE, self._known.labels(model)))

        permission = Permission(proof, refusal, held)
        permission.require()
        return ProvenContext(context, permission)

    def _refuse(self, method: str, subject: Subject | None, why: str, context: Any) -> None:
        """Counts the refusal and writes the line of the audit log. The caller learns nothing of the reason."""
        self._refusals.labels(why).inc()
        fields = {
            "method": method,
            "why": why,
            "subject": printable(subject.name)[:MAX_SHOWN] if subject else "",
            "how": subject.how.value if subject else "",
            "peer": context.peer(),
        }
        audit.warning("access refused", extra=fields)


class Permission:
    """What a call was let through with. It is asked again when a command is decided, and before each message."""

    def __init__(
        self,
        proof: Proof,
        refusal: Callable[[], RpcRefused | None],
        held: Callable[[str], Sequence[facts.HeldRole]] = lambda model: (),
    ) -> None:
        self.subject = proof.subject
        self.refusal = refusal
        """Why the call may not go on any more; None while it may."""
        self._held = held

    def require(self) -> None:
        """Raises RpcRefused when the call may not go on."""
        refused = self.refusal()
        if refused is not None:
            raise refused

    def held(self, model: str) -> Sequence[facts.HeldRole]:
        """The roles that the caller holds for a model now."""
        return self._held(model)


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


def unproven() -> RpcRefused:
    """The one answer to every call whose caller has not proven who it is."""
    return RpcRefused(grpc.StatusCode.UNAUTHENTICATED, "unauthenticated", UNPROVEN_RULE)


def forbidden() -> RpcRefused:
    """The one answer to every call that its caller may not make."""
    return RpcRefused(grpc.StatusCode.PERMISSION_DENIED, "permission-denied", FORBIDDEN_RULE)


def _shown(context: Any) -> tuple[list[str], tuple[str, ...]]:
    """What the caller shows: the values of the header, and the URIs of the certificate that TLS has verified."""
    metadata = context.invocation_metadata() or ()
    headers = [value for name, value in metadata if name == AUTHORIZATION and isinstance(value, str)]
    return headers, peer_uris(context)
