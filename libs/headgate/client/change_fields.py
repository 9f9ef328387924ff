"""Sets request_id and etag of the calls that change something."""

from collections.abc import Callable, Mapping
from typing import Any

import grpc


class ChangeFields(grpc.UnaryUnaryClientInterceptor):
    """Sets fields of every request that has them. What has no such field is sent as it is."""

    def __init__(self, request_id: str = "", etag: str = "") -> None:
        self._values: Mapping[str, str] = {"request_id": request_id, "etag": etag}
        self._set: set[str] = set()

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        for name, value in self._values.items():
            if value and name in request.DESCRIPTOR.fields_by_name:
                setattr(request, name, value)
                self._set.add(name)
        return continuation(details, request)

    def unused(self) -> list[str]:
        """The fields that no request has had so far, although there is a value for them."""
        return [name for name, value in self._values.items() if value and name not in self._set]
