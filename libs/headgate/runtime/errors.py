"""Errors of a server: a request that is refused, and an address that cannot be listened on."""

import grpc


class RpcRefused(Exception):
    """A refusal for the caller. The interceptor turns it into a status with google.rpc details.

    `slug` is the stable code that programs compare, and `rule` the sentence that people read. `field` is the field of
    the request that is wrong. After `retry_after_seconds` the same call may succeed; 0 when that is not known.
    """

    def __init__(
        self, code: grpc.StatusCode, slug: str, rule: str, field: str = "", retry_after_seconds: float = 0.0
    ) -> None:
        super().__init__(rule)
        self.code = code
        self.slug = slug
        self.rule = rule
        self.field = field
        self.retry_after_seconds = retry_after_seconds


class CannotListen(Exception):
    """The server cannot listen on its address: it is in use, or it does not belong to this machine."""
