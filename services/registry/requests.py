"""Used by both servicers: turns requests into commands, refusals into statuses, and names into folded state."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from headgate.domain import refusal
from headgate.domain.names import ANONYMOUS, in_words, model_stream
from headgate.domain.refusal import Refused
from headgate.domain.state import ModelState
from headgate.lifecycle.follower import LifecycleFold
from headgate.log.port import LogError
from headgate.runtime.errors import RpcRefused
from headgate.runtime.observability.work_log import note
from headgate.runtime.rpc.access_check import permission_of
from headgate.runtime.rpc.headers import ACTOR
from headgate.runtime.rpc.names import bad_field
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.worker.intake import Contended
from services.registry.decider import MAX_SHOWN, Decider

MAX_REQUEST_ID = 256
MAX_PAGE_BYTES = 3 * 1024 * 1024
"""Bytes of one page, below gRPC's limit for a message. The page's token leads to the rest."""

STATUS_OF: Mapping[str, grpc.StatusCode] = {
    refusal.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    refusal.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    refusal.ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    refusal.ILLEGAL: grpc.StatusCode.FAILED_PRECONDITION,
    refusal.GATE_NOT_MET: grpc.StatusCode.FAILED_PRECONDITION,
    refusal.OWN_VERSION: grpc.StatusCode.FAILED_PRECONDITION,
    refusal.IN_USE: grpc.StatusCode.FAILED_PRECONDITION,
    refusal.FROZEN: grpc.StatusCode.FAILED_PRECONDITION,
    refusal.PURGED: grpc.StatusCode.FAILED_PRECONDITION,
    refusal.STALE: grpc.StatusCode.ABORTED,
    refusal.REUSED: grpc.StatusCode.INVALID_ARGUMENT,
}
"""The gRPC status of each refusal code."""

Resource = TypeVar("Resource", bound=Message)


def rpc_refused(refused: Refused) -> RpcRefused:
    """The refusal as a gRPC caller sees it: the message, and the rule unless the message already contains it."""
    message = refused.message[:MAX_SHOWN]
    if refused.code != refusal.NOT_FOUND and refused.rule not in message:
        message = f"{message}: {refused.rule}"
    return RpcRefused(STATUS_OF[refused.code], refused.code, message, refused.field)


def not_found(what: str, field: str) -> RpcRefused:
    """The refusal for a resource that does not exist."""
    return RpcRefused(grpc.StatusCode.NOT_FOUND, refusal.NOT_FOUND, f"{in_words(what)} does not exist", field)


def no_facts(environment: str, field: str) -> RpcRefused:
    """The refusal for an environment without a fact of its own. Releases may go into it all the same."""
    rule = f"environment {environment} has no policy of its own and no freeze: its releases follow the default policy"
    return RpcRefused(grpc.StatusCode.NOT_FOUND, refusal.NOT_FOUND, rule, field)


class Requests:
    """Executes requests by the decider, and reads the folded state."""

    def __init__(self, decider: Decider, fold: LifecycleFold) -> None:
        self.decider = decider
        self.fold = fold

    def execute(
        self, stream: str, request: Any, context: grpc.ServicerContext, **payload: Message
    ) -> facts.LifecycleRecord | None:
        """Executes one command, for example `tag_version=...`. Returns the record; None when the fact already held.

        Raises RpcRefused. A refusal is recorded on headgate.refusals before.
        """
        command = _command(stream, request, context, payload)
        try:
            outcome = self.decider.execute(command, from_person=True, sender=permission_of(context))
            if isinstance(outcome, Refused):
                self.decider.refuse(command, outcome)
                note(refusal=outcome.code)
                raise rpc_refused(outcome)
        except Contended as error:
            raise RpcRefused(grpc.StatusCode.ABORTED, "contended", str(error)) from None
        except LogError as error:
            raise RpcRefused(grpc.StatusCode.UNAVAILABLE, "log-unavailable", str(error)) from None
        return outcome.record

    def model(self, name: str, field: str = "name") -> ModelState:
        """The model's state. The caller must hold the fold's lock. Raises RpcRefused."""
        state = self.fold.models.get(name)
        if state is None:
            raise not_found(model_stream(name), field)
        return state


def _command(stream: str, request: Any, context: grpc.ServicerContext, payload: Mapping[str, Any]) -> commands.Command:
    request_id = request.request_id
    if len(request_id) > MAX_REQUEST_ID:
        raise bad_field("request_id", request_id[:32] + "...", f"at most {MAX_REQUEST_ID} characters")
    command = commands.Command(
        command_id=request_id or str(uuid.uuid4()),
        stream=stream,
        **payload,
    )
    command.actor, command.proven_by = _actor(context)
    etag = getattr(request, "etag", "")
    if etag:
        if not etag.isdecimal() or len(etag) > 18:
            raise bad_field("etag", etag, "the etag of the resource as it was read")
        command.expected_sequence = int(etag)
    return command


def _actor(context: grpc.ServicerContext) -> tuple[str, str]:
    """Who calls, and how that was proven; where nobody proves it, it is what the caller says."""
    permission = permission_of(context)
    if permission is not None:
        return permission.subject.name, permission.subject.how.value
    metadata = dict(context.invocation_metadata() or ())
    actor = metadata.get(ACTOR, ANONYMOUS)
    return (actor if isinstance(actor, str) else ANONYMOUS), ""


def copy_of(resource: Resource) -> Resource:
    """A copy, for use outside the fold's lock."""
    copied = type(resource)()
    copied.CopyFrom(resource)
    return copied


def within_page_bytes(messages: Iterable[Resource]) -> Iterator[Resource]:
    """The first messages that fit together into MAX_PAGE_BYTES, but at least one."""
    size_bytes = 0
    for count, message in enumerate(messages):
        size_bytes += message.ByteSize()
        if count and size_bytes > MAX_PAGE_BYTES:
            return
        yield message
