"""What goes wrong at a door: a caller asked for something that cannot be had, or the door cannot be opened."""

import grpc


class RpcRefused(Exception):
    """A refusal for the caller: the interceptor turns it into a status with google.rpc details.

    `slug` is the stable code a program compares, `rule` the sentence a person reads, `field` the request's field.
    """

    def __init__(self, code: grpc.StatusCode, slug: str, rule: str, field: str = "") -> None:
        super().__init__(rule)
        self.code = code
        self.slug = slug
        self.rule = rule
        self.field = field


class CannotListen(Exception):
    """The address of a door is taken or not ours."""
