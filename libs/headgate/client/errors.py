"""A failed call as a sentence for people and a slug for programs."""

from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass(frozen=True, slots=True)
class Failure:
    code: grpc.StatusCode
    message: str
    slug: str = ""
    field: str = ""

    def __str__(self) -> str:
        place = f" ({self.field})" if self.field else ""
        return f"{self.slug or self.code.name.lower().replace('_', '-')}: {self.message}{place}"


def failure(error: grpc.RpcError) -> Failure:
    """What the server said, with its google.rpc details where it sent some."""
    status = rpc_status.from_call(error)
    slug = field = ""
    for detail in status.details if status is not None else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            slug = info.reason
        elif detail.Unpack(bad) and bad.field_violations:
            field = bad.field_violations[0].field
    said = error.details() or ""
    if error.code() == grpc.StatusCode.UNAVAILABLE and not slug:
        # Nobody was there to say it: the words are gRPC's own.
        said = f"no service answers; is Headgate up, and at this address? ({said})"
    elif error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and not slug:
        said = "no answer in time; what was asked for may yet happen: look before you ask again"
    return Failure(error.code(), said, slug, field)
