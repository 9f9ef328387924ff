"""What both servicers share: requests become commands, refusals become statuses, names become state."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from headgate.domain import refusal
from headgate.domain.names import ANONYMOUS, model_stream
from headgate.domain.refusal import Refused
from headgate.domain.state import ModelState
from headgate.lifecycle.follower import LifecycleFold
from headgate.log.port import LogError
from headgate.runtime.errors import RpcRefused
from headgate.runtime.observability.work_log import note
from headgate.runtime.rpc.names import bad_field
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.worker.intake import Contended
from services.registry.decider import MAX_SHOWN, Decider

MAX_REQUEST_ID = 256
MAX_PAGE_BYTES = 3 * 1024 * 1024
"""A page ends before the limit of a message does: its token goes on."""

STATUS_OF: Mapping[str, grpc.StatusCode] = {
    refusal.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    refusal.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    refusal.ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    refusal.ILLEGAL: grpc.StatusCode.FAILED_PRECONDITION,
    refusal.GATE_NOT_MET: grpc.StatusCode.FAILED_PRECONDITION,
    refusal.IN_USE: grpc.StatusCode.FAILED_PRECONDITION,
    refusal.FROZEN: grpc.StatusCode.FAILED_PRECONDITION,
    refusal.STALE: grpc.StatusCode.ABORTED,
    refusal.REUSED: grpc.StatusCode.INVALID_ARGUMENT,
}
"""The one table from refusals to statuses."""

Resource = TypeVar("Resource", bound=Message)


def rpc_refused(refused: Refused) -> RpcRefused:
    """The refusal as a caller of the door sees it: what is the case, and the rule where that does not say it yet."""
    told = refused.message[:MAX_SHOWN]
    if refused.code != refusal.NOT_FOUND and refused.rule not in told:
        told = f"{told}: {refused.rule}"
    return RpcRefused(STATUS_OF[refused.code], refused.code, told, refused.field)


def missing(what: str, field: str) -> RpcRefused:
    """The named resource does not exist."""
    return RpcRefused(grpc.StatusCode.NOT_FOUND, refusal.NOT_FOUND, f"{what} does not exist", field)


class Requests:
    """Executes requests against the decider and reads the folded state."""

    def __init__(self, decider: Decider, fold: LifecycleFold) -> None:
        self.decider = decider
        self.fold = fold

    def execute(
        self, stream: str, request: Any, context: grpc.ServicerContext, **wish: Message
    ) -> facts.LifecycleRecord | None:
        """Executes one wish, for example `tag_version=...`; answers the accepted record, None when it already held.

        Raises RpcRefused; the refusal is recorded on headgate.refusals first.
        """
        command = _command(stream, request, context, wish)
        try:
            outcome = self.decider.execute(command)
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
        """The model's state; hold the fold's lock. Raises RpcRefused."""
        state = self.fold.models.get(name)
        if state is None:
            raise missing(model_stream(name), field)
        return state


def _command(stream: str, request: Any, context: grpc.ServicerContext, wish: Mapping[str, Any]) -> commands.Command:
    request_id = request.request_id
    if len(request_id) > MAX_REQUEST_ID:
        raise bad_field("request_id", request_id[:32] + "...", f"at most {MAX_REQUEST_ID} characters")
    command = commands.Command(
        command_id=request_id or str(uuid.uuid4()),
        stream=stream,
        actor=_actor(context),
        **wish,
    )
    etag = getattr(request, "etag", "")
    if etag:
        if not etag.isdecimal() or len(etag) > 18:
            raise bad_field("etag", etag, "the etag of the resource as it was read")
        command.expected_sequence = int(etag)
    return command


def _actor(context: grpc.ServicerContext) -> str:
    metadata = dict(context.invocation_metadata() or ())
    actor = metadata.get("x-actor", ANONYMOUS)
    return actor if isinstance(actor, str) else ANONYMOUS


def copy_of(resource: Resource) -> Resource:
    """A copy that may leave the lock."""
    copied = type(resource)()
    copied.CopyFrom(resource)
    return copied


def fitting(messages: Iterable[Resource]) -> Iterator[Resource]:
    """The first ones that fit into a page together; one at the least."""
    size_bytes = 0
    for count, message in enumerate(messages):
        size_bytes += message.ByteSize()
        if count and size_bytes > MAX_PAGE_BYTES:
            return
        yield message
