"""What a request is about, as its row says. A request whose name cannot be read is about everything."""

from collections.abc import Callable, Mapping
from typing import Protocol

from google.protobuf.message import Message

from headgate.access.folded import target_named
from headgate.access.grants import ALL, EVERYTHING, NONE, NOTHING, Target
from headgate.access.table import Row, Scope
from headgate.domain.names import is_model_name, is_model_prefix, is_name, split_numbered, split_stream


class Facts(Protocol):
    """What is known of models and releases. A service asks its fold."""

    served: str
    """The environment that this process serves; ALL for one that serves none in particular."""

    def labels(self, model: str) -> Mapping[str, str]:
        """The labels of a model; none for one that does not exist."""
        ...

    def environment_of(self, model: str, release: int) -> str:
        """The environment of a release; empty when there is no such release."""
        ...

    def bounds_of(self, kind: str, name: str) -> tuple[str, str] | None:
        """For which models and environments a "grant" or a "token" holds; None for a deny and for what is not there."""
        ...


def target_of(row: Row, request: Message | None, known: Facts) -> Target:
    """What the request is about. A stream of requests has none at its begin, and is about everything."""
    if row.named_by and request is None:
        return EVERYTHING
    return _TARGETS[row.scope](row, request, known)


def _named(row: Row, request: Message | None) -> str:
    return str(getattr(request, row.named_by)) if row.named_by else ""


def _of_environment(row: Row, request: Message | None, known: Facts) -> Target:
    environment = _named(row, request).removeprefix("environments/")
    return Target(NONE, environment) if is_name(environment) else EVERYTHING


def _of_bounds(row: Row, request: Message | None, known: Facts) -> Target:
    # A deny overrides the grants of those too who administer more, down to the right to take it back.
    if getattr(request, "deny", False):
        return EVERYTHING
    return target_within(str(getattr(request, "models", "")), str(getattr(request, "environments", "")), known)


def _of_granted(row: Row, request: Message | None, known: Facts) -> Target:
    bounds = known.bounds_of(row.named_by, _named(row, request))
    return target_within(*bounds, known) if bounds else EVERYTHING


def _of_explained(row: Row, request: Message | None, known: Facts) -> Target:
    found = target_named(_named(row, request)) or EVERYTHING
    return found._replace(labels=known.labels(found.model))


def _of_served(row: Row, request: Message | None, known: Facts) -> Target:
    return _of_model(_named(row, request), known.served, known)


def _of_start(row: Row, request: Message | None, known: Facts) -> Target:
    return _of_model(_model_in(_named(row, request)), _or_all(str(getattr(request, "environment", ""))), known)


def _of_named_model(row: Row, request: Message | None, known: Facts) -> Target:
    return _of_model(_model_in(_named(row, request)), NONE, known)


def _of_visible(row: Row, request: Message | None, known: Facts) -> Target:
    named = _of_named_model(row, request, known)
    return NOTHING if named.model == ALL else named


def _of_stream(row: Row, request: Message | None, known: Facts) -> Target:
    return target_of_stream(_named(row, request), known)


def _of_streams(row: Row, request: Message | None, known: Facts) -> Target:
    return _of_stream(row, request, known) if _named(row, request) else NOTHING


def target_of_stream(stream: str, known: Facts) -> Target:
    """What a stream is about. One of another form than those of models and environments is about everything."""
    kind, name = split_stream(stream)
    if kind == "environments":
        return Target(NONE, name)
    return _of_model(name, NONE, known) if kind == "models" else EVERYTHING


def _of_release(row: Row, request: Message | None, known: Facts) -> Target:
    found = split_numbered(_named(row, request), "releases")
    if found is None:
        return EVERYTHING
    return _of_model(found[0], known.environment_of(*found) or ALL, known)


_TARGETS: Mapping[Scope, Callable[[Row, Message | None, Facts], Target]] = {
    Scope.OPEN: lambda row, request, known: Target(),
    Scope.ANYWHERE: lambda row, request, known: NOTHING,
    Scope.EVERYWHERE: lambda row, request, known: EVERYTHING,
    Scope.MODEL: _of_named_model,
    Scope.ENVIRONMENT: _of_environment,
    Scope.RELEASE: _of_release,
    Scope.START: _of_start,
    Scope.VISIBLE: _of_visible,
    Scope.STREAM: _of_stream,
    Scope.STREAMS: _of_streams,
    Scope.BOUNDS: _of_bounds,
    Scope.GRANTED: _of_granted,
    Scope.EXPLAINED: _of_explained,
    Scope.SERVED: _of_served,
}


def target_within(models: str, environments: str, known: Facts) -> Target:
    """All that is within the bounds of a grant. A prefix is a target of its own, and a label may be on any model."""
    if is_model_prefix(models):
        return Target(models, _or_all(environments))
    return _of_model(models, _or_all(environments), known)


def _of_model(model: str, environment: str, known: Facts) -> Target:
    if not is_model_name(model):
        return Target(ALL, environment)
    return Target(model, environment, known.labels(model))


def _model_in(name: str) -> str:
    """The model in {model} or models/{model}/...; ALL for every other form."""
    if is_model_name(name):
        return name
    kind, _, rest = name.partition("/")
    model = rest.partition("/")[0]
    return model if kind == "models" and is_model_name(model) else ALL


def _or_all(environment: str) -> str:
    return environment if is_name(environment) else ALL
