"""Resource names in requests: read, or refused with the form that was expected."""

import grpc

from headgate.domain.names import split_name, split_numbered
from headgate.domain.refusal import INVALID
from headgate.runtime.errors import RpcRefused


def bad_field(field: str, value: str, expected: str) -> RpcRefused:
    """The refusal of a request whose field does not have the expected form."""
    return RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, INVALID, f"{field} is {value!r}: expected {expected}", field)


def model_in(name: str, field: str = "name") -> str:
    """The model in models/{model}. Raises RpcRefused."""
    model = split_name(name, "models")
    if model is None:
        raise bad_field(field, name, "models/{model}")
    return model


def environment_in(name: str) -> str:
    """The environment in environments/{environment}. Raises RpcRefused."""
    environment = split_name(name, "environments")
    if environment is None:
        raise bad_field("name", name, "environments/{environment}")
    return environment


def version_in(name: str) -> tuple[str, int]:
    """Model and number in models/{model}/versions/{number}. Raises RpcRefused."""
    return _numbered(name, "versions")


def release_in(name: str) -> tuple[str, int]:
    """Model and number in models/{model}/releases/{number}. Raises RpcRefused."""
    return _numbered(name, "releases")


def _numbered(name: str, kind: str) -> tuple[str, int]:
    found = split_numbered(name, kind)
    if found is None:
        raise bad_field("name", name, f"models/{{model}}/{kind}/{{number}}")
    return found
