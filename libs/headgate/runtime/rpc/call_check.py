"""Decides whether a call may go on: who calls, and whether its grants cover what the call is about. Knows no transport.

Everything else is refused alike. The reason is counted, and stands in the audit log.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import grpc

from headgate.access.decision import Reason, decide
from headgate.access.grants import NONE, Grants, Target
from headgate.access.held import held_roles
from headgate.access.roles import Action
from headgate.access.subject import Subject
from headgate.access.table import Resource, Row, Scope
from headgate.access.target import Facts, target_of, target_of_stream, target_within
from headgate.access.visibility import Visibility, visibility_of
from headgate.domain.printable import printable
from headgate.log.port import LogUnavailable
from headgate.runtime.authentication.authenticator import Authenticator
from headgate.runtime.authentication.proof import NotProven, Proof
from headgate.runtime.errors import RpcRefused
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import facts_pb2 as facts

UNPROVEN_RULE = (
    "this call needs a proof of who you are, and got none that holds: a token in HEADGATE_TOKEN_FILE, or a certificate "
    "without a token"
)
FORBIDDEN_RULE = "you may not do this; an administrator can ask `headgate access explain` why"
ENDED = "proof-ended"
MAX_SHOWN = 200
AUDIT_LINES_PER_SECOND = 50
"""Further refusals of a second are only counted, so that nobody fills the log."""

audit = logging.getLogger("headgate.audit")


class Known(Facts, Protocol):
    """The facts about resources, and the grants."""

    def grants(self) -> Grants: ...


class Shown(NamedTuple):
    """What a call shows of its caller."""

    method: str
    """The path of the gRPC method; that of the same method for REST."""
    authorization: Sequence[str]
    """The values of this header."""
    uris: tuple[str, ...]
    """The URIs of the certificate that TLS has verified."""
    peer: Callable[[], str]
    """Where the call comes from, for the audit log."""


class CallCheck:
    """Every method may be called on any thread. Each raises RpcRefused for a call that may not go on."""

    def __init__(
        self,
        authenticator: Authenticator,
        known: Known,
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.known = known
        self._authenticator = authenticator
        self._refusals = metrics.counter("headgate_access_refusals_total")
        self._lines = _Lines(monotonic)

    def proof(self, shown: Shown) -> Proof:
        """What the caller has proven. It may wait for an identity provider."""
        try:
            return self._authenticator.proof(shown.authorization, shown.uris)
        except NotProven as error:
            raise self.refused(shown, None, error.slug) from error
        except LogUnavailable as error:
            raise _unknown(error) from error

    def seen(self, shown: Shown) -> Proof | None:
        """The same without a wait; None for a token that must be verified first, by `proof`."""
        try:
            return self._authenticator.seen(shown.authorization, shown.uris)
        except NotProven as error:
            raise self.refused(shown, None, error.slug) from error
        except LogUnavailable as error:
            raise _unknown(error) from error

    def require(self, shown: Shown, row: Row, proof: Proof, target: Target) -> None:
        """Asks the grants. The proof has just been made, so it is not asked again."""
        try:
            reason = decide(proof.subject, self.known.grants(), row, target)
        except LogUnavailable as error:
            raise _unknown(error) from error
        if reason is not None:
            raise self.refused(shown, proof.subject, reason.value)

    def permission(self, shown: Shown, row: Row, proof: Proof, request: Any) -> "Permission":
        """The permission of a call that may go on with this request."""
        permission = Permission(proof, lambda: self.refusal(shown, row, proof, request), self.known, row)
        permission.require()
        return permission

    def refusal(self, shown: Shown, row: Row, proof: Proof, request: Any) -> RpcRefused | None:
        """Why a call may not go on with this request, by what holds now; None when it may."""
        if not self._authenticator.holds(proof):
            return self.refused(shown, proof.subject, ENDED)
        try:
            self.require(shown, row, proof, target_of(row, request, self.known))
        except RpcRefused as refused:
            return refused
        return None

    def refused(self, shown: Shown, subject: Subject | None, why: str) -> RpcRefused:
        """Counts the refusal and writes the line of the audit log. The caller learns nothing of the reason."""
        self._refusals.labels(why).inc()
        left_out = self._lines.next()
        if left_out is not None:
            fields = {
                "method": shown.method,
                "why": why,
                "subject": printable(subject.name)[:MAX_SHOWN] if subject else "",
                "how": subject.how.value if subject else "",
                "peer": shown.peer(),
                **({"left_out": left_out} if left_out else {}),
            }
            audit.warning("access refused", extra=fields)
        return forbidden() if why in _FORBIDDEN else unproven()


_FORBIDDEN = {Reason.NO_GRANT.value, Reason.DENIED.value}


_ONE_BY_ONE = {action: Row(Resource.MODEL, action, Scope.MODEL) for action in Action}
"""By which row it is decided whether a list shows a model, whatever the list itself needs."""


class Permission:
    """What a call was let through with. It is asked again when a command is decided, and before each message."""

    def __init__(self, proof: Proof, refusal: Callable[[], RpcRefused | None], known: Known, row: Row) -> None:
        self.subject = proof.subject
        self.refusal = refusal
        """Why the call may not go on any more; None while it may."""
        self._known, self._row = known, row

    def require(self) -> None:
        """Raises RpcRefused when the call may not go on."""
        refused = self.refusal()
        if refused is not None:
            raise refused

    def held(self, model: str) -> Sequence[facts.HeldRole]:
        """The roles that the caller holds for a model now."""
        return held_roles(self.subject, self._known.grants(), Target(model, NONE, self._known.labels(model)))

    def visibility(self) -> Visibility:
        """Which models the caller sees now."""
        return visibility_of(self.subject, self._known.grants(), self._row)

    def reads(self, stream: str) -> bool:
        """Whether the caller may do this now with all that has this stream."""
        return self._may(target_of_stream(stream, self._known))

    def covers(self, models: str, environments: str) -> bool:
        """Whether the caller may do this now with all that is within these bounds of a grant."""
        return self._may(target_within(models, environments, self._known))

    def _may(self, target: Target) -> bool:
        return decide(self.subject, self._known.grants(), _ONE_BY_ONE[self._row.action], target) is None


class _Lines:
    """How many lines a second may still have. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic, self._lock = monotonic, threading.Lock()
        self._second, self._written, self._left_out = 0, 0, 0

    def next(self) -> int | None:
        """How many lines were left out before this one; None when this one is left out too."""
        second = int(self._monotonic())
        with self._lock:
            if second != self._second:
                self._second, self._written = second, 0
            if self._written >= AUDIT_LINES_PER_SECOND:
                self._left_out += 1
                return None
            self._written += 1
            left_out, self._left_out = self._left_out, 0
            return left_out


def unproven() -> RpcRefused:
    """The one answer to every call whose caller has not proven who it is."""
    return RpcRefused(grpc.StatusCode.UNAUTHENTICATED, "unauthenticated", UNPROVEN_RULE)


def forbidden() -> RpcRefused:
    """The one answer to every call that its caller may not make."""
    return RpcRefused(grpc.StatusCode.PERMISSION_DENIED, "permission-denied", FORBIDDEN_RULE)


def _unknown(error: LogUnavailable) -> RpcRefused:
    return RpcRefused(grpc.StatusCode.UNAVAILABLE, "log-unavailable", str(error))
