"""What a request is about, as its row says. A request whose name cannot be read is about everything."""

from typing import Protocol

from google.protobuf.message import Message

from headgate.access.grants import ALL, EVERYTHING, NONE, Target
from headgate.access.table import Row, Scope
from headgate.domain.names import is_name, split_numbered, split_stream


class Facts(Protocol):
    """What is known of models and releases. A service asks its fold."""

    served: str
    """The environment that this process serves; ALL for one that serves none in particular."""

    def labels(self, model: str) -> dict[str, str]:
        """The labels of a model; none for one that does not exist."""
        ...

    def environment_of(self, model: str, release: int) -> str:
        """The environment of a release; empty when there is no such release."""
        ...


def target_of(row: Row, request: Message | None, known: Facts) -> Target:
    """What the request is about. A stream of requests has none at its begin, and is about everything."""
    if row.scope in (Scope.OPEN, Scope.ANYWHERE):
        return Target()
    if row.scope is Scope.EVERYWHERE or (request is None and row.named_by):
        return EVERYTHING
    value = str(getattr(request, row.named_by)) if row.named_by else ""
    match row.scope:
        case Scope.STREAM:
            return _of_stream(value, known)
        case Scope.ENVIRONMENT:
            environment = value.removeprefix("environments/")
            return Target(NONE, environment) if is_name(environment) else EVERYTHING
        case Scope.SERVED:
            return _of_model(value if row.named_by else ALL, known.served, known)
        case Scope.START:
            return _of_model(_model_in(value), _or_all(str(getattr(request, "environment", ""))), known)
        case Scope.RELEASE:
            return _of_release(value, known)
        case _:
            return _of_model(_model_in(value) if row.named_by else ALL, NONE, known)


def _of_stream(stream: str, known: Facts) -> Target:
    kind, name = split_stream(stream)
    if kind == "environments":
        return Target(NONE, name)
    return _of_model(name, NONE, known) if kind == "models" else EVERYTHING


def _of_release(name: str, known: Facts) -> Target:
    found = split_numbered(name, "releases")
    if found is None:
        return EVERYTHING
    return _of_model(found[0], known.environment_of(*found) or ALL, known)


def _of_model(model: str, environment: str, known: Facts) -> Target:
    if not is_name(model):
        return Target(ALL, environment)
    return Target(model, environment, known.labels(model))


def _model_in(name: str) -> str:
    """The model in {model} or models/{model}/...; ALL for every other form."""
    if is_name(name):
        return name
    kind, _, rest = name.partition("/")
    model = rest.partition("/")[0]
    return model if kind == "models" and is_name(model) else ALL


def _or_all(environment: str) -> str:
    return environment if is_name(environment) else ALL
