"""What the servicer asks of a call, answered from an HTTP request."""

import time

from services.gateway.rest.http_messages import HttpRequest


class RestContext:
    """Takes the place of gRPC's context. `expires_at` is the caller's deadline on the monotonic clock."""

    def __init__(self, request: HttpRequest, expires_at: float | None) -> None:
        self._request = request
        self._expires_at = expires_at

    def time_remaining(self) -> float | None:
        """The seconds until the caller's deadline; None when it has none."""
        return None if self._expires_at is None else self._expires_at - time.monotonic()

    def invocation_metadata(self) -> list[tuple[str, str]]:
        """The headers."""
        return [(_text(name), _text(value)) for name, value in self._request.headers.items()]


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
