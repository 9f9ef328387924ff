"""Sets as_of of the calls that read, so that all answers of one run are of the same moment in the past."""

from collections.abc import Callable
from typing import Any

import grpc

from headgate.v1 import resources_pb2 as resources


class AsOfField(grpc.UnaryUnaryClientInterceptor):
    """Sets the moment, once there is one, in every request that has the field. Others are sent as they are."""

    def __init__(self) -> None:
        self.moment: resources.AsOf | None = None

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        if self.moment is not None and "as_of" in request.DESCRIPTOR.fields_by_name:
            request.as_of.CopyFrom(self.moment)
        return continuation(details, request)
