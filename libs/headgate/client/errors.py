"""A failed gRPC call: a sentence for people, a short code (slug) for programs."""

from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

_TLS_HINT = (
    "a service with TLS is called with --tls-ca and its authority, and one without is not; where it asks for a "
    "certificate, it takes only those of its own authority"
)


@dataclass(frozen=True, slots=True)
class Failure:
    code: grpc.StatusCode
    message: str
    slug: str = ""
    field: str = ""

    def __str__(self) -> str:
        """The slug and the message. The field of the request is for programs: people know options, and no fields."""
        return f"{self.slug or self.code.name.lower().replace('_', '-')}: {self.message}"


def failure(error: grpc.RpcError) -> Failure:
    """Reads the error of a call: its message and, where the server sent google.rpc details, its slug and field."""
    status = rpc_status.from_call(error)
    slug = field = ""
    for detail in status.details if status is not None else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            slug = info.reason
        elif detail.Unpack(bad) and bad.field_violations:
            field = bad.field_violations[0].field
    message = error.details() or ""
    if error.code() == grpc.StatusCode.UNAVAILABLE and not slug:
        # No server was reached: the text is gRPC's own.
        hint = f"; {_TLS_HINT}" if "Socket closed" in message or "SSL_ERROR" in message else ""
        message = f"no service answers: is Headgate running, and is the address right? ({message}{hint})"
    elif error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and not slug:
        message = "no answer in time: the request may still take effect, so check before you repeat it"
    elif error.code() == grpc.StatusCode.UNIMPLEMENTED and not slug:
        message = f"another service or an older Headgate answers: is the address right? ({message})"
    return Failure(error.code(), message, slug, field)
