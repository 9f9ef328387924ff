"""What goes wrong at a door: a caller asked for something that cannot be had, or the door cannot be opened."""

import grpc


class RpcRefused(Exception):
    """A refusal for the caller: the interceptor turns it into a status with google.rpc details.

    `slug` is the stable code a program compares, `rule` the sentence a person reads, `field` the request's field,
    `retry_after_seconds` when the same call may be let in; 0 when that is not known.
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
    """The address of a door is taken or not ours."""
