"""The key that keeps a caller on one arm: where it stands in a request, and in which order the places count."""

from collections.abc import Callable
from typing import NamedTuple

import grpc

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference_parameters import ROUTING_KEY, ROUTING_KEY_METADATA
from headgate.runtime.errors import RpcRefused
from services.gateway.request import Request

COOKIE = "cookie"

Metadata = Callable[[str], str | None]
"""The first value of a header or of gRPC metadata by its lower-case name, or None."""


class KeyPlaces(NamedTuple):
    """Names of a header and of a cookie that hold the key in this installation. Empty for none."""

    header: str = ""
    cookie: str = ""


def routing_key(request: Request, metadata: Metadata, places: KeyPlaces) -> str | None:
    """The caller's key: x-routing-key, the parameter, the header and the cookie of the settings, or the request's id.

    None without all of these. Raises RpcRefused.
    """
    if (key := metadata(ROUTING_KEY_METADATA)) is not None:
        return key
    parameters = request.signature.parameters
    if parameters and ROUTING_KEY in parameters:
        return _parameter(parameters[ROUTING_KEY])
    if places.header and (key := metadata(places.header)) is not None:
        return key
    if places.cookie and (key := cookie_named(places.cookie, metadata(COOKIE))) is not None:
        return key
    return request.id or None


def cookie_named(name: str, header: str | None) -> str | None:
    """The value of one cookie in the header `cookie`."""
    if header is None:
        return None
    for part in header.split(";"):
        found, is_there, value = part.strip().partition("=")
        if is_there and found == name:
            return value.strip('"')
    return None


def _parameter(parameter: inference.InferParameter) -> str:
    if parameter.WhichOneof("parameter_choice") != "string_param":
        rule = f"parameter {ROUTING_KEY!r}: expected a string"
        raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "invalid-routing-key", rule, "parameters")
    return parameter.string_param
