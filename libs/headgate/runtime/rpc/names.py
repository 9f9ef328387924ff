"""Parses the resource names in requests. An invalid name is refused with the expected form."""

import grpc

from headgate.domain.names import MODEL_NAME_RULE, NAME_RULE, is_model_name, is_name, split_name, split_numbered
from headgate.domain.refusal import INVALID
from headgate.runtime.errors import RpcRefused


def bad_field(field: str, value: str, expected: str) -> RpcRefused:
    """The refusal of a request with a field of another form than expected."""
    return RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, INVALID, f"{field} is {value!r}: expected {expected}", field)


def checked_name(field: str, name: str) -> str:
    """The name itself, when it may name an environment. Raises RpcRefused."""
    return _checked(field, name, is_name(name), NAME_RULE)


def checked_model(field: str, name: str) -> str:
    """The name itself, when it may name a model. Raises RpcRefused."""
    return _checked(field, name, is_model_name(name), MODEL_NAME_RULE)


def model_in(name: str, field: str = "name", any_model: str = "") -> str:
    """The model in models/{model}, or `any_model` in its place where a request may mean them all. Raises RpcRefused."""
    model = split_name(name, "models")
    if model is None:
        raise bad_field(field, name, "models/{model}")
    return model if any_model and model == any_model else checked_model(field, model)


def environment_in(name: str) -> str:
    """The environment in environments/{environment}. Raises RpcRefused."""
    environment = split_name(name, "environments")
    if environment is None:
        raise bad_field("name", name, "environments/{environment}")
    return checked_name("name", environment)


def version_in(name: str, field: str = "name") -> tuple[str, int]:
    """Model and number in models/{model}/versions/{number}. Raises RpcRefused."""
    return _numbered(name, "versions", field)


def release_in(name: str) -> tuple[str, int]:
    """Model and number in models/{model}/releases/{number}. Raises RpcRefused."""
    return _numbered(name, "releases", "name")


def _numbered(name: str, kind: str, field: str) -> tuple[str, int]:
    found = split_numbered(name, kind)
    if found is None:
        raise bad_field(field, name, f"models/{{model}}/{kind}/{{number}}")
    checked_model(field, found[0])
    return found


def _checked(field: str, name: str, is_right: bool, rule: str) -> str:
    if not is_right:
        raise RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, INVALID, f"{field} is {name!r}: {rule}", field)
    return name
