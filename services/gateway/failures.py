"""Counts requests that got no answer, each for the one whose error it is, and returns the refusal for the caller."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import assert_never

import grpc

from headgate.runtime.errors import RpcRefused
from services.gateway.fault import Cause, Fault, Opinion, fault_of, needs_opinion
from services.gateway.forward import AnswerTooLarge, ModelFailed, OutOfMemory, UnknownCategory
from services.gateway.prediction_metrics import ERROR, REFUSED
from services.gateway.request import Request
from services.gateway.routing import Routing
from services.gateway.second_opinion import Asked, SecondOpinions
from services.gateway.sessions import LoadedVersion
from services.gateway.tensors import InvalidInput

logger = logging.getLogger(__name__)

MAX_FAILURES_REMEMBERED = 1_000

Failure = InvalidInput | UnknownCategory | OutOfMemory | AnswerTooLarge | ModelFailed
FAILURES = (InvalidInput, UnknownCategory, OutOfMemory, AnswerTooLarge, ModelFailed)
"""What a forward raises."""


class Deciding:
    """A refusal that waits for the other version's opinion."""

    def __init__(self, asked: Asked, decide: Callable[[Opinion], RpcRefused]) -> None:
        self._asked = asked
        self._decide = decide

    def decide_now(self) -> None:
        """Decides without the opinion, unless it is decided already."""
        self._asked.lapse()

    def then(self, refuse: Callable[[RpcRefused], None]) -> None:
        """Has `refuse` called once with the refusal, when it is counted."""

        def decided(opinion: Future[Opinion]) -> None:
            refuse(self._decide(opinion.result()))

        self._asked.opinion.add_done_callback(decided)


class Failures:
    """Thread-safe."""

    def __init__(self) -> None:
        self._opinions = SecondOpinions()
        self._logged: set[tuple[str, int]] = set()
        self._lock = threading.Lock()

    def refusal(self, request: Request, routing: Routing, error: Failure, expires_at: float) -> RpcRefused | Deciding:
        """The refusal of a request that failed, once it is counted."""
        cause = cause_of(error)
        if not needs_opinion(cause, routing.is_candidate):
            return self._decided(routing, error, cause, Opinion.ABSENT)
        asked = self._opinions.ask(request, routing, cause, expires_at)
        if isinstance(asked, Opinion):
            return self._decided(routing, error, cause, asked)
        return Deciding(asked, partial(self._decided, routing, error, cause))

    def _decided(self, routing: Routing, error: Failure, cause: Cause, opinion: Opinion) -> RpcRefused:
        refusal = _refusal(error, self._count(routing, error, cause, opinion))
        refusal.__cause__ = error
        return refusal

    def _count(self, routing: Routing, error: Failure, cause: Cause, opinion: Opinion) -> Fault:
        excuses = routing.entry.counter.excuses
        with self._lock:
            fault = fault_of(cause, opinion, routing.is_candidate, excuses.left)
            excuses.note(opinion, fault)
        if fault is Fault.VERSION:
            routing.count_evidence(bad=True)
        is_refused = fault is Fault.CALLER or isinstance(error, InvalidInput | UnknownCategory)
        routing.metrics.count(REFUSED if is_refused else ERROR)
        if fault is Fault.VERSION and isinstance(error, ModelFailed):
            self._log_first_failure(routing.version, error)
        return fault

    def _log_first_failure(self, version: LoadedVersion, error: Exception) -> None:
        """Logs one failure per version, because a broken version may fail on every request."""
        key = (version.model, version.version)
        with self._lock:
            if key in self._logged or len(self._logged) >= MAX_FAILURES_REMEMBERED:
                return
            self._logged.add(key)
        logger.warning("model failed: %s", error.__cause__, extra={"model": version.model, "version": version.version})


def cause_of(error: Failure) -> Cause:
    """What the failure says of its cause."""
    match error:
        case InvalidInput():
            return Cause.SIGNATURE
        case UnknownCategory():
            return Cause.VALUE
        case OutOfMemory() | AnswerTooLarge():
            return Cause.SIZE
        case ModelFailed():
            return error.reason
        case _:
            assert_never(error)


def _refusal(error: Failure, fault: Fault) -> RpcRefused:
    match error:
        case InvalidInput():
            return _invalid_input(str(error), error.field)
        case UnknownCategory():
            return _invalid_input(str(error))
        case OutOfMemory():
            return RpcRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "out-of-memory", str(error))
        case AnswerTooLarge():
            return RpcRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, "answer-too-large", str(error))
        case ModelFailed():
            if fault is Fault.CALLER:
                return _invalid_input(error.rule)
            return RpcRefused(grpc.StatusCode.INTERNAL, "model-failed", str(error))
        case _:
            assert_never(error)


def _invalid_input(rule: str, field: str = "inputs") -> RpcRefused:
    return RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "invalid-input", rule, field)
